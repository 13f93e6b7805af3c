"""Range of goals: how far from where a controller was trained it may be sent."""

from __future__ import annotations

import numpy as np

from trc_core.flight.ranges import StateBox
from trc_core.planner.inputs import OUTSIDE_FACTOR
from trc_core.problem.system import Array, System


def trained_goals(system: System) -> StateBox:
    """The box that goals lie in by default.

    It holds the boxes of initial states and of goals, and is 1.5 times as wide. A state without
    any width there has that of the widest one of its unit, or no limit if there is none. Speeds of
    joints may be at least the width of their positions in a second.
    """
    box = StateBox.of_training(system)
    low, high = np.array(box.low), np.array(box.high)
    middle, half = 0.5 * (low + high), 0.5 * OUTSIDE_FACTOR * (high - low)
    half = _of_the_same_unit(system, half)
    for joint in system.joints:
        if joint.position is not None and joint.velocity is not None:
            half[joint.velocity] = max(half[joint.velocity], 2.0 * half[joint.position])
    return StateBox.of(system, middle - half, middle + half)


def out_of_range(limits: StateBox, states: Array) -> str:
    """The reason why a goal (n_x,), or a point of a reference (N, n_x), lies outside; '' if none.

    Args:
        limits: the parameters `goal_limits`.
        states: to be reached.
    """
    for k, x in enumerate(np.atleast_2d(states)):
        if reason := limits.outside(x):
            place = f'point {k}: ' if states.ndim > 1 else ''
            return f'{place}{reason}; goal_limits.min and goal_limits.max say where goals may be'
    return ''


def _of_the_same_unit(system: System, half: Array) -> Array:
    """The half widths (n_x,), those of zero replaced."""
    units = system.state_units
    found = half.copy()
    for i in np.flatnonzero(half == 0.0):
        widest = max(half[j] for j, unit in enumerate(units) if unit == units[i])
        found[i] = widest if widest > 0.0 else np.inf
    return found
