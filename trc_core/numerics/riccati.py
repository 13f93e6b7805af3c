"""The discrete LQ problem about a goal: linearisation, gains and value matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trc_core.problem.system import Array, System


def linearise(system: System, goal: ArrayLike) -> tuple[Array, Array]:
    """A (n_x, n_x) and B (n_x, n_u) of the discrete step at the goal with its trim.

    Raises:
        ValueError: if the duration of plans is free: steps have no length then.
    """
    if system.final_time is not None:
        raise ValueError(
            f"'{system.name}' has a free duration, for which there is no LQR; plan with "
            "Controller.classical or with the experts 'ipddp' and 'nlp'"
        )
    return system.step_jacobian(goal, system.trims(np.asarray(goal, dtype=np.float64)))


def finite_horizon_gains(
    system: System, goal: ArrayLike | None = None
) -> tuple[Array, Array, Array]:
    """Backward Riccati recursion of the discrete LQ problem about a goal.

    That of the middle of the goal box by default.

    H_t = R + B' P_{t+1} B,  K_t = H_t^{-1} B' P_{t+1} A,
    P_t = Q + K_t' R K_t + (A - B K_t)' P_{t+1} (A - B K_t),  P_T = Q_f.

    Returns:
        K (T, n_u, n_x), P (T + 1, n_x, n_x) and H (T, n_u, n_u).
    """
    A, B = linearise(system, system.goal_centre if goal is None else goal)
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


def cost_to_go(system: System, K: Array) -> tuple[Array, Array]:
    """The cost of any gains K (T, n_u, n_x) about the middle of the goal box, where LQ holds.

    P_t = Q + K_t' R K_t + (A - B K_t)' P_{t+1} (A - B K_t),  H_t = R + B' P_{t+1} B,  P_T = Q_f.

    Returns:
        P (T + 1, n_x, n_x) and H (T, n_u, n_u).
    """
    A, B = linearise(system, system.goal_centre)
    P = np.empty((system.horizon + 1, system.n_x, system.n_x))
    H = np.empty((system.horizon, system.n_u, system.n_u))
    P[-1] = system.Q_f
    for t in range(system.horizon - 1, -1, -1):
        closed = A - B @ K[t]
        H[t] = system.R + B.T @ P[t + 1] @ B
        P[t] = system.Q + K[t].T @ system.R @ K[t] + closed.T @ P[t + 1] @ closed
        P[t] = 0.5 * (P[t] + P[t].T)
    return P, H
