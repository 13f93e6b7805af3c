"""Kernels of the backward pass of control-limited iLQR.

Source: Tassa, Mansard, Todorov, Control-limited differential dynamic programming (ICRA 2014),
with the second derivatives of the dynamics left out (Gauss-Newton). Every function runs as plain
Python and compiles under Numba; none needs LAPACK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import CONSTRAINTS, count_of, linearise
from trc_core.compile.products import (
    add_product,
    add_product_of_transposed,
    fill_product,
)
from trc_core.numerics.box_qp import backsolve_rows, box_qp
from trc_core.numerics.cost import (
    effort_at,
    empty_expansion,
    error_at,
    expand_terms,
    has_terms,
    quadratic,
    slope,
    term_buffers,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trc_core.problem.system import Array


class Gains(NamedTuple):
    """A backward pass: u_t changes by k_t + K_t (x_t - its old value)."""

    k: Array  # (T, n_u)
    K: Array  # (T, n_u, n_x)


class Curvature(NamedTuple):
    """The cost to go by the control along a trajectory."""

    Q_uu: Array  # (T, n_u, n_u)
    free: NDArray[np.bool_]  # (T, n_u) controls that the step does not hold at a bound
    P: Array  # (T, n_x, n_x) by the state; empty where nobody needs it


@register_jitable
def new_curvature(T, n_u, P):
    """Room for a `Curvature`; P may be empty."""
    return Curvature(np.empty((T, n_u, n_u)), np.empty((T, n_u), dtype=np.bool_), P)


class Change(NamedTuple):
    """The predicted change of J for a share s of the step: s linear + s^2 curved."""

    linear: float
    curved: float


class Push(NamedTuple):
    """What constraints do to a backward pass."""

    force: Array  # (T + 1, n_h) along their slopes
    rho: Array  # (n_h,) curvature where there is a force


@register_jitable
def no_push(plant, T):
    """Constraints that are left out."""
    n_h = count_of(plant.terms, CONSTRAINTS)
    return Push(np.zeros((T + 1, n_h)), np.zeros(n_h))


@register_jitable
def backward(plant, trajectory, r, damping, gains, curvature, push):
    """One backward pass along a trajectory: fills gains and curvature, returns the `Change`.

    `push` is the `Push` of the constraints.
    `damping` multiplies P_{t+1} by 1 + damping in the choice of k and K, which keeps the new
    states near the old ones (the state regularisation of the source, made free of units).
    """
    dynamics, Q, R, Q_f, u_trim = plant.dynamics, plant.Q, plant.R, plant.Q_f, plant.u_trim
    u_min, u_max, k, K = plant.u_min, plant.u_max, gains.k, gains.K
    x, u, terms, angles = trajectory.x, trajectory.u, plant.terms, plant.angles
    T, n_u = u.shape
    n_x = r.shape[1]
    added = has_terms(terms)
    buffers, more = term_buffers(terms, n_x, n_u), empty_expansion(n_x, n_u)
    A, B = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    p, P = np.empty(n_x), np.empty((n_x, n_x))
    PA, PB = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    Q_x, Q_u, Q_ux = np.empty(n_x), np.empty(n_u), np.empty((n_u, n_x))
    inner = np.empty((n_u, n_x))
    H, L, d = np.empty((n_u, n_u)), np.zeros((n_u, n_u)), np.empty(n_u)
    lower, upper = np.empty(n_u), np.empty(n_u)
    error, effort, work = np.empty(n_x), np.empty(n_u), np.empty((3, n_u))
    linear, curved = 0.0, 0.0
    error_at(x, r, T, angles, error)
    for i in range(n_x):
        p[i] = slope(Q_f, error, i)
        for j in range(n_x):
            P[i, j] = 2.0 * Q_f[i, j]
    force, rho = push.force, push.rho
    if added and expand_terms(terms, dynamics, x, u, r, T, force, rho, buffers, more):
        _add_to_value(more, p, P)
    for t in range(T - 1, -1, -1):
        Q_uu, free, K_t = curvature.Q_uu[t], curvature.free[t], K[t]
        # the cost to go as a quadratic in u_t, and its cross term with x_t
        linearise(dynamics, x, u, t, A, B)
        error_at(x, r, t, angles, error)
        effort_at(u, t, u_trim, effort)
        fill_product(PA, P, A)
        fill_product(PB, P, B)
        _control_terms(R, effort, B, p, PA, PB, Q_u, Q_uu, Q_ux)
        present = added
        if added:
            present = expand_terms(terms, dynamics, x, u, r, t, force, rho, buffers, more)
        if present:
            _add_to_control(more, Q_u, Q_uu, Q_ux)
        # the best step within the bounds, and the feedback of the free controls
        for i in range(n_u):
            for j in range(n_u):
                H[i, j] = Q_uu[i, j] + damping * (Q_uu[i, j] - 2.0 * R[i, j])
            lower[i], upper[i] = u_min[i] - u[t, i], u_max[i] - u[t, i]
            d[i] = 0.0
        box_qp(H, Q_u, lower, upper, d, free, L, work)
        for i in range(n_u):
            scale = -(1.0 + damping) if free[i] else 0.0
            for j in range(n_x):
                K_t[i, j] = scale * Q_ux[i, j]
        backsolve_rows(L, K_t)
        for i in range(n_u):
            k[t, i] = d[i]
            linear += Q_u[i] * d[i]
        curved += 0.5 * quadratic(Q_uu, d)
        # the value function one step earlier
        _value_slope(Q, error, A, K_t, Q_u, Q_uu, Q_ux, d, Q_x, p)
        _value_curvature(Q, A, PA, K_t, Q_uu, Q_ux, inner, P)
        if present:
            _add_to_value(more, p, P)
        if curvature.P.shape[0] > 0:
            for i in range(n_x):
                for j in range(n_x):
                    curvature.P[t, i, j] = P[i, j]
    return Change(linear, curved)


@register_jitable
def _add_to_control(more, Q_u, Q_uu, Q_ux):
    """Adds what the terms of a step expand to in its control."""
    n_u, n_x = Q_ux.shape
    for i in range(n_u):
        Q_u[i] += more.l_u[i]
        for j in range(n_u):
            Q_uu[i, j] += more.l_uu[i, j]
        for j in range(n_x):
            Q_ux[i, j] += more.l_ux[i, j]


@register_jitable
def _add_to_value(more, p, P):
    """Adds what the terms of a step expand to in its state."""
    for i in range(p.shape[0]):
        p[i] += more.l_x[i]
        for j in range(p.shape[0]):
            P[i, j] += more.l_xx[i, j]


@register_jitable
def _control_terms(R, effort, B, p, PA, PB, Q_u, Q_uu, Q_ux):
    """Fills the slope and curvature in u_t of the cost to go, and its cross term with x_t."""
    n_u, n_x = Q_ux.shape
    for i in range(n_u):
        Q_u[i] = slope(R, effort, i)
        for j in range(n_u):
            Q_uu[i, j] = 2.0 * R[i, j]
        for j in range(n_x):
            Q_ux[i, j] = 0.0
    for k in range(n_x):  # row by row: columns would stride through memory
        for i in range(n_u):
            Q_u[i] += B[k, i] * p[k]
    add_product_of_transposed(Q_uu, Q_uu, 1.0, B, PB)
    add_product_of_transposed(Q_ux, Q_ux, 1.0, B, PA)


@register_jitable
def _value_slope(Q, error, A, K, Q_u, Q_uu, Q_ux, d, Q_x, p):
    """Steps the value function's slope p (n_x,) from t + 1 to t, in place."""
    n_u, n_x = Q_ux.shape
    for i in range(n_x):
        Q_x[i] = slope(Q, error, i)
    for k in range(n_x):
        for i in range(n_x):
            Q_x[i] += A[k, i] * p[k]
    for a in range(n_u):
        inner = Q_u[a]
        for b in range(n_u):
            inner += Q_uu[a, b] * d[b]
        for i in range(n_x):
            Q_x[i] += K[a, i] * inner + Q_ux[a, i] * d[a]
    for i in range(n_x):
        p[i] = Q_x[i]


@register_jitable
def _value_curvature(Q, A, PA, K, Q_uu, Q_ux, inner, P):
    """Steps the value function's curvature P (n_x, n_x) from t + 1 to t, in place."""
    n_x = P.shape[0]
    for i in range(n_x):
        for j in range(n_x):
            P[i, j] = 2.0 * Q[i, j]
    add_product(inner, Q_ux, 1.0, Q_uu, K)
    add_product_of_transposed(P, P, 1.0, A, PA)
    add_product_of_transposed(P, P, 1.0, K, inner)
    add_product_of_transposed(P, P, 1.0, Q_ux, K)
    for i in range(n_x):
        for j in range(i):
            P[j, i] = P[i, j]
