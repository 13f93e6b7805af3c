"""Start of the iterative experts: the clipped LQR roll-out, or a previous plan."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.numerics.batch import roll_out
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.plan import Plan
from trc_core.numerics.riccati import finite_horizon_gains, linearise
from trc_core.numerics.rollout import Trajectory, plain, reproject
from trc_core.problem.system import Array, System
from trc_core.solvers.replay import state_vector

GAINS_KEPT = 256


class Gains:
    """LQR gains by goal, computed once for all goals that share their linearisation."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._known: dict[bytes, Array] = {}

    def __call__(self, goal: Array) -> Array:
        """K (T, n_u, n_x) about the goal (n_x,)."""
        A, B = linearise(self.system, goal)
        key = A.tobytes() + B.tobytes()
        if key not in self._known:
            if len(self._known) >= GAINS_KEPT:
                self._known.clear()
            self._known[key] = finite_horizon_gains(self.system, goal)[0]
        return self._known[key]


gains_of = lru_cache(maxsize=16)(Gains)


def initial_guess(
    system: System,
    x0: ArrayLike,
    goal: ArrayLike,
    warm_start: Plan | None = None,
) -> tuple[Array, Array, float]:
    """A feasible trajectory from x0: of the clipped LQR, or tracking `warm_start` by LQR.

    Tracking, and not replaying its controls, is what keeps an unstable plant near a warm start
    that began at another state.

    Returns:
        states (T + 1, n_x), controls (T, n_u) inside the bounds, and J.

    Raises:
        ValueError: if x0, goal or the warm start has the wrong shape.
    """
    x0, goal = state_vector(system, 'x0', x0), state_vector(system, 'goal', goal)
    T, n_x, n_u = system.horizon, system.n_x, system.n_u
    law, v = plain(gains_of(system)(goal)), np.zeros((T, n_u))
    r = constant_reference(goal, T)
    if warm_start is not None:
        shapes = warm_start.states.shape, warm_start.controls.shape
        if shapes != ((T + 1, n_x), (T, n_u)):
            raise ValueError(
                f'warm start has states and controls of shapes {shapes}, '
                f'expected {((T + 1, n_x), (T, n_u))}'
            )
        follow = compiled(reproject)
        states = np.ascontiguousarray(warm_start.states)
        past = Trajectory(states, np.ascontiguousarray(warm_start.controls))
        follow(plant_of(system), law, past, r, v)
    return roll_out(system, law, v, x0, r)
