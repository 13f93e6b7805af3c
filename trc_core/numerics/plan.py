"""The `Plan`: what every expert and the controller return."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trc_core.problem.system import Array

if TYPE_CHECKING:
    from trc_core.planner.correction import Observation
    from trc_core.problem.system import System


NOTHING = 1e-100  # a cost that is none


def cost_ratio(cost: Any, optimum: Any) -> Any:
    """J/J* of numbers, arrays or tensors in double precision; 1 where neither costs anything."""
    return (cost + NOTHING) / (optimum + NOTHING)


@dataclass(frozen=True)
class Plan:
    """A control sequence and the trajectory that the model predicts for it.

    Physical units; a batch adds a leading axis to every field but the warnings.
    """

    controls: Array
    """(T, n_u), inside the bounds."""
    states: Array
    """(T + 1, n_x), predicted; states[0] is the state planned from."""
    cost: float
    """J of this plan."""
    source: str
    """Origin of the plan: 'lqr', 'nlp', 'network', 'refined', ..."""
    converged: bool = True
    """Whether the solver converged; if not, the plan is its last iterate."""
    cycles: int = 0
    """Refinement cycles (or solver iterations) spent."""
    candidates: Mapping[str, float] = field(default_factory=dict)
    """Predicted cost of every candidate that was considered, by source."""
    violation: float = 0.0
    """The largest violation max(0, h) of a constraint, in its unit; of a free duration also the
    largest error of a state that ends at the goal, in its unit."""
    merit: float = None  # type: ignore[assignment]
    """J + violation_weight sum max(0, h), by which plans are compared. Without constraints it is
    J."""
    times: Array | None = None
    """Seconds of every state since the plan began (T + 1,); None from experts of a fixed
    duration."""
    memory: Any = None
    """What the next plan gets by `warm_start`: a `Memory`, gains and multipliers of the last
    sweep, or of a free duration a `Flight`, the prices; None where there was no sweep."""
    warnings: tuple[str, ...] = ()
    """Warnings about the state and the plan, one line each."""
    observation: Observation | None = None
    """Estimates of a fine-tuned controller, which the next plan gets by `warm_start`. The arrays
    have a leading axis B, which is 1 for a single plan."""

    def __post_init__(self) -> None:
        if self.merit is None:
            object.__setattr__(self, 'merit', self.cost)


def step_of(plan: Plan, system: System) -> float:
    """Seconds of a step of a plan: its system's dt, or as its `times` say where they are free."""
    if system.final_time is None or plan.times is None:
        return system.dt
    return float(plan.times[-1]) / len(plan.controls)


def distinct(merits: Array, most: int, same: float) -> NDArray[np.int64]:
    """The numbers of the cheapest plans, in order, of which no two cost the same.

    There is at least one, even where every merit is infinite.

    Args:
        merits: (N,), infinite where a plan is of no use.
        most: how many.
        same: relative gap within which two merits count as one.
    """
    order = [int(n) for n in np.argsort(merits, kind='stable')]
    chosen = order[:1]
    for n in order[1:]:
        M = merits[n]
        if len(chosen) < most and math.isfinite(M) and M - merits[chosen[-1]] > same * abs(M):
            chosen.append(n)
    return np.array(chosen, dtype=np.int64)
