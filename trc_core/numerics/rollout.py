"""Kernels: trajectories of feedback plans, their cost, and the exact gradient of that cost.

A feedback plan is v with u_t = clip(u_trim + v_t - w K_t e_t, u_min, u_max), e_t = x_t - r_t and
w = 1 / (1 + (e' G e)^2): the feedback acts where the gate G is open. G = 0 keeps it open
everywhere, K = 0 gives an open-loop plan. The reference r is (T + 1, n_x). Every function here
runs as plain Python and compiles under Numba.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import hold, step, step_jacobian, with_parameters
from trc_core.numerics.cost import difference, quadratic, slope, stage, terminal

if TYPE_CHECKING:
    from trc_core.problem.system import Array

DIFFERENCE = 1e-5  # of numerical slopes: in a state, and in the logarithm of a parameter
BOUND_TOLERANCE = 1e-9  # a control this close to its bound counts as being on it


class Law(NamedTuple):
    """The feedback of a plan: gains K (T, n_u, n_x), and the gate G (n_x, n_x)."""

    K: Array
    G: Array


class Trajectory(NamedTuple):
    """States x (T + 1, n_x) and the controls u (T, n_u) between them; batches lead with B."""

    x: Array
    u: Array


@register_jitable
def row(trajectories, b):
    """One trajectory of a batch."""
    return Trajectory(trajectories.x[b], trajectories.u[b])


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
def gate(law, error):
    """The weight w of the feedback at an error (n_x,)."""
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
def rollout(plant, law, v, x0, r, trajectory):
    """Fills the trajectory of v (T, n_u) from x0 (n_x,); returns J."""
    x, u = trajectory.x, trajectory.u
    T, n_u = v.shape
    error, effort = np.empty(x0.shape[0]), np.empty(n_u)
    for j in range(x0.shape[0]):
        x[0, j] = x0[j]
    J = 0.0
    for t in range(T):
        difference(x[t], r[t], error)
        weight = gate(law, error)
        for i in range(n_u):
            raw = plant.u_trim[i] + v[t, i] - feedback(law, t, i, weight, error)
            u[t, i] = clip(raw, plant.u_min[i], plant.u_max[i])
        J += stage(plant, error, u[t], effort)
        step(plant, x[t], u[t], x[t + 1])
    return J + terminal(plant, x[T], r[T], error)


@register_jitable
def reproject(plant, law, trajectory, r, v):
    """Fills v with the plan that reproduces a trajectory: v_t = u_t - u_trim + w K_t e_t."""
    T, n_u = v.shape
    error = np.empty(r.shape[1])
    for t in range(T):
        difference(trajectory.x[t], r[t], error)
        weight = gate(law, error)
        for i in range(n_u):
            applied = feedback(law, t, i, weight, error)
            v[t, i] = trajectory.u[t, i] - plant.u_trim[i] + applied


@register_jitable
def shift(plant, law, trajectory, r, steps, v):
    """Fills v with the plan that goes on with a trajectory `steps` (any number >= 0) later.

    Between two steps states and controls are interpolated; behind the end v is zero. The plan
    keeps its feedback: an unstable plant does not follow controls that are shifted alone. The
    reference r begins at the new time.
    """
    x, u = trajectory.x, trajectory.u
    T, n_u = u.shape
    error, x_t = np.empty(r.shape[1]), np.empty(r.shape[1])
    for t in range(T):
        place = t + steps
        k = int(min(place, T - 1))
        part = place - k
        for j in range(x_t.shape[0]):
            x_t[j] = (1.0 - part) * x[k, j] + part * x[k + 1, j]
        difference(x_t, r[t], error)
        weight = gate(law, error)
        following = min(k + 1, T - 1)
        for i in range(n_u):
            held = (1.0 - part) * u[k, i] + part * u[following, i]
            v[t, i] = held - plant.u_trim[i] + feedback(law, t, i, weight, error)
            if place > T - 1:
                v[t, i] = 0.0


@register_jitable
def gradient(plant, law, v, trajectory, r, dJ_dv):
    """Fills dJ_dv (T, n_u) along the trajectory of v, by the adjoint method.

    It is the projected gradient: zero where a control on its bound would only leave it, so that
    it vanishes at a constrained optimum. Controls strictly beyond a bound before clipping have
    no influence. Source: the discrete minimum principle, costate_t = dJ/dx_t, with the feedback
    inside the closed loop.
    """
    x, u = trajectory.x, trajectory.u
    T, n_u = v.shape
    n_x = r.shape[1]
    A, B = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    costate, previous = np.empty(n_x), np.empty(n_x)
    error, effort, G_e = np.empty(n_x), np.empty(n_u), np.empty(n_x)
    difference(x[T], r[T], error)
    for i in range(n_x):
        costate[i] = slope(plant.Q_f, error, i)
    for t in range(T - 1, -1, -1):
        step_jacobian(plant, x[t], u[t], A, B)
        difference(x[t], r[t], error)
        difference(u[t], plant.u_trim, effort)
        # the slope in x_t as if the control stood still
        s = 0.0
        for i in range(n_x):
            previous[i] = slope(plant.Q, error, i)
            G_e[i] = 0.0
            for j in range(n_x):
                previous[i] += A[j, i] * costate[j]
                G_e[i] += law.G[i, j] * error[j]
            s += G_e[i] * error[i]
        weight = 1.0 / (1.0 + s * s)
        closing = 4.0 * weight * s  # of the gate: dw/dx = -4 w^2 s G e
        # the slope in v_t, and what the feedback passes on of it to x_t
        for i in range(n_u):
            applied = feedback(law, t, i, weight, error)
            raw = plant.u_trim[i] + v[t, i] - applied
            by_v = slope(plant.R, effort, i)
            for j in range(n_x):
                by_v += B[j, i] * costate[j]
            dJ_dv[t, i] = projected(by_v, raw, plant.u_min[i], plant.u_max[i])
            for j in range(n_x):
                passed = weight * law.K[t, i, j] - applied * closing * G_e[j]
                previous[j] -= passed * dJ_dv[t, i]
        for i in range(n_x):
            costate[i] = previous[i]


@register_jitable
def projected(by_u, raw, lower, upper):
    """A slope by a control that is clipped: none beyond a bound, only inwards on it."""
    if raw < lower - BOUND_TOLERANCE or raw > upper + BOUND_TOLERANCE:
        return 0.0
    if raw >= upper - BOUND_TOLERANCE:
        by_u = max(by_u, 0.0)
    if raw <= lower + BOUND_TOLERANCE:
        by_u = min(by_u, 0.0)
    return by_u


@register_jitable
def hold_sequence(plant, x, controls, seconds, x_next):
    """Fills x_next (n_x,) with the state after holding controls (N, n_u), one after the other.

    Each is held for its own seconds (N,), in steps of at most the plant's dt.
    """
    before = np.empty(x.shape[0])
    for i in range(x.shape[0]):
        x_next[i] = x[i]
    for k in range(controls.shape[0]):
        n = math.ceil(seconds[k] / plant.dt)
        for _ in range(n):
            for i in range(x.shape[0]):
                before[i] = x_next[i]
            hold(plant, before, controls[k], seconds[k] / n, x_next)


@register_jitable
def hold_sequence_slopes(plant, x, controls, seconds, x_next, by_x, by_p):
    """`hold_sequence`, and its slopes: by_x (n_x, n_x) and by_p (n_x, n_p), d x_next / d log p."""
    near_x, near_p, moved = x.copy(), plant.p.copy(), np.empty(x.shape[0])
    hold_sequence(plant, x, controls, seconds, x_next)
    for j in range(x.shape[0]):
        near_x[j] = x[j] + DIFFERENCE
        hold_sequence(plant, near_x, controls, seconds, moved)
        near_x[j] = x[j]
        for i in range(x.shape[0]):
            by_x[i, j] = (moved[i] - x_next[i]) / DIFFERENCE
    for j in range(near_p.shape[0]):
        near_p[j] = plant.p[j] * (1.0 + DIFFERENCE)
        hold_sequence(with_parameters(plant, near_p), x, controls, seconds, moved)
        near_p[j] = plant.p[j]
        for i in range(x.shape[0]):
            by_p[i, j] = (moved[i] - x_next[i]) / DIFFERENCE
