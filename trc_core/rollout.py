"""Kernels: trajectories of feedback plans, their cost, and the exact gradient of that cost.

A feedback plan is v with u_t = clip(u_trim + v_t - K_t (x_t - goal), u_min, u_max). K = 0 gives
an open-loop plan. Every function here runs as plain Python and compiles under Numba.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from trc_core.cost import quadratic

BOUND_TOLERANCE = 1e-9  # a control this close to its bound counts as being on it


@register_jitable
def clip(raw, lower, upper):
    """The value within its bounds; a bound, never NaN, where it is NaN."""
    if not raw > lower:
        return lower
    return raw if raw < upper else upper


@register_jitable
def feedback_control(system, K_t, v_t, x_t, goal, i):
    """Component i of the unclipped u_trim + v_t - K_t (x_t - goal)."""
    u = system.u_trim[i] + v_t[i]
    for j in range(goal.shape[0]):
        u -= K_t[i, j] * (x_t[j] - goal[j])
    return u


@register_jitable
def rollout(step, step_jacobian, system, K, v, x0, goal, x, u):
    """Fills x (T + 1, n_x) and u (T, n_u) with the trajectory of v from x0; returns J."""
    T, n_u = v.shape
    error, effort = np.empty(goal.shape[0]), np.empty(n_u)
    for j in range(goal.shape[0]):
        x[0, j] = x0[j]
    J = 0.0
    for t in range(T):
        for i in range(n_u):
            raw = feedback_control(system, K[t], v[t], x[t], goal, i)
            u[t, i] = clip(raw, system.u_min[i], system.u_max[i])
            effort[i] = u[t, i] - system.u_trim[i]
        for j in range(goal.shape[0]):
            error[j] = x[t, j] - goal[j]
        J += quadratic(system.Q, error) + quadratic(system.R, effort)
        step(x[t], u[t], system.p, system.dt, x[t + 1])
    for j in range(goal.shape[0]):
        error[j] = x[T, j] - goal[j]
    return J + quadratic(system.Q_f, error)


@register_jitable
def reproject(system, K, x, u, goal, v):
    """Fills v with the plan that reproduces exactly u along x: v_t = u_t - u_trim + K_t e_t."""
    T, n_u = u.shape
    for t in range(T):
        for i in range(n_u):
            v[t, i] = u[t, i] - system.u_trim[i]
            for j in range(goal.shape[0]):
                v[t, i] += K[t, i, j] * (x[t, j] - goal[j])


@register_jitable
def gradient(step, step_jacobian, system, K, v, x, u, goal, dJ_dv):
    """Fills dJ_dv (T, n_u) along the trajectory (x, u) of v, by the adjoint method.

    It is the projected gradient: zero where a control on its bound would only leave it, so that
    it vanishes at a constrained optimum. Controls strictly beyond a bound before clipping have
    no influence. Source: the discrete minimum principle, costate_t = dJ/dx_t, with the feedback
    inside the closed loop.
    """
    T, n_u = v.shape
    n_x = goal.shape[0]
    A, B = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    costate, previous = np.empty(n_x), np.empty(n_x)
    for i in range(n_x):
        costate[i] = 0.0
        for j in range(n_x):
            costate[i] += 2.0 * system.Q_f[i, j] * (x[T, j] - goal[j])
    for t in range(T - 1, -1, -1):
        step_jacobian(x[t], u[t], system.p, system.dt, A, B)
        for i in range(n_x):
            previous[i] = 0.0
            for j in range(n_x):
                previous[i] += 2.0 * system.Q[i, j] * (x[t, j] - goal[j]) + A[j, i] * costate[j]
        for i in range(n_u):
            raw = feedback_control(system, K[t], v[t], x[t], goal, i)
            slope = 0.0
            if (
                raw >= system.u_min[i] - BOUND_TOLERANCE
                and raw <= system.u_max[i] + BOUND_TOLERANCE
            ):
                for j in range(n_u):
                    slope += 2.0 * system.R[i, j] * (u[t, j] - system.u_trim[j])
                for j in range(n_x):
                    slope += B[j, i] * costate[j]
            if raw >= system.u_max[i] - BOUND_TOLERANCE:
                slope = max(slope, 0.0)
            if raw <= system.u_min[i] + BOUND_TOLERANCE:
                slope = min(slope, 0.0)
            dJ_dv[t, i] = slope
            for j in range(n_x):
                previous[j] -= K[t, i, j] * slope
        for i in range(n_x):
            costate[i] = previous[i]


@register_jitable
def batch_rollout(step, step_jacobian, system, K, v, x0, goal, x, u, J):
    """`rollout` for every row of v (B, T, n_u); fills x, u and J (B,)."""
    for b in range(v.shape[0]):
        J[b] = rollout(step, step_jacobian, system, K, v[b], x0[b], goal[b], x[b], u[b])


@register_jitable
def batch_gradient(step, step_jacobian, system, K, v, x, u, goal, dJ_dv):
    """`gradient` for every row of v (B, T, n_u)."""
    for b in range(v.shape[0]):
        gradient(step, step_jacobian, system, K, v[b], x[b], u[b], goal[b], dJ_dv[b])


@register_jitable
def batch_reproject(step, step_jacobian, system, K, x, u, goal, v):
    """`reproject` for every row of v (B, T, n_u)."""
    for b in range(v.shape[0]):
        reproject(system, K, x[b], u[b], goal[b], v[b])
