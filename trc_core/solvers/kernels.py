"""Kernels of the experts that only labels need; they run as plain Python and under Numba."""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.ilqr import backward, improve
from trc_core.numerics.rollout import plain, reproject, rollout


@register_jitable
def batch_follow(
    step, step_jacobian, system, goal, sweeps, x_ref, u_ref, x, u, J, spent, converged
):
    """Improves the plans that follow x_ref, u_ref from x[:, 0] with the gains of iLQR there.

    Fills x (B, T + 1, n_x), u (B, T, n_u), J, spent and converged, each (B,).
    """
    T, n_u = u.shape[1:]
    n_x = goal.shape[1]
    k, K, v = np.empty((T, n_u)), np.empty((T, n_u, n_x)), np.empty((T, n_u))
    for b in range(u.shape[0]):
        backward(step, step_jacobian, system, goal[b], x_ref[b], u_ref[b], 0.0, k, K)
        for t in range(T):
            for i in range(n_u):
                for j in range(n_x):
                    K[t, i, j] = -K[t, i, j]  # `rollout` subtracts its feedback
        reproject(system, plain(K), x_ref[b], u_ref[b], goal[b], v)
        rollout(step, step_jacobian, system, plain(K), v, x[b, 0].copy(), goal[b], x[b], u[b])
        J[b], spent[b], converged[b] = improve(
            step, step_jacobian, system, goal[b], sweeps, x[b], u[b]
        )
