"""The judge of an exam: figures of a planner beside the best plans that anything found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.numerics.cost import WRONG_BASIN
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array

Record = Mapping[str, Any]
PLANNERS = ('classical', 'network', 'ipopt', 'fatrop', 'sweeps')
SOLVERS = ('ipopt', 'fatrop')
FEASIBLE = 1e-3  # largest violation of a constraint, in its unit, of a plan that keeps them
GOOD = 1.01  # J/J*, in the mean, of a planner that passes


class Answers(NamedTuple):
    """Answers of one planner to the N problems of an exam."""

    cost: Array
    """J (N,); inf where there is no plan."""
    merit: Array
    """The merit (N,)."""
    violation: Array
    """The largest violation (N,)."""
    converged: NDArray[np.bool_]
    """Whether the planner says that it converged (N,)."""
    seconds: Array
    """CPU time (N,) [s]."""

    @classmethod
    def of(cls, plans: Sequence[Plan], seconds: Iterable[float]) -> Answers:
        """The answers of some plans."""
        return cls(
            np.array([plan.cost for plan in plans]),
            np.array([plan.merit for plan in plans]),
            np.array([plan.violation for plan in plans]),
            np.array([plan.converged for plan in plans]),
            np.array(list(seconds)),
        )

    @classmethod
    def read(cls, record: dict[str, Any]) -> Answers:
        """Answers from JSON values; None stands for infinity there."""
        arrays = {
            name: [np.inf if value is None else value for value in record[name]]
            for name in cls._fields
        }
        converged = np.array(arrays.pop('converged'), dtype=np.bool_)
        numbers = {name: np.array(values, np.float64) for name, values in arrays.items()}
        return cls(converged=converged, **numbers)

    def record(self) -> dict[str, Any]:
        """JSON values, which have no infinity."""
        return {
            name: [None if not np.isfinite(v) else v for v in values.tolist()]
            for name, values in self._asdict().items()
        }


class Best(NamedTuple):
    """The best that any planner found on each of N problems."""

    cost: Array
    """J* (N,): the lowest J of a plan that keeps the constraints."""
    merit: Array
    """M* (N,): the lowest merit."""


def best_of(answers: Iterable[Answers]) -> Best:
    """The best of all planners, problem by problem.

    Where no planner keeps the constraints, J* is that of the lowest merit.
    """
    rows = list(answers)
    merits = np.array([_finite(row.merit) for row in rows])
    costs = np.array([_finite(row.cost) for row in rows])
    keeps = np.array([row.violation <= FEASIBLE for row in rows])
    feasible = np.where(keeps, costs, np.inf).min(axis=0)
    cheapest = costs[merits.argmin(axis=0), np.arange(costs.shape[1])]
    return Best(np.where(np.isfinite(feasible), feasible, cheapest), merits.min(axis=0))


class Marks(NamedTuple):
    """Figures of one planner in one exam."""

    mean: float
    """Mean of J/J*; with a constant C, of 1 + (J - J*) / |J* - C|."""
    worst: float
    merit: float
    """Mean of M/M*, in the same way."""
    wrong: float
    """Share of problems with J/J* above 1.02, or with a violation above `FEASIBLE`."""
    violation: float
    """The largest of all plans."""
    milliseconds: float
    """Median CPU time of a plan."""

    @property
    def passes(self) -> bool:
        """Whether J is within 1 % of the best known in the mean, and all constraints are kept."""
        return self.mean <= GOOD and self.violation <= FEASIBLE


def marks_of(answers: Answers, best: Best, constant: float = 0.0) -> Marks:
    """The marks of a planner.

    Args:
        answers: of the planner.
        best: of the same problems.
        constant: a part of J that no plan changes.
    """
    ratio = _ratio(answers.cost, best.cost, constant)
    fine = (ratio <= WRONG_BASIN) & (answers.violation <= FEASIBLE)
    return Marks(
        float(np.mean(ratio)),
        float(np.max(ratio)),
        float(np.mean(_ratio(answers.merit, best.merit, constant))),
        float(np.mean(~fine)),
        float(np.max(answers.violation)),
        1e3 * float(np.median(answers.seconds)),
    )


def marks(exam: Record) -> dict[str, Marks]:
    """The marks of every planner that took an exam, by name."""
    rows = {
        name: Answers.read(exam[name])
        for name in PLANNERS
        if name in exam and 'merit' in exam[name]
    }
    if not rows:
        return {}
    best = best_of(rows.values())
    return {name: marks_of(row, best, exam['constant']) for name, row in rows.items()}


def passes(exam: Record) -> bool:
    """Whether the classical or the trained controller passes, beside a solver that is not ours."""
    found = marks(exam)
    if not any(name in found for name in SOLVERS):
        return False
    return any(found[name].passes for name in ('classical', 'network') if name in found)


def _ratio(value: Array, best: Array, constant: float) -> Array:
    """1 + (value - best) / |best - constant| (N,); inf where the value is no number."""
    scale = np.maximum(np.abs(best - constant), 1e-12)
    return 1.0 + (_finite(value) - best) / scale


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.inf)
