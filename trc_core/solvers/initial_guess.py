"""Start of the iterative experts: the clipped LQR roll-out, or a previous plan."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from trc_core.compile.kernels import compiled
from trc_core.numerics.plan import Plan
from trc_core.numerics.riccati import finite_horizon_gains, linearise
from trc_core.numerics.rollout import Trajectory, plain, reproject
from trc_core.problem.system import Array, System
from trc_core.solvers.problem import Problem

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
    parameters: Mapping[str, float] | None = None,
) -> tuple[Array, Array, float]:
    """A feasible trajectory from x0: of the clipped LQR, or tracking `warm_start` by LQR.

    Tracking, and not replaying its controls, is what keeps an unstable plant near a warm start
    that began at another state.

    Returns:
        states (T + 1, n_x), controls (T, n_u) inside the bounds, and the merit.

    Raises:
        ValueError: if x0, goal or the warm start has the wrong shape.
    """
    return guess(Problem.of(system, x0, goal, parameters), warm_start)


def guess(problem: Problem, warm_start: Plan | None = None) -> tuple[Array, Array, float]:
    """`initial_guess` of a problem; the gains are those about the end of its reference."""
    system = problem.system
    T, n_x, n_u = system.horizon, system.n_x, system.n_u
    law, v = plain(gains_of(system)(problem.goal)), np.zeros((T, n_u))
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
        follow(problem.plant, law, past, problem.r, v)
    return problem.fly(law, v)


def cheapest_start(problem: Problem, warm_start: Plan | None = None) -> tuple[Array, Array, float]:
    """`guess`, or where that is dearer, what a law of the plant does or its trim, held."""
    found = guess(problem, warm_start)
    if warm_start is not None or not (problem.system.laws or problem.system.task.constraints):
        return found
    others = [problem.hold_trim(), *problem.fly_laws().values()]
    return min([found, *others], key=lambda start: start[2] if np.isfinite(start[2]) else np.inf)
