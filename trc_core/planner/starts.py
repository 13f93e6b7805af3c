"""Plans from several starts: sweeps on the best of them, and the best after those.

A start that is cheap as it is may lead into a dead end, so the winner is chosen after some sweeps.
They are spent on the starts that are the best by a merit with a small weight of violations, which
sweeps remove: a plan that cuts a corner is a better start than a long way round.
Where sweeps had to change it a lot, or it violates constraints, no start was near a solution: all
get sweeps then, and the best of them go on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.compile.binding import violation_weight
from trc_core.compile.plant import Plant
from trc_core.numerics.batch import memory_of
from trc_core.numerics.classical import START_SWEEPS
from trc_core.numerics.ilqr import Memory, Outcome
from trc_core.numerics.plan import distinct
from trc_core.numerics.rollout import Trajectory
from trc_core.planner.rows import Found, Requests
from trc_core.problem.system import Array, System

SWEEPS_AT_ONCE = 4  # where there is a deadline: multipliers are updated every few
SOFT = 0.06  # of the weight of violations, by which starts are ranked
SAME = 1e-4  # relative gap in the merit within which two starts count as one
FAR = 1.5  # times the merit after sweeps, beyond which the best start was far from a solution
GO_ON, CLOSE = 5, 0.3  # plans that go on then, if they cost so much more than the best at most


class _Tried(NamedTuple):
    """Some starts of one problem, under sweeps."""

    numbers: NDArray[np.int64]  # (S,) of the starts
    plans: Trajectory
    memory: Memory
    outcome: Outcome

    def rows(self, rows: slice | NDArray[np.int64]) -> _Tried:
        """Some of them: views of a slice, copies of numbers."""
        plans, memory, outcome = self.plans, self.memory, self.outcome
        return _Tried(
            self.numbers[rows],
            Trajectory(plans.x[rows], plans.u[rows]),
            Memory(*(values[rows] for values in memory)),
            Outcome(outcome.J[rows], outcome.spent[rows], outcome.converged[rows]),
        )

    def share_penalties(self) -> None:
        """Gives those that chose no penalties yet the ones of the first, which cost a sweep."""
        rho = self.memory.rho
        rho[~(rho > 0.0).all(1)] = rho[0]

    def joined(self, other: _Tried) -> _Tried:
        """These and others."""

        def joint(one: Any, two: Any) -> list[Any]:
            return [np.concatenate(values) for values in zip(one, two, strict=True)]

        return _Tried(
            np.concatenate([self.numbers, other.numbers]),
            Trajectory(*joint(self.plans, other.plans)),
            Memory(*joint(self.memory, other.memory)),
            Outcome(*joint(self.outcome, other.outcome)),
        )


class Starts:
    """Sweeps on the best starts of problems.

    Args:
        system: the plant.
        improve: the kernel `batch_improve`.
        assess: the kernel `assess_rows`.
        tried: how many starts of a problem get sweeps at first.
    """

    def __init__(
        self, system: System, improve: Callable[..., Any], assess: Callable[..., Any], tried: int
    ) -> None:
        self.system, self.tried = system, tried
        self._weight = violation_weight(system)
        self._improve, self._assess = improve, assess

    def choose(
        self,
        plant: Plant,
        requests: Requests,
        plans: Trajectory,
        results: Found,
        memory: Memory,
        is_over: Callable[[], bool] | None,
    ) -> None:
        """Fills the results and the memory with the best of the starts after sweeps.

        The last start, if it is trusted and the cheapest, goes on as it is.

        Args:
            plant: of all the problems.
            requests: the problems (B).
            plans: of all starts (B, N).
            results: `starts` are the merits of the plans; the rest is filled.
            memory: filled with that of the winners.
            is_over: whether there is no time for more sweeps, where there is a deadline; the
                starts then take turns.
        """
        N = results.starts.shape[1]
        for b in range(len(results.J)):
            J, own = results.starts[b], Trajectory(plans.x[b], plans.u[b])
            if requests.trusted[b] and J.argmin() == N - 1:
                results.x[b], results.u[b], results.J[b] = own.x[N - 1], own.u[N - 1], J[N - 1]
                results.start[b], results.cycles[b], results.seconds[b] = N - 1, 0, 0.0
                continue
            results.cycles[b], results.seconds[b] = 0, 0.0
            one = slice(b, b + 1)
            problem, found, left = requests.rows(one), results.rows(one), memory.rows(one)
            self._choose(plant, problem, own, found, left, is_over)

    def _choose(
        self,
        plant: Plant,
        request: Requests,
        plans: Trajectory,
        result: Found,
        memory: Memory,
        is_over: Callable[[], bool] | None,
    ) -> None:
        """The best start of one problem."""
        J, r = result.starts[0], request.r
        chosen = distinct(self._ranks(plant, request, plans, J), len(J), SAME)
        tried = self._begin(J, plans, chosen[: self.tried])
        self._sweep(plant, r, tried, result, is_over)
        _take_best(tried, result, memory)
        others = chosen[self.tried :]
        if not len(others) or not self._is_unsure(plant, request, result):
            return
        more = self._begin(J, plans, others)
        more.memory.rho[:] = tried.memory.rho[0]
        self._sweep(plant, r, more, result, is_over)
        every = tried.joined(more)
        merits = _merits(every)
        best = np.argsort(merits, kind='stable')[:GO_ON]
        best = best[merits[best] <= (1.0 + CLOSE) * merits[best[0]]]
        going_on = every.rows(best)
        self._sweep(plant, r, going_on, result, is_over)
        _take_best(going_on, result, memory)

    def _ranks(self, plant: Plant, request: Requests, plans: Trajectory, J: Array) -> Array:
        """By what starts (N) are ranked: their merits J, with less weight of violations."""
        if not self.system.task.constraints:
            return J
        N, violation = len(J), np.empty((len(J), 2))
        none = np.zeros(N, np.int64)
        each = Requests._make(np.repeat(values, N, 0) for values in request)
        self._assess(plant, each, Found(*plans, J, none, none, J, J[:, None]), violation)
        ranks = J - (1.0 - SOFT) * self._weight * violation[:, 0]
        return np.where(np.isfinite(ranks), ranks, math.inf)

    def _begin(self, J: Array, plans: Trajectory, numbers: NDArray[np.int64]) -> _Tried:
        """Copies of some starts, before any sweep."""
        count = len(numbers)
        outcome = Outcome(J[numbers], np.zeros(count, np.int64), np.zeros(count, np.bool_))
        own = Trajectory(plans.x[numbers], plans.u[numbers])
        return _Tried(numbers, own, memory_of(self.system, count), outcome)

    def _sweep(
        self,
        plant: Plant,
        r: Array,
        tried: _Tried,
        result: Found,
        is_over: Callable[[], bool] | None,
    ) -> None:
        """Sweeps on all of them, in place; they count as cycles of the result."""
        count = len(tried.numbers)

        def improve(rows: slice, sweeps: int) -> None:
            _, plans, memory, outcome = tried.rows(rows)
            references = np.repeat(r, len(outcome.J), 0)
            self._improve(plant, references, sweeps, 0.0, plans, memory, outcome)
            result.cycles[0] += int(outcome.spent.sum())
            tried.share_penalties()

        if is_over is None:
            improve(slice(0, 1), START_SWEEPS)
            if count > 1:
                improve(slice(1, count), START_SWEEPS)
            return
        for _ in range(0, START_SWEEPS, SWEEPS_AT_ONCE):
            for n in range(count):
                if tried.outcome.converged[n]:
                    continue
                if is_over():
                    return
                improve(slice(n, n + 1), SWEEPS_AT_ONCE)

    def _is_unsure(self, plant: Plant, request: Requests, result: Found) -> bool:
        """Whether the best start was far from the plan, or the plan violates constraints."""
        if not result.starts[0].min() <= FAR * result.J[0]:
            return True
        if not self.system.task.constraints:
            return False
        violation = np.empty((1, 2))
        self._assess(plant, request, result, violation)
        return not violation[0, 1] <= self.system.constraint_tolerance


def _merits(tried: _Tried) -> Array:
    """The merits (S,); infinite where a plan has left what numbers can hold."""
    J = tried.outcome.J
    return np.where(np.isnan(J), math.inf, J)


def _take_best(tried: _Tried, result: Found, memory: Memory) -> None:
    """Makes the best of them the plan of a problem."""
    merits, plans = _merits(tried), tried.plans
    n = int(np.argmin(merits))
    result.x[0], result.u[0], result.J[0] = plans.x[n], plans.u[n], merits[n]
    result.start[0] = tried.numbers[n]
    for values, theirs in zip(memory, tried.memory, strict=True):
        values[0] = theirs[n]
