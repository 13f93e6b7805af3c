"""Interleaved timing: in every round each planner plans the same problem, in random order."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
from trc_core.progress import progress_bar
from trc_core.solvers import ilqr
from trc_core.solvers.receding_horizon import shifted
from trc_core.solvers.replay import replay

PERCENTILES = {'p50': 1, 'p90': 10, 'p99': 100, 'p99.9': 1000}  # and the samples that they take
SHUFFLE_SEED = 0
REHEARSALS, LONG_REHEARSAL = 4, 0.2  # and seconds after which two are enough

Call = Callable[[Array, Array, Plan | None], 'Plan | Array']
PACKAGES = {
    'do_mpc': 'do-mpc',
    'pytorch_mppi': 'pytorch-mppi',
}  # by module, where it has another name


@dataclass(frozen=True)
class TimedPlanner:
    """Method that plans, with its label."""

    label: str
    call: Call
    """(x (n_x,), goal (n_x,), own plan one step before or None) -> a plan, or controls."""
    warm: bool = True
    """Whether it can use that earlier plan."""
    baseline: bool = False
    """Whether the controller is compared with it."""


@dataclass
class Record:
    """Times and plans of one planner."""

    cold: list[int] = field(default_factory=list)
    """Nanoseconds of every plan from nothing."""
    warm: list[int] = field(default_factory=list)
    """Nanoseconds of every plan from the second state of its own plan, given that plan."""
    plans: dict[int, Plan] = field(default_factory=dict)
    """Plans from nothing, by problem."""
    next_plans: dict[int, Plan] = field(default_factory=dict)


def reason(error: Exception) -> str:
    """Reason why a planner cannot take part, in one line."""
    if isinstance(error, ModuleNotFoundError):
        module = (error.name or '').partition('.')[0]
        return f'not installed: pip install {PACKAGES.get(module, module)}'
    message = str(error).strip().partition('\n')[0]
    return f'cannot start: {type(error).__name__}: {message}'


def percentiles(nanoseconds: ArrayLike) -> dict[str, float]:
    """Percentiles [us] that so many samples can tell, their number, mean and maximum."""
    samples = np.asarray(nanoseconds, dtype=np.float64) / 1e3
    figures: dict[str, float] = {'count': len(samples)}
    if not len(samples):
        return figures
    for name, needed in PERCENTILES.items():
        if len(samples) >= needed:
            figures[name] = float(np.percentile(samples, float(name[1:])))
    return {**figures, 'mean': float(samples.mean()), 'max': float(samples.max())}


def schedule(shares: Mapping[str, int], rounds: int) -> list[list[str]]:
    """Labels of the planners of every round, in the order of their turns.

    Args:
        shares: by planner, in how many of the rounds it takes part, evenly spread.
        rounds: how many there are.
    """
    rng, table = np.random.default_rng(SHUFFLE_SEED), []
    for r in range(rounds):
        present = [
            label
            for label, share in shares.items()
            if (r + 1) * share // rounds > r * share // rounds
        ]
        table.append([present[i] for i in rng.permutation(len(present))])
    return table


class InterleavedTiming:
    """Times planners on the same problems of one system, interleaved.

    Args:
        system: the plant.
        planners: the methods.
        x0: initial states (N, n_x), taken in turn.
        goal: goals (N, n_x).
        optimum: J* (N,), NaN where it is not known.
    """

    def __init__(
        self,
        system: System,
        planners: Iterable[TimedPlanner],
        x0: Array,
        goal: Array,
        optimum: Array,
    ) -> None:
        self.system, self.x0, self.goal, self.optimum = system, x0, goal, optimum
        self.planners = {planner.label: planner for planner in planners}
        self.records = {label: Record() for label in self.planners}
        self.absent: dict[str, str] = {}
        """Why a planner fell out at its first, untimed plans, by label."""
        self.order: list[tuple[str, str]] = []
        """(planner, 'cold' or 'warm') of every timed call."""

    def run(self, rounds: int, seconds: float, least: int, title: str = '') -> None:
        """Measures; Ctrl-C leaves what was measured in `records`.

        Args:
            rounds: how many.
            seconds: the most that one planner may spend,
            least: unless it takes part in fewer rounds than this.
            title: of the progress bar.
        """
        shares = {}
        for label, planner in list(self.planners.items()):
            try:
                spent = self._seconds(planner)
            except Exception as error:  # of one planner: the others go on
                self.absent[label] = reason(error)
                del self.planners[label], self.records[label]
            else:
                shares[label] = min(rounds, max(least, int(seconds / spent)))
        gc.collect()
        gc.disable()
        try:
            for r, present in enumerate(
                progress_bar(schedule(shares, rounds), title, leave=False)
            ):
                self._round(r % len(self.x0), present, np.random.default_rng([SHUFFLE_SEED, r]))
        finally:
            gc.enable()

    def _seconds(self, planner: TimedPlanner) -> float:
        """Duration of a planner's round, after a first one that may compile or load something."""
        samples: list[float] = []
        while len(samples) < REHEARSALS and sum(samples[1:]) < LONG_REHEARSAL:
            began = time.perf_counter()
            plan = self._plan(planner, self.x0[0], self.goal[0], None)[0]
            if planner.warm:
                self._plan(planner, plan.states[1].copy(), self.goal[0], plan)
            samples.append(time.perf_counter() - began)
        return min(samples[1:])

    def _round(self, i: int, present: Sequence[str], rng: np.random.Generator) -> None:
        plans = {}
        for label in present:
            plans[label], elapsed = self._plan(
                self.planners[label], self.x0[i].copy(), self.goal[i], None
            )
            record = self.records[label]
            record.cold.append(elapsed)
            record.plans.setdefault(i, plans[label])
            self.order.append((label, 'cold'))
        warm = [label for label in present if self.planners[label].warm]
        for label in rng.permutation(warm):
            plan = plans[label]
            after, elapsed = self._plan(
                self.planners[label], plan.states[1].copy(), self.goal[i], plan
            )
            record = self.records[label]
            record.warm.append(elapsed)
            record.next_plans.setdefault(i, after)
            self.order.append((str(label), 'warm'))

    def _plan(
        self, planner: TimedPlanner, x: Array, goal: Array, previous: Plan | None
    ) -> tuple[Plan, int]:
        """Plans and takes the time [ns]; controls are rolled out off the clock."""
        began = time.perf_counter_ns()
        answer = planner.call(x, goal, previous)
        elapsed = time.perf_counter_ns() - began
        if isinstance(answer, Plan):
            return answer, elapsed
        controls = answer.clip(self.system.u_min, self.system.u_max)
        states, J = replay(self.system, x, goal, controls)
        return Plan(controls, states, J, planner.label), elapsed

    def figures(self) -> dict[str, dict[str, object]]:
        """Percentiles and J/J*, cold and warm, by planner."""
        cheapest = self._cheapest_plans()
        table: dict[str, dict[str, object]] = {}
        for label, record in self.records.items():
            known = [i for i in record.plans if np.isfinite(self.optimum[i])]
            cold = [record.plans[i].cost / self.optimum[i] for i in known]
            warm = [
                plan.cost / self._optimum_after(i, plan, cheapest[i])
                for i, plan in record.next_plans.items()
            ]
            table[label] = {
                'cold': {**percentiles(record.cold), **ratios(cold)},
                'warm': {**percentiles(record.warm), **ratios(warm)},
                'cycles': float(np.mean([p.cycles for p in record.plans.values()] or [0])),
                'baseline': self.planners[label].baseline,
            }
        return table

    def _cheapest_plans(self) -> dict[int, Plan]:
        """The cheapest plan that any planner found, by problem."""
        found: dict[int, Plan] = {}
        for record in self.records.values():
            for i, plan in record.plans.items():
                if i not in found or plan.cost < found[i].cost:
                    found[i] = plan
        return found

    def _optimum_after(self, i: int, plan: Plan, cheapest: Plan) -> float:
        """The lowest J known from plan.states[0]: of converged iLQR, from two sides."""
        x, goal = plan.states[0].copy(), self.goal[i]
        known = (plan, shifted(self.system, cheapest))
        costs = [ilqr.solve(self.system, x, goal, start).cost for start in known]
        return min(plan.cost, *costs)


def ratios(values: Sequence[float]) -> dict[str, float]:
    """Mean, median and maximum of J/J*; nothing of nothing."""
    if not values:
        return {}
    return {
        'ratio': float(np.mean(values)),
        'ratio_median': float(np.median(values)),
        'ratio_max': float(np.max(values)),
    }
