"""Progress towards a goal: waiting, holding, moving or reached, how far and for how long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from trc_core.flight.reference import Goal, ReferenceTrack, state_at
from trc_core.flight.safety import Decision, Measurement, SafetyState, TimedPlan
from trc_core.numerics.cost import difference
from trc_core.numerics.plan import step_of
from trc_core.problem.system import Array, System

LEAVES = 1.5  # times the tolerance: a goal that was reached is left beyond it
REST = 1.0  # [s] after its last point, a reference stands still


class GoalState(Enum):
    """State of the way to a goal."""

    WAITING = 'waiting'
    """Nothing is planned: no state, no goal, or the fallback flies."""
    HOLDING = 'holding'
    """Nobody has sent a goal, and the plant stays where it is."""
    MOVING = 'moving'
    REACHED = 'reached'
    """Every state is within its tolerance of the goal, or of the end of the reference."""


@dataclass(frozen=True)
class Progress:
    """Finding about the way to a goal."""

    state: GoalState
    reason: str = ''
    """Why it waits."""
    goal: Array | None = None
    """State (n_x,) to end in."""
    distance: float = math.nan
    """Distance to it, over the states that have the unit of the first one."""
    time_to_go: float = math.nan
    """Seconds until the plan has reached it; no number if that is beyond the plan."""


class GoalJudge:
    """Judges the progress towards goals; a goal that was reached is left beyond 1.5 tolerances.

    Args:
        system: the plant.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        units = system.state_units
        self._near = np.array([unit == units[0] for unit in units])
        self._reached: Goal | None = None

    def judge(
        self,
        now: float,
        decision: Decision | None,
        measurement: Measurement | None,
        goal: Goal | None,
        lead: float,
        accepted: TimedPlan | None,
        tolerance: Array,
    ) -> Progress:
        """The progress at a time.

        Args:
            now: on the clock of the measurement.
            decision: the newest one; None before the first, or while the loop does not run.
            measurement: the newest one.
            goal: what holds, the same object until there is another one; None to stay.
            lead: seconds by which that clock is ahead of the clock of references.
            accepted: the plan that flies.
            tolerance: largest error of each state (n_x,) that counts as reached.
        """
        if decision is None or measurement is None:
            return Progress(GoalState.WAITING, 'inactive' if decision is None else decision.reason)
        if decision.state in (SafetyState.WAITING, SafetyState.FALLBACK):
            return Progress(GoalState.WAITING, decision.reason)
        if goal is None:
            return Progress(GoalState.HOLDING)
        end, over = _end_of(goal), lead + _over_of(goal)
        error = np.abs(difference(self._system, measurement.x, end))
        factor = LEAVES if self._reached is goal else 1.0
        there = bool((error <= factor * tolerance).all()) and now >= over
        if self._system.final_time is not None and accepted is not None:
            there = there and accepted.end(self._system) - now < self._system.dt
        self._reached = goal if there else None
        return Progress(
            GoalState.REACHED if there else GoalState.MOVING,
            goal=end,
            distance=float(np.linalg.norm(error[self._near])),
            time_to_go=0.0 if there else self._arrival(accepted, end, over, tolerance) - now,
        )

    def _arrival(
        self, accepted: TimedPlan | None, end: Array, over: float, tolerance: Array
    ) -> float:
        """The time from which a plan stays within the tolerance; no number if it never does."""
        if accepted is None:
            return math.nan
        error = np.abs(difference(self._system, accepted.plan.states, end))
        outside = np.flatnonzero((error > tolerance).any(axis=1))
        first = int(outside[-1]) + 1 if len(outside) else 0
        if first >= len(error):
            return math.nan
        if self._system.final_time is not None:  # it is there when it ends, not as it flies by
            return max(accepted.end(self._system), over)
        return max(accepted.origin + first * step_of(accepted.plan, self._system), over)


def tolerance_of(system: System, stated: list[float]) -> Array:
    """The parameter `goal_tolerance` (n_x,); where it is empty, the system's own.

    Raises:
        ValueError: for a wrong length or a number that is not positive.
    """
    if not stated:
        return system.goal_tolerance
    if len(stated) != system.n_x:
        raise ValueError(
            f'goal_tolerance has {len(stated)} values; write one for each of '
            f'{list(system.state_names)}, or []'
        )
    tolerance = np.array(stated)
    if not (tolerance > 0.0).all():
        raise ValueError(f'goal_tolerance is {stated}; write positive numbers')
    return tolerance


def _end_of(goal: Goal) -> Array:
    """The state (n_x,) to end in; a reference ends at rest."""
    return state_at(goal, _over_of(goal) + REST)


def _over_of(goal: Goal) -> float:
    """The time [s] of the last point of a reference; a goal has always come to its end."""
    return float(goal.times[-1]) if isinstance(goal, ReferenceTrack) else -math.inf
