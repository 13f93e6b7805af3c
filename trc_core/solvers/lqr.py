"""Linear-quadratic control about the goal: the stationary gain and the clipped roll-out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from trc_core.numerics.plan import Plan
from trc_core.numerics.riccati import linearise
from trc_core.problem.system import Array, System
from trc_core.solvers.initial_guess import guess
from trc_core.solvers.problem import Problem


def infinite_horizon_gain(system: System) -> Array:
    """K (n_u, n_x) of the stationary discrete LQR (python-control's `dlqr`) amid the goal box.

    Raises:
        ValueError: if the pair (A, B) is not stabilisable there.
    """
    import control

    A, B = linearise(system, system.goal_centre)
    try:
        K, _, _ = control.dlqr(A, B, system.Q, system.R)
    except (control.ControlArgument, np.linalg.LinAlgError, ValueError) as error:
        raise ValueError(f"system '{system.name}' has no stationary LQR: {error}") from error
    return np.asarray(K)


def solve(
    system: System,
    x0: ArrayLike,
    goal: ArrayLike,
    parameters: Mapping[str, float] | None = None,
) -> Plan:
    """The finite-horizon LQR with clipped controls, rolled out on the true dynamics.

    Args:
        system: the plant.
        x0: initial state (n_x,).
        goal: goal state (n_x,), or a reference (T + 1, n_x).
        parameters: those that differ from the system's own, by name; the gains are those of its
            own.
    """
    problem = Problem.of(system, x0, goal, parameters)
    states, controls, merit = guess(problem)
    return problem.plan(controls, states, merit, 'lqr', converged=bool(np.isfinite(merit)))
