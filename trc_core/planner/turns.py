"""Turns of joints: encoders that wrap an angle, and plans that count its turns, get along."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from trc_core.numerics.cost import TURN
from trc_core.planner.history import History
from trc_core.problem.system import Array, System

PROBES = 8  # random states at which equations are compared with those a turn away
SAME = 1e-9
NEAR = 0.5  # half widths of the boxes, by which a prediction may be wrong


@lru_cache(maxsize=256)
def turning_places(system: System) -> tuple[int, ...]:
    """The places of the positions of joints in rad, which encoders may wrap."""
    joints = {joint.position for joint in system.joints if joint.position is not None}
    return tuple(i for i in sorted(joints) if system.state_units[i] == 'rad')


@lru_cache(maxsize=256)
def _counting_places(system: System) -> tuple[int, ...]:
    """Those of them that are no `angles`: a full turn makes a difference to plans."""
    return tuple(i for i in turning_places(system) if i not in system.wrapped)


def nearest_reading(x: Array, near: Sequence[float], places: Sequence[int]) -> Array:
    """A state whose angles are within half a turn of those of another one.

    Args:
        x: the state (n_x,) as it was read.
        near: the angles to be near to, one for each place.
        places: of the angles in x.
    """
    jumps = [x.item(i) - angle for i, angle in zip(places, near, strict=True)]
    if not jumps or max(map(abs, jumps)) <= 0.5 * TURN:
        return x
    turned = x.copy()
    turned[list(places)] -= TURN * np.round(np.array(jumps) / TURN)
    return turned


def unwrapped(system: System, x: Array, history: History) -> Array:
    """A state x (n_x,) whose joints have made as many turns as an earlier plan predicts.

    A plan for a joint in rad that is not one of the `angles` counts its turns; where its encoder
    does not, a state that jumps by more than half a turn, and whole turns before would have been
    near the prediction, was wrapped. Any other jump is taken at its word: the state is elsewhere.
    """
    places = _counting_places(system)
    if history.plan is None or not places:
        return x
    step = min(round(float(history.steps(system.dt))), system.horizon)
    predicted = history.plan.states.reshape(-1, system.n_x)[step]
    turned = nearest_reading(x, [predicted.item(i) for i in places], places)
    if turned is x or (np.abs(turned - predicted) > NEAR * _widths(system)).any():
        return x
    return turned


@lru_cache(maxsize=256)
def _widths(system: System) -> Array:
    """The half widths (n_x,) of the boxes; without limit where there are none."""
    width = system.x0_box + system.goal_box
    return np.where(width > 0.0, width, np.inf)


def undeclared_angles(system: System) -> list[str]:
    """Names of joints' states that seem to be angles, without being among the `angles`.

    They start anywhere in a full turn, and the plant moves alike after one.
    """
    rng, found = np.random.default_rng(0), []
    x = system.x0_centre + rng.uniform(-1.0, 1.0, (PROBES, system.n_x)) * system.x0_box
    u = rng.uniform(system.u_min, system.u_max, (PROBES, system.n_u))
    for i in turning_places(system):
        if system.state_names[i] in system.angles or system.x0_box[i] < math.pi:
            continue
        turned = x.copy()
        turned[:, i] += TURN
        before, after = system.derivative(x, u), system.derivative(turned, u)
        if np.allclose(before, after, rtol=SAME, atol=SAME):
            found.append(system.state_names[i])
    return found
