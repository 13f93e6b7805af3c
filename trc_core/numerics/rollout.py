"""Kernels: trajectories of feedback plans, their cost, and the exact gradient of that cost.

A feedback plan is v with u_t = clip(u_trim + v_t - w K_t e_t, u_min, u_max), e_t = x_t - goal and
w = 1 / (1 + (e' G e)^2): the feedback acts where the gate G is open. G = 0 keeps it open
everywhere, K = 0 gives an open-loop plan. Every function here runs as plain Python and compiles
under Numba.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.cost import quadratic
from trc_core.problem.system import Array, SystemArrays


class Law(NamedTuple):
    """The feedback of a plan: gains K (T, n_u, n_x), and the gate G (n_x, n_x)."""

    K: Array
    G: Array


DIFFERENCE = 1e-5  # of numerical slopes: in a state, and in the logarithm of a parameter
BOUND_TOLERANCE = 1e-9  # a control this close to its bound counts as being on it


@register_jitable
def clip(raw, lower, upper):
    """The value within its bounds; a bound, never NaN, where it is NaN."""
    if not raw > lower:
        return lower
    return raw if raw < upper else upper


@register_jitable
def plain(K):
    """The law of gains K (T, n_u, n_x) that act everywhere."""
    n_x = K.shape[2]
    return Law(K, np.zeros((n_x, n_x)))


@register_jitable
def error_and_gate(law, x_t, goal, error):
    """Fills error = x_t - goal; returns the weight w of the feedback there."""
    n_x = goal.shape[0]
    for j in range(n_x):
        error[j] = x_t[j] - goal[j]
    s = quadratic(law.G, error)
    return 1.0 / (1.0 + s * s)


@register_jitable
def feedback(law, t, i, weight, error):
    """Component i of w K_t e."""
    total = 0.0
    for j in range(error.shape[0]):
        total += law.K[t, i, j] * error[j]
    return weight * total


@register_jitable
def rollout(step, step_jacobian, system, law, v, x0, goal, x, u):
    """Fills x (T + 1, n_x) and u (T, n_u) with the trajectory of v from x0; returns J."""
    T, n_u = v.shape
    error, effort = np.empty(goal.shape[0]), np.empty(n_u)
    for j in range(goal.shape[0]):
        x[0, j] = x0[j]
    J = 0.0
    for t in range(T):
        weight = error_and_gate(law, x[t], goal, error)
        for i in range(n_u):
            raw = system.u_trim[i] + v[t, i] - feedback(law, t, i, weight, error)
            u[t, i] = clip(raw, system.u_min[i], system.u_max[i])
            effort[i] = u[t, i] - system.u_trim[i]
        J += quadratic(system.Q, error) + quadratic(system.R, effort)
        step(x[t], u[t], system.p, system.dt, x[t + 1])
    for j in range(goal.shape[0]):
        error[j] = x[T, j] - goal[j]
    return J + quadratic(system.Q_f, error)


@register_jitable
def reproject(system, law, x, u, goal, v):
    """Fills v with the plan that reproduces exactly u along x: v_t = u_t - u_trim + w K_t e_t."""
    T, n_u = u.shape
    error = np.empty(goal.shape[0])
    for t in range(T):
        weight = error_and_gate(law, x[t], goal, error)
        for i in range(n_u):
            v[t, i] = u[t, i] - system.u_trim[i] + feedback(law, t, i, weight, error)


@register_jitable
def continued(step, step_jacobian, system, law, x, u, goal, steps, v):
    """Fills v with the plan that goes on with (x, u) `steps` (any number >= 0) later.

    Between two steps states and controls are interpolated; behind the end v is zero. The plan
    keeps its feedback: an unstable plant does not follow controls that are shifted alone.
    """
    T, n_u = u.shape
    error, x_t = np.empty(goal.shape[0]), np.empty(goal.shape[0])
    for t in range(T):
        place = t + steps
        k = int(min(place, T - 1))
        part = place - k
        for j in range(goal.shape[0]):
            x_t[j] = (1.0 - part) * x[k, j] + part * x[k + 1, j]
        weight = error_and_gate(law, x_t, goal, error)
        following = min(k + 1, T - 1)
        for i in range(n_u):
            held = (1.0 - part) * u[k, i] + part * u[following, i]
            v[t, i] = held - system.u_trim[i] + feedback(law, t, i, weight, error)
            if place > T - 1:
                v[t, i] = 0.0


@register_jitable
def gradient(step, step_jacobian, system, law, v, x, u, goal, dJ_dv):
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
    error, G_e = np.empty(n_x), np.empty(n_x)
    for i in range(n_x):
        costate[i] = 0.0
        for j in range(n_x):
            costate[i] += 2.0 * system.Q_f[i, j] * (x[T, j] - goal[j])
    for t in range(T - 1, -1, -1):
        step_jacobian(x[t], u[t], system.p, system.dt, A, B)
        weight = error_and_gate(law, x[t], goal, error)
        s = 0.0
        for i in range(n_x):
            previous[i], G_e[i] = 0.0, 0.0
            for j in range(n_x):
                previous[i] += 2.0 * system.Q[i, j] * error[j] + A[j, i] * costate[j]
                G_e[i] += law.G[i, j] * error[j]
            s += G_e[i] * error[i]
        closing = 4.0 * weight * s  # of the gate: dw/dx = -4 w^2 s G e
        for i in range(n_u):
            applied = feedback(law, t, i, weight, error)
            raw = system.u_trim[i] + v[t, i] - applied
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
                previous[j] -= (weight * law.K[t, i, j] - applied * closing * G_e[j]) * slope
        for i in range(n_x):
            costate[i] = previous[i]


@register_jitable
def hold(step, step_jacobian, system, p, x, controls, seconds, x_next):
    """Fills x_next (n_x,) with the state after holding controls (N, n_u), one after the other.

    Each is held for its own seconds (N,); the plant has the parameters p (n_p,).
    """
    before = np.empty(x.shape[0])
    for i in range(x.shape[0]):
        x_next[i] = x[i]
    for k in range(controls.shape[0]):
        n = math.ceil(seconds[k] / system.dt)
        for _ in range(n):
            for i in range(x.shape[0]):
                before[i] = x_next[i]
            step(before, controls[k], p, seconds[k] / n, x_next)


@register_jitable
def hold_and_slopes(step, step_jacobian, system, p, x, controls, seconds, x_next, by_x, by_p):
    """`hold`, and its slopes: fills by_x (n_x, n_x) and by_p (n_x, n_p), d x_next / d log p."""
    near_x, near_p, moved = x.copy(), p.copy(), np.empty(x.shape[0])
    hold(step, step_jacobian, system, p, x, controls, seconds, x_next)
    for j in range(x.shape[0]):
        near_x[j] = x[j] + DIFFERENCE
        hold(step, step_jacobian, system, p, near_x, controls, seconds, moved)
        near_x[j] = x[j]
        for i in range(x.shape[0]):
            by_x[i, j] = (moved[i] - x_next[i]) / DIFFERENCE
    for j in range(p.shape[0]):
        near_p[j] = p[j] * (1.0 + DIFFERENCE)
        hold(step, step_jacobian, system, near_p, x, controls, seconds, moved)
        near_p[j] = p[j]
        for i in range(x.shape[0]):
            by_p[i, j] = (moved[i] - x_next[i]) / DIFFERENCE


@register_jitable
def plant_row(system, p):
    """The numbers of a system with other physical parameters p (n_p,)."""
    return SystemArrays(
        system.Q, system.R, system.Q_f, system.u_min, system.u_max, system.u_trim, p, system.dt
    )


@register_jitable
def batch_simulate(
    step, step_jacobian, system, p, flown_K, flown_G, K, G, plant, v, x0, goal, x, u, J, dJ_dv
):
    """`rollout`, `reproject` and `gradient` for every row of v (B, T, n_u).

    Row b belongs to plant[b], an index into the parameters p (N, n_p) and the gains
    (N, T, n_u, n_x). It is flown with flown_K and flown_G; then v is replaced by the plan that
    reproduces its controls with K and G. Fills x, u, J (B,) and dJ_dv.
    """
    for b in range(v.shape[0]):
        n = plant[b]
        row, law = plant_row(system, p[n]), Law(K[n], G)
        flown = Law(flown_K[n], flown_G)
        J[b] = rollout(step, step_jacobian, row, flown, v[b], x0[b], goal[b], x[b], u[b])
        reproject(row, law, x[b], u[b], goal[b], v[b])
        gradient(step, step_jacobian, row, law, v[b], x[b], u[b], goal[b], dJ_dv[b])
