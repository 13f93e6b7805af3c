"""Linear-quadratic control about the goal: the stationary gain and the clipped roll-out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trc_core.numerics.batch import roll_out
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.plan import Plan
from trc_core.numerics.riccati import finite_horizon_gains, linearise
from trc_core.numerics.rollout import plain
from trc_core.problem.system import Array, System


def infinite_horizon_gain(system: System) -> Array:
    """K (n_u, n_x) of the stationary discrete LQR (python-control's `dlqr`) about the origin.

    Raises:
        ValueError: if the pair (A, B) is not stabilisable there.
    """
    import control

    A, B = linearise(system, np.zeros(system.n_x))
    try:
        K, _, _ = control.dlqr(A, B, system.Q, system.R)
    except (control.ControlArgument, np.linalg.LinAlgError, ValueError) as error:
        raise ValueError(f"system '{system.name}' has no stationary LQR: {error}") from error
    return np.asarray(K)


def solve(system: System, x0: ArrayLike, goal: ArrayLike) -> Plan:
    """The finite-horizon LQR with clipped controls, rolled out on the true dynamics.

    Args:
        system: the plant.
        x0: initial state (n_x,).
        goal: goal state (n_x,).
    """
    x0, goal = np.asarray(x0, dtype=np.float64), np.asarray(goal, dtype=np.float64)
    K, _, _ = finite_horizon_gains(system, goal)
    v = np.zeros((system.horizon, system.n_u))
    states, controls, J = roll_out(
        system, plain(K), v, x0, constant_reference(goal, system.horizon)
    )
    return Plan(controls, states, J, 'lqr', converged=bool(np.isfinite(J)))
