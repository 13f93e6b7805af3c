"""Scores of plans whose duration is free: whether they arrive, how exactly, and what they spend.

What a plan spends is its cost, less what a linear terminal cost would be at the start: the fuel of
a lander, the time of a plan that is to be short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trc_core.checkpoint import load_checkpoint, save_checkpoint
from trc_core.evaluation.conclusion import METRIC
from trc_core.evaluation.evaluator import Planner, planned
from trc_core.evaluation.problems import Problems, draw_problems
from trc_core.numerics.cost import violations
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
from trc_core.progress import progress_bar
from trc_core.systems.registry import why_impossible


@dataclass(frozen=True)
class ArrivalScores:
    """Figures of one planner over a set of problems."""

    arrived: float
    """Share of plans that end near the goal and keep the constraints (`has_arrived`)."""
    errors: Mapping[str, tuple[float, float]]
    """Median and 95th percentile of the error at the end, by the unit of its states."""
    ratio: float
    """Mean of what arriving plans spend over the least that is known."""
    ratio_p95: float
    milliseconds: float
    """Median CPU time of a plan."""


@dataclass(frozen=True)
class Arrivals:
    """The scores of several planners on the same states."""

    title: str
    scores: Mapping[str, ArrivalScores]
    states: int
    seed: int
    hopeless: int
    """States left out because a certificate says that they have no plan."""
    unsolved: int
    """States left out because no planner arrived."""

    def keep_in(self, path: Path) -> None:
        """Writes the figures into the metrics of a checkpoint."""
        save_checkpoint(path, load_checkpoint(path).with_figures(METRIC, self.figures()))

    def figures(self) -> dict[str, Any]:
        """The table as JSON values."""
        scores = {label: asdict(scores) for label, scores in self.scores.items()}
        counts = {name: getattr(self, name) for name in ('states', 'seed', 'hopeless', 'unsolved')}
        return {**counts, 'scores': scores}

    def __str__(self) -> str:
        units = list(next(iter(self.scores.values())).errors)
        headings = ['arrived', *(f'{unit} {p}' for unit in units for p in ('p50', 'p95'))]
        headings += ['spent', 'spent p95', 'ms']
        lines = [
            f'{self.title}: {self.states} states (seed {self.seed}), of which {self.hopeless} '
            f'cannot be reached from and {self.unsolved} were solved by nobody; what is spent is '
            'relative to the least of all rows',
            ' ' * 30 + ''.join(f'{heading:>11}' for heading in headings),
        ]
        for label, s in self.scores.items():
            errors = ''.join(f'{value:11.3g}' for pair in s.errors.values() for value in pair)
            behind = f'{s.ratio:11.5f}{s.ratio_p95:11.5f}{s.milliseconds:11.3f}'
            lines.append(f'{label:30}{s.arrived:11.1%}{errors}{behind}')
        return '\n'.join(lines)


def errors_by_unit(system: System, ends: Array, goal: Array) -> dict[str, Array]:
    """The lengths (N,) of the errors of last states (N, n_x), by the unit of states with a goal.

    Only the states that have to end at the goal count.
    """
    found: dict[str, Array] = {}
    for unit in dict.fromkeys(system.state_units):
        places = [
            i
            for i, name in enumerate(system.state_names)
            if name in system.terminal and system.state_units[i] == unit
        ]
        if places:
            found[unit] = np.linalg.norm((ends - goal)[:, places], axis=1)
    return found


def has_arrived(system: System, ends: Array, goal: Array, violation: Array) -> Array:
    """Whether last states (N, n_x) are within the goal's tolerance and constraints are kept.

    The errors of states with the same unit count as one length, against the least tolerance of
    them.
    """
    arrived = violation <= system.constraint_tolerance
    for unit, error in errors_by_unit(system, ends, goal).items():
        same = [i for i, name in enumerate(system.state_units) if name == unit]
        kept = [i for i in same if system.state_names[i] in system.terminal]
        arrived &= error <= system.goal_tolerance[kept].min()
    return np.asarray(arrived)


def worst_violation(system: System, plan: Plan, goal: Array) -> float:
    """The largest violation of a constraint before the end, where the errors count instead."""
    found = violations(system, plan, goal[None])[:-1]
    return float(np.nan_to_num(found, nan=np.inf).max(initial=0.0))


def spent(system: System, x0: Array, cost: Array) -> Array:
    """What plans of some costs (N,) from x0 (N, n_x) spend (N,)."""
    return cost if system.terminal_cost is None else cost - x0 @ system.terminal_cost


def evaluate_arrivals(
    title: str, system: System, table: Mapping[str, Planner], states: int, seed: int
) -> Arrivals:
    """Scores every planner of a table on fresh problems of a system whose plans' time is free.

    Raises:
        ValueError: if nobody arrives anywhere.
    """
    problems = draw_problems(system, states, seed)
    hopeful = np.array([why_impossible(system, x, {}) is None for x in problems.x0])
    problems = problems.rows(hopeful)
    plans: dict[str, list[Plan]] = {}
    times: dict[str, list[float]] = {}
    for label, planner in table.items():
        planned(planner, problems, 0)  # compiles, which counts for nobody
        bar = progress_bar(range(len(problems.x0)), label=label, leave=False)
        found = [planned(planner, problems, i) for i in bar]
        plans[label] = [plan for plan, _ in found]
        times[label] = [seconds for _, seconds in found]
    least = np.min([_spent_where_arrived(system, own, problems) for own in plans.values()], 0)
    solved = np.isfinite(least)
    if not solved.any():
        raise ValueError(f"no planner arrived in any of {states} problems of '{system.name}'")
    scores = {
        label: _scores(system, own, times[label], problems, least, solved)
        for label, own in plans.items()
    }
    hopeless, unsolved = int((~hopeful).sum()), int((~solved).sum())
    return Arrivals(title, scores, states, seed, hopeless, unsolved)


def _spent_where_arrived(system: System, plans: Sequence[Plan], problems: Problems) -> Array:
    """What plans spend (N,), inf where they do not arrive."""
    ends = np.array([plan.states[-1] for plan in plans])
    cost = np.array([plan.cost for plan in plans])
    violation = np.array(
        [worst_violation(system, plan, g) for plan, g in zip(plans, problems.goal, strict=True)]
    )
    arrived = has_arrived(system, ends, problems.goal, violation)
    return np.where(arrived, spent(system, problems.x0, cost), np.inf)


def _scores(
    system: System,
    plans: Sequence[Plan],
    seconds: Sequence[float],
    problems: Problems,
    least: Array,
    solved: Array,
) -> ArrivalScores:
    ends = np.array([plan.states[-1] for plan in plans])
    used = _spent_where_arrived(system, plans, problems)
    arrived = np.isfinite(used) & solved
    ratio = used[arrived] / least[arrived] if arrived.any() else np.array([np.nan])
    errors = errors_by_unit(system, ends[solved], problems.goal[solved])
    quantiles = {
        unit: (float(np.median(e)), float(np.quantile(e, 0.95))) for unit, e in errors.items()
    }
    return ArrivalScores(
        arrived=float(arrived.sum() / solved.sum()),
        errors=quantiles,
        ratio=float(ratio.mean()),
        ratio_p95=float(np.quantile(ratio, 0.95)),
        milliseconds=1e3 * float(np.median(seconds)),
    )
