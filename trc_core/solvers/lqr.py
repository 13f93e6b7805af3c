"""Linear-quadratic control about the goal: gains, value matrices and the clipped roll-out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trc_core.plan import Plan
from trc_core.rollout import rollout
from trc_core.systems.base import Array, System
from trc_core.systems.compiled import compiled


def linearise(system: System, goal: ArrayLike) -> tuple[Array, Array]:
    """A (n_x, n_x) and B (n_x, n_u) of the discrete step at the goal with u = u_trim."""
    return system.step_jacobian(goal, system.u_trim)


def infinite_horizon_gain(system: System, goal: ArrayLike | None = None) -> Array:
    """K (n_u, n_x) of the stationary discrete LQR (python-control's `dlqr`) about the goal.

    Raises:
        ValueError: if the pair (A, B) is not stabilisable at the goal.
    """
    import control

    A, B = linearise(system, np.zeros(system.n_x) if goal is None else goal)
    try:
        K, _, _ = control.dlqr(A, B, system.Q, system.R)
    except (control.ControlArgument, np.linalg.LinAlgError, ValueError) as error:
        raise ValueError(f"system '{system.name}' has no stationary LQR: {error}") from error
    return np.asarray(K)


def finite_horizon_gains(
    system: System, goal: ArrayLike | None = None
) -> tuple[Array, Array, Array]:
    """Backward Riccati recursion of the discrete LQ problem about the goal (default: zeros).

    H_t = R + B' P_{t+1} B,  K_t = H_t^{-1} B' P_{t+1} A,
    P_t = Q + K_t' R K_t + (A - B K_t)' P_{t+1} (A - B K_t),  P_T = Q_f.

    Returns:
        K (T, n_u, n_x), P (T + 1, n_x, n_x) and H (T, n_u, n_u).
    """
    A, B = linearise(system, np.zeros(system.n_x) if goal is None else goal)
    T = system.horizon
    K = np.empty((T, system.n_u, system.n_x))
    P = np.empty((T + 1, system.n_x, system.n_x))
    H = np.empty((T, system.n_u, system.n_u))
    P[T] = system.Q_f
    for t in range(T - 1, -1, -1):
        H[t] = system.R + B.T @ P[t + 1] @ B
        K[t] = np.linalg.solve(H[t], B.T @ P[t + 1] @ A)
        closed = A - B @ K[t]
        P[t] = system.Q + K[t].T @ system.R @ K[t] + closed.T @ P[t + 1] @ closed
        P[t] = 0.5 * (P[t] + P[t].T)
    return K, P, H


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
    states, controls = np.empty((system.horizon + 1, system.n_x)), np.empty_like(v)
    J = compiled(rollout, system)(system.arrays, K, v, x0, goal, states, controls)
    return Plan(controls, states, float(J), 'lqr', converged=bool(np.isfinite(J)))
