"""Kernels of the steps of a program, all T of them at once."""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import hold, step_jacobian

DIFFERENCE = 1e-5  # of an input, at least of 1: the error of central differences is near 1e-10


@register_jitable
def take_steps(plant, x, u, x_next):
    """Fills x_next (T, n_x) with the states after a dt from x (T, n_x) with u (T, n_u)."""
    for t in range(u.shape[0]):
        hold(plant.dynamics, x[t], u[t], plant.dynamics.dt, x_next[t])


@register_jitable
def step_slopes(plant, x, u, A, B):
    """Fills the exact A (T, n_x, n_x) and B (T, n_x, n_u) of the steps."""
    for t in range(u.shape[0]):
        step_jacobian(plant.dynamics, x[t], u[t], A[t], B[t])


@register_jitable
def step_curvature(plant, x, u, multipliers, H):
    """Fills H (T, n, n), n = n_x + n_u, the second slopes of multipliers (T, n_x) times steps.

    They are central differences of exact slopes.
    """
    (T, n_x), n_u = x.shape, u.shape[1]
    A, B = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    state, control = np.empty(n_x), np.empty(n_u)
    ahead, behind = np.empty(n_x + n_u), np.empty(n_x + n_u)
    for t in range(T):
        for k in range(n_x + n_u):
            value = x[t, k] if k < n_x else u[t, k - n_x]
            h = DIFFERENCE * max(1.0, abs(value))
            for side in (h, -h):
                for i in range(n_x):
                    state[i] = x[t, i] + (side if i == k else 0.0)
                for i in range(n_u):
                    control[i] = u[t, i] + (side if n_x + i == k else 0.0)
                step_jacobian(plant.dynamics, state, control, A, B)
                _pull(multipliers[t], A, B, ahead if side > 0.0 else behind)
            for i in range(n_x + n_u):
                H[t, i, k] = (ahead[i] - behind[i]) / (2.0 * h)
        _make_symmetric(H[t])


@register_jitable
def _pull(multipliers, A, B, found):
    """Fills found (n,) with multipliers times (A, B)."""
    n_x, n_u = B.shape
    for i in range(n_x):
        total = 0.0
        for j in range(n_x):
            total += multipliers[j] * A[j, i]
        found[i] = total
    for i in range(n_u):
        total = 0.0
        for j in range(n_x):
            total += multipliers[j] * B[j, i]
        found[n_x + i] = total


@register_jitable
def _make_symmetric(H):
    for i in range(H.shape[0]):
        for k in range(i):
            mean = 0.5 * (H[i, k] + H[k, i])
            H[i, k] = mean
            H[k, i] = mean
