"""How a flight went: what it cost, whether the plant was lost, and whether its goal was held."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trc_core.numerics.cost import constant_reference, difference, trajectory_cost
from trc_core.problem.system import Array, System

LOST = 10.0  # times as far as the farthest corner of the boxes, as the weights measure it
BROKEN = 5.0  # times `constraint_tolerance` beyond a limit of a state
HELD = 3.0  # times `goal_tolerance`: a plant that differs from its model settles beside the goal


@dataclass(frozen=True)
class Flown:
    """One flight, judged."""

    cost: float
    """Stage costs along the way, and the terminal cost at the end; inf if a state was not
    finite."""
    fallen: bool
    """Whether the plant was lost on the way, as `has_fallen`."""
    held: bool
    """Whether it ended at the goal, as `is_held`."""

    @classmethod
    def of(cls, system: System, states: Array, controls: Array, goal: Array) -> Flown:
        """Judges what was flown.

        Args:
            system: the model, whose cost is counted.
            states: (ticks + 1, n_x); the last one may not be finite, and ends the flight.
            controls: (ticks, n_u).
            goal: (n_x,).
        """
        fallen = has_fallen(system, states, goal)
        if not np.isfinite(states).all():
            return cls(np.inf, fallen, False)
        if system.task.residuals:  # of as many time steps as were flown
            system = replace(system, horizon=max(1, len(controls)))
        reference = constant_reference(goal, len(controls))
        cost = float(trajectory_cost(system, states, controls, reference))
        return cls(cost, fallen, is_held(system, states[-1], goal))


def has_fallen(system: System, states: Array, goal: Array) -> bool:
    """Whether a plant was lost: it broke a limit of a state, or it diverged.

    A limit is broken by five times `constraint_tolerance`, and by more than at the start. A
    plant diverges where a state is not finite, or ten times as far from the goal as the boxes
    reach, measured by the weights: the square root of e' (Q + Q_f) e. Neither depends on the
    horizon of the plans, nor on the units in which a problem is written down.

    Args:
        system: gives limits, weights and boxes.
        states: (ticks + 1, n_x).
        goal: (n_x,).
    """
    if not np.isfinite(states).all():
        return True
    beyond = _beyond_limits(system, states)
    allowed = np.maximum(beyond[0], BROKEN * system.constraint_tolerance)
    weight = system.Q + system.Q_f
    error = difference(system, states, goal)
    distance = np.einsum('ti,ij,tj->t', error, weight, error)
    known = np.where(np.isfinite(system.goal_tolerance), system.goal_tolerance, 0.0)
    corner = np.maximum(system.reach, known)
    farthest = LOST**2 * float(corner @ np.abs(weight) @ corner)
    return bool((beyond > allowed).any() or (distance > max(farthest, distance[0])).any())


def is_held(system: System, x: Array, goal: Array) -> bool:
    """Whether every state of x (n_x,) is within three times `goal_tolerance` of the goal (n_x,).

    Once that tolerance is the measure of plans; a plant that differs from its model settles
    somewhat beside the goal, and has not left it.
    """
    return bool((np.abs(difference(system, x, goal)) <= HELD * system.goal_tolerance).all())


def _beyond_limits(system: System, states: Array) -> NDArray[np.float64]:
    """How far states (ticks + 1, n_x) are outside of x_min and x_max."""
    beyond = np.zeros_like(states)
    if system.x_min is not None:
        beyond = np.maximum(beyond, system.x_min - states)
    if system.x_max is not None:
        beyond = np.maximum(beyond, states - system.x_max)
    return beyond
