"""The objective and its slopes, for arrays of any library and for kernels: the only place.

J = sum over t < T of e_t' Q e_t + w_t' R w_t, plus e_T' Q_f e_T, with the error e_t = x_t - r_t to
the reference r and the effort w_t = u_t - u_trim. A constant goal g is the reference r_t = g.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba.extending import register_jitable

if TYPE_CHECKING:
    from trc_core.problem.system import Array, System

SUCCESS_TOLERANCE = 0.1  # a plan succeeds when sum |x_T - r_T| is at most this
WRONG_BASIN = 1.02  # J/J* above which a plan renders another local optimum, or none


def constant_reference(goal: Any, horizon: int) -> Array:
    """The reference (..., T + 1, n_x) that stays at a goal (..., n_x), contiguous."""
    goal = np.asarray(goal, dtype=np.float64)
    return np.repeat(goal[..., None, :], horizon + 1, axis=-2)


def trajectory_cost(system: System, states: Any, controls: Any, reference: Any) -> Any:
    """J of trajectories, for NumPy arrays (also of expressions) and PyTorch tensors alike.

    Args:
        system: gives Q, R, Q_f and u_trim.
        states: (..., T + 1, n_x).
        controls: (..., T, n_u).
        reference: broadcasts to (..., T + 1, n_x).

    Returns:
        J (...,).
    """
    error = states - reference
    return stage_cost(system, error[..., :-1, :], controls).sum(-1) + terminal_cost(
        system, error[..., -1, :]
    )


def stage_cost(system: System, error: Any, control: Any) -> Any:
    """The term of J (...,) of time steps with errors (..., n_x) and controls (..., n_u)."""
    effort = control - _like(control, system.u_trim)
    return _quadratics(system.Q, error) + _quadratics(system.R, effort)


def terminal_cost(system: System, error: Any) -> Any:
    """The last term of J (...,) at errors (..., n_x)."""
    return _quadratics(system.Q_f, error)


def _quadratics(M: Array, a: Any) -> Any:
    """A' M a (...,) for rows a (..., n)."""
    return ((a @ _like(a, M)) * a).sum(-1)


def is_success(states: Any, goal: Any) -> Any:
    """Whether sum |x_T - goal| <= 0.1, for states (..., T + 1, n_x) and goal (..., n_x)."""
    return abs(states[..., -1, :] - goal).sum(-1) <= SUCCESS_TOLERANCE


def _like(like: Any, weight: Array) -> Any:
    return weight if isinstance(like, np.ndarray) else like.new_tensor(weight)


@register_jitable
def quadratic(M, a):
    """A' M a, for a symmetric M."""
    total = 0.0
    for i in range(a.shape[0]):
        row = 0.5 * M[i, i] * a[i]
        for j in range(i):
            row += M[i, j] * a[j]
        total += a[i] * row
    return 2.0 * total


@register_jitable(inline='always')
def error_at(x, r, t, error):
    """Fills error (n_x,) = x[t] - r[t]."""
    for i in range(error.shape[0]):
        error[i] = x[t, i] - r[t, i]


@register_jitable(inline='always')
def effort_at(u, t, u_trim, effort):
    """Fills effort (n_u,) = u[t] - u_trim."""
    for i in range(effort.shape[0]):
        effort[i] = u[t, i] - u_trim[i]


@register_jitable(inline='always')
def stage(Q, R, error, effort):
    """`stage_cost` for kernels; the terminal term is `quadratic(Q_f, error)`."""
    return quadratic(Q, error) + quadratic(R, effort)


@register_jitable
def slope(M, a, i):
    """Component i of 2 M a, the slope of a' M a; its curvature is 2 M."""
    total = 0.0
    for j in range(a.shape[0]):
        total += M[i, j] * a[j]
    return 2.0 * total
