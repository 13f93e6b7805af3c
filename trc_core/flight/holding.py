"""Holding: the state at rest in which a plant stays while nobody has sent it a goal."""

from __future__ import annotations

import numpy as np

from trc_core.numerics.cost import difference
from trc_core.planner.inputs import OUTSIDE_FACTOR
from trc_core.problem.discretise import RATE
from trc_core.problem.system import Array, System

NEWTON_STEPS = 20
NEWTON_TOLERANCE = 1e-9  # of the width of a state
LONGEST_STEP = 0.25  # of it: a longer one may lead past the nearest state at rest
STILL = 0.1  # of `goal_tolerance`, by which a held state may drift within a plan


def resting_state(system: System, x: Array, p: Array | None = None) -> Array | None:
    """The state at rest (n_x,) nearest to x (n_x,) that the trim control holds.

    It is found by Gauss-Newton steps of least length, measured in widths of the boxes, from x with
    joints that stand still.

    Args:
        system: the plant.
        x: where it is.
        p: parameters (n_p,); the system's own by default.

    Returns:
        The state, or None where there is none that the steps reach, or where the equations are too
        long for slopes.
    """
    p = system.p if p is None else p
    rest, width = x.copy(), _widths(system)
    rest[[j.velocity for j in system.joints if j.velocity is not None]] = 0.0
    for _ in range(NEWTON_STEPS):
        try:
            drift, A = _drift(system, rest, p)
        except OverflowError:
            return None
        if not (np.isfinite(drift).all() and np.isfinite(A).all()):
            return None
        step = -np.linalg.pinv(A * width) @ drift  # in widths
        longest = float(np.abs(step).max())
        if longest > LONGEST_STEP:
            step *= LONGEST_STEP / longest
        rest = rest + width * step
        if longest <= NEWTON_TOLERANCE:
            break
    drift, _ = _drift(system, rest, p)
    allowed = STILL * np.where(np.isfinite(system.goal_tolerance), system.goal_tolerance, width)
    held = np.abs(drift) * system.horizon * system.dt <= allowed  # False for what is no number
    return rest if held.all() else None


def staying_state(system: System, x: Array, p: Array | None = None) -> Array | None:
    """The state at rest (n_x,) in which a plant stays where it is; None if it cannot.

    It can if a state at rest lies within `goal_tolerance` of x (n_x,), whatever its speed, up to
    1.5 times the speeds of the boxes. The arguments are those of `resting_state`.
    """
    rates = _rates(system)
    fastest = OUTSIDE_FACTOR * (np.abs(system.x0_centre) + system.x0_box + system.goal_box)
    if (np.abs(x) > np.where(fastest > 0.0, fastest, np.inf))[rates].any():
        return None
    rest = resting_state(system, x, p)
    if rest is None:
        return None
    near = np.abs(difference(system, x, rest)) <= system.goal_tolerance
    return rest if (near | rates).all() else None


class Anchor:
    """Remembers where a plant stays, from the first state on, until it is released.

    Args:
        system: the plant.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._decided = False
        self.state: Array | None = None
        """State (n_x,) that is held."""

    def at(self, x: Array, p: Array | None = None) -> Array | None:
        """The state (n_x,) to hold; None where the plant could not stay in its first state.

        Args:
            x: the newest state, which counts if it is the first.
            p: parameters (n_p,); the system's own by default.
        """
        if not self._decided:
            self.state, self._decided = staying_state(self._system, x, p), True
        return self.state

    def release(self) -> None:
        """Begins anew with the next state."""
        self.state, self._decided = None, False


def _drift(system: System, x: Array, p: Array) -> tuple[Array, Array]:
    """The time derivative (n_x,) at x under its trim control, and its slopes A (n_x, n_x)."""
    with np.errstate(all='ignore'):
        u = system.trims(x, p)
        found = system.rate_slopes.evaluate([*x, *u, *p])
    drift = np.array(found[RATE], dtype=np.float64)
    return drift, np.array(found['A'], dtype=np.float64).reshape(len(x), len(x))


def _widths(system: System) -> Array:
    return np.where(system.reach > 0.0, system.reach, 1.0)


def _rates(system: System) -> Array:
    """Whether each state (n_x,) is a speed, of a joint or by its unit."""
    moving = {joint.velocity for joint in system.joints}
    rows = enumerate(system.state_units)
    return np.array([i in moving or unit.endswith('/s') for i, unit in rows])
