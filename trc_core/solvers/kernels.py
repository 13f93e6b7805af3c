"""Kernels of the experts that only labels need; they run as plain Python and under Numba."""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.backward import Gains, backward, new_curvature, no_push
from trc_core.numerics.rollout import plain, reproject, rollout, row


@register_jitable
def tracking_gains(plant, trajectory, r, K):
    """Fills K (T, n_u, n_x), the gains of iLQR along a trajectory, with the sign of `rollout`."""
    (T, n_u), n_x = trajectory.u.shape, r.shape[1]
    gains = Gains(np.empty((T, n_u)), K)
    curvature = new_curvature(T, n_u, np.empty((0, n_x, n_x)))
    backward(plant, trajectory, r, 0.0, gains, curvature, no_push(plant, T))
    for t in range(K.shape[0]):
        for i in range(K.shape[1]):
            for j in range(K.shape[2]):
                K[t, i, j] = -K[t, i, j]


@register_jitable
def batch_follow(plant, r, followed, trajectories):
    """Fills the trajectories that follow others from their own first states."""
    T, n_u = followed.u.shape[1:]
    K, v = np.empty((T, n_u, r.shape[2])), np.empty((T, n_u))
    for b in range(followed.u.shape[0]):
        tracking_gains(plant, row(followed, b), r[b], K)
        reproject(plant, plain(K), row(followed, b), r[b], v)
        x0 = trajectories.x[b, 0].copy()
        rollout(plant, plain(K), v, x0, r[b], row(trajectories, b))
