"""The objective, stated once: J of `System`, for arrays of any library and for kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from trc_core.problem.system import SUCCESS_TOLERANCE, Array, System

WRONG_BASIN = 1.02  # J/J* above which a plan renders another local optimum, or none


def trajectory_cost(system: System, states: Any, controls: Any, goal: Any) -> Any:
    """J of trajectories, for NumPy arrays and PyTorch tensors alike.

    Args:
        system: gives Q, R, Q_f and u_trim.
        states: (..., T + 1, n_x).
        controls: (..., T, n_u).
        goal: (..., n_x).

    Returns:
        (...,) J = sum e_t' Q e_t + (u_t - u_trim)' R (u_t - u_trim) + e_T' Q_f e_T.
    """
    Q, R, Q_f, u_trim = (_like(states, w) for w in (system.Q, system.R, system.Q_f, system.u_trim))
    error = states - goal[..., None, :]
    effort = controls - u_trim
    running = ((error[..., :-1, :] @ Q) * error[..., :-1, :]).sum((-2, -1))
    control = ((effort @ R) * effort).sum((-2, -1))
    terminal = ((error[..., -1, :] @ Q_f) * error[..., -1, :]).sum(-1)
    return running + control + terminal


def is_success(states: Any, goal: Any) -> Any:
    """Whether sum |x_T - goal| <= 0.1, for states (..., T + 1, n_x) and goal (..., n_x)."""
    return abs(states[..., -1, :] - goal).sum(-1) <= SUCCESS_TOLERANCE


def _like(reference: Any, weight: Array) -> Any:
    if isinstance(reference, np.ndarray):
        return weight
    return reference.new_tensor(weight)


@register_jitable
def quadratic(M, a):
    """A' M a."""
    total = 0.0
    for i in range(a.shape[0]):
        row = 0.0
        for j in range(a.shape[0]):
            row += M[i, j] * a[j]
        total += a[i] * row
    return total
