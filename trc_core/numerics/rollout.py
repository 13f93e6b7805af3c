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

from trc_core.compile.plant import (
    CONSTRAINTS,
    COUNT,
    LAWS,
    VALUES,
    advance,
    call_values,
    count_of,
    hold,
    linearise,
    with_parameters,
)
from trc_core.numerics.cost import (
    effort_at,
    empty_expansion,
    error_at,
    expand_terms,
    has_terms,
    quadratic,
    slope,
    stage,
    term_buffers,
    terms_along,
    violation_of,
    wrap,
)

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


@register_jitable(inline='always')
def gate(G, error):
    """The weight w of the feedback at an error (n_x,)."""
    s = quadratic(G, error)
    return 1.0 / (1.0 + s * s)


@register_jitable
def feedback(K, t, i, weight, error):
    """Component i of w K_t e."""
    total = 0.0
    for j in range(error.shape[0]):
        total += K[t, i, j] * error[j]
    return weight * total


@register_jitable
def rollout(plant, law, v, x0, r, trajectory):
    """Fills the trajectory of v (T, n_u) from x0 (n_x,); returns its merit, J if unconstrained."""
    dynamics, Q, R, u_trim = plant.dynamics, plant.Q, plant.R, plant.u_trim
    u_min, u_max, K, G, angles = plant.u_min, plant.u_max, law.K, law.G, plant.angles
    x, u = trajectory.x, trajectory.u
    T, n_u = v.shape
    error, effort = np.empty(x0.shape[0]), np.empty(n_u)
    for j in range(x0.shape[0]):
        x[0, j] = x0[j]
    J = 0.0
    for t in range(T):
        error_at(x, r, t, angles, error)
        weight = gate(G, error)
        for i in range(n_u):
            raw = u_trim[t, i] + v[t, i] - feedback(K, t, i, weight, error)
            u[t, i] = clip(raw, u_min[i], u_max[i])
        effort_at(u, t, u_trim, effort)
        J += stage(Q, R, error, effort)
        advance(dynamics, x, u, t)
    return with_end(plant, trajectory, r, J, error)


@register_jitable
def merit_along(plant, trajectory, r):
    """The merit of a trajectory whose states are those of its controls."""
    Q, R, angles, u_trim = plant.Q, plant.R, plant.angles, plant.u_trim
    x, u = trajectory.x, trajectory.u
    T, n_u = u.shape
    error, effort = np.empty(x.shape[1]), np.empty(n_u)
    J = 0.0
    for t in range(T):
        error_at(x, r, t, angles, error)
        effort_at(u, t, u_trim, effort)
        J += stage(Q, R, error, effort)
    return with_end(plant, trajectory, r, J, error)


@register_jitable
def with_end(plant, trajectory, r, J, error):
    """The cost of all stages with that of the end and the terms: the merit; error is scratch."""
    error_at(trajectory.x, r, trajectory.u.shape[0], plant.angles, error)
    J += quadratic(plant.Q_f, error)
    if has_terms(plant.terms):
        J += merit_terms(plant, trajectory, r)
    return J


@register_jitable
def fly_law(plant, n, x0, r, trajectory):
    """Flies law n of a plant from x0; returns the merit."""
    dynamics, functions, x, u = plant.dynamics, plant.terms.functions, trajectory.x, trajectory.u
    T, n_u = u.shape
    controls = np.empty(functions[LAWS, COUNT])
    for i in range(x0.shape[0]):
        x[0, i] = x0[i]
    for t in range(T):
        call_values(functions[LAWS, VALUES], x, t, u, t, r, dynamics.p, t * dynamics.dt, controls)
        for i in range(n_u):
            u[t, i] = clip(controls[n * n_u + i], plant.u_min[i], plant.u_max[i])
        advance(dynamics, x, u, t)
    return merit_along(plant, trajectory, r)


@register_jitable
def merit_terms(plant, trajectory, r):
    """What the terms of a task add to the quadratic J of a trajectory, for its merit."""
    h = np.empty((trajectory.x.shape[0], count_of(plant.terms, CONSTRAINTS)))
    added = terms_along(plant, trajectory, r, h)
    return added + plant.terms.weight * violation_of(h)[0]


@register_jitable
def reproject(plant, law, trajectory, r, v):
    """Fills v with the plan that reproduces a trajectory: v_t = u_t - u_trim + w K_t e_t."""
    u_trim, K, G, x, u = plant.u_trim, law.K, law.G, trajectory.x, trajectory.u
    T, n_u = v.shape
    error = np.empty(r.shape[1])
    for t in range(T):
        error_at(x, r, t, plant.angles, error)
        weight = gate(G, error)
        for i in range(n_u):
            v[t, i] = u[t, i] - u_trim[t, i] + feedback(K, t, i, weight, error)


@register_jitable
def shift(plant, law, trajectory, r, steps, v):
    """Fills v with the plan that goes on with a trajectory `steps` (any number >= 0) later.

    Between two steps states and controls are interpolated; behind the end v is zero. The plan
    keeps its feedback: an unstable plant does not follow controls that are shifted alone. The
    reference r begins at the new time.
    """
    u_trim, K, G, x, u = plant.u_trim, law.K, law.G, trajectory.x, trajectory.u
    T, n_u, angles = u.shape[0], u.shape[1], plant.angles
    error = np.empty(r.shape[1])
    for t in range(T):
        place = t + steps
        k = int(min(place, T - 1))
        part = place - k
        for j in range(error.shape[0]):
            error[j] = (1.0 - part) * x[k, j] + part * x[k + 1, j] - r[t, j]
        if angles.shape[0] > 0:
            wrap(error, angles)
        weight = gate(G, error)
        following = min(k + 1, T - 1)
        for i in range(n_u):
            held = (1.0 - part) * u[k, i] + part * u[following, i]
            v[t, i] = held - u_trim[t, i] + feedback(K, t, i, weight, error)
            if place > T - 1:
                v[t, i] = 0.0


@register_jitable
def gradient(plant, law, v, trajectory, r, dJ_dv):
    """Fills dJ_dv (T, n_u) along the trajectory of v, by the adjoint method; of the merit.

    It is the projected gradient: zero where a control on its bound would only leave it, so that
    it vanishes at a constrained optimum. Controls strictly beyond a bound before clipping have
    no influence. Source: the discrete minimum principle, costate_t = dJ/dx_t, with the feedback
    inside the closed loop.
    """
    dynamics, Q, R, Q_f, u_trim = plant.dynamics, plant.Q, plant.R, plant.Q_f, plant.u_trim
    u_min, u_max, K, G, angles = plant.u_min, plant.u_max, law.K, law.G, plant.angles
    terms, x, u = plant.terms, trajectory.x, trajectory.u
    T, n_u = v.shape
    n_x = r.shape[1]
    A, B = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    costate, previous = np.empty(n_x), np.empty(n_x)
    error, effort, G_e = np.empty(n_x), np.empty(n_u), np.empty(n_x)
    added = has_terms(terms)
    buffers, expansion = term_buffers(terms, n_x, n_u), empty_expansion(n_x, n_u)
    force = np.zeros((T + 1, count_of(terms, CONSTRAINTS)))
    none = np.zeros(count_of(terms, CONSTRAINTS))
    if added:
        merit_force(plant, trajectory, r, force)
    error_at(x, r, T, angles, error)
    for i in range(n_x):
        costate[i] = slope(Q_f, error, i)
    if added and expand_terms(terms, dynamics, x, u, r, T, force, none, buffers, expansion):
        for i in range(n_x):
            costate[i] += expansion.l_x[i]
    for t in range(T - 1, -1, -1):
        linearise(dynamics, x, u, t, A, B)
        error_at(x, r, t, angles, error)
        effort_at(u, t, u_trim, effort)
        # the slope in x_t as if the control stood still
        s = 0.0
        for i in range(n_x):
            previous[i] = slope(Q, error, i)
            G_e[i] = 0.0
            for j in range(n_x):
                previous[i] += A[j, i] * costate[j]
                G_e[i] += G[i, j] * error[j]
            s += G_e[i] * error[i]
        more = added
        if added:
            more = expand_terms(terms, dynamics, x, u, r, t, force, none, buffers, expansion)
        if more:
            for i in range(n_x):
                previous[i] += expansion.l_x[i]
        weight = 1.0 / (1.0 + s * s)
        closing = 4.0 * weight * s  # of the gate: dw/dx = -4 w^2 s G e
        # the slope in v_t, and what the feedback passes on of it to x_t
        for i in range(n_u):
            applied = feedback(K, t, i, weight, error)
            raw = u_trim[t, i] + v[t, i] - applied
            by_v = slope(R, effort, i)
            if more:
                by_v += expansion.l_u[i]
            for j in range(n_x):
                by_v += B[j, i] * costate[j]
            dJ_dv[t, i] = projected(by_v, raw, u_min[i], u_max[i])
            for j in range(n_x):
                passed = weight * K[t, i, j] - applied * closing * G_e[j]
                previous[j] -= passed * dJ_dv[t, i]
        for i in range(n_x):
            costate[i] = previous[i]


@register_jitable
def merit_force(plant, trajectory, r, force):
    """Fills force (T + 1, n_h), the slope of the merit by every constraint; at a kink, 0."""
    terms_along(plant, trajectory, r, force)
    for t in range(force.shape[0]):
        for i in range(force.shape[1]):
            force[t, i] = plant.terms.weight if force[t, i] > 0.0 else 0.0


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
def hold_sequence(dynamics, x, controls, seconds, x_next):
    """Fills x_next (n_x,) with the state after holding controls (N, n_u), one after the other.

    Each is held for its own seconds (N,), in steps of at most the plant's dt.
    """
    before = np.empty(x.shape[0])
    for i in range(x.shape[0]):
        x_next[i] = x[i]
    for k in range(controls.shape[0]):
        n = math.ceil(seconds[k] / dynamics.dt)
        for _ in range(n):
            for i in range(x.shape[0]):
                before[i] = x_next[i]
            hold(dynamics, before, controls[k], seconds[k] / n, x_next)


@register_jitable
def hold_sequence_slopes(plant, x, controls, seconds, scales, x_next, by_x, by_p):
    """`hold_sequence`, and its slopes: by_x (n_x, n_x) and by_p (n_x, n_p).

    Those by parameters are in units of scales (n_p,); scales of p give d x_next / d log p.
    """
    dynamics = plant.dynamics
    near_x, near_p, moved = x.copy(), dynamics.p.copy(), np.empty(x.shape[0])
    hold_sequence(dynamics, x, controls, seconds, x_next)
    for j in range(x.shape[0]):
        near_x[j] = x[j] + DIFFERENCE
        hold_sequence(dynamics, near_x, controls, seconds, moved)
        near_x[j] = x[j]
        for i in range(x.shape[0]):
            by_x[i, j] = (moved[i] - x_next[i]) / DIFFERENCE
    for j in range(near_p.shape[0]):
        near_p[j] = dynamics.p[j] + DIFFERENCE * scales[j]
        hold_sequence(with_parameters(plant, near_p).dynamics, x, controls, seconds, moved)
        near_p[j] = dynamics.p[j]
        for i in range(x.shape[0]):
            by_p[i, j] = (moved[i] - x_next[i]) / DIFFERENCE
