"""Kernels of control-limited iLQR: plans improved sweep by sweep, the bounds kept exactly.

Source: Tassa, Mansard, Todorov, Control-limited differential dynamic programming (ICRA 2014),
with the second derivatives of the dynamics left out (Gauss-Newton). Every function runs as plain
Python and compiles under Numba; none needs LAPACK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import advance, linearise
from trc_core.numerics.box_qp import backsolve, box_qp
from trc_core.numerics.cost import effort_at, error_at, quadratic, slope, stage
from trc_core.numerics.rollout import Trajectory, plain, rollout, row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trc_core.problem.system import Array

LINE_SEARCH_STEPS = 10
SUFFICIENT = 1e-4  # share of the predicted decrease that a step must deliver
CONVERGED = 1e-10  # predicted decrease, relative to J, below which nothing is left to gain
DAMPING_MIN, DAMPING_MAX, DAMPING_FACTOR = 1e-4, 1e8, 10.0


class Gains(NamedTuple):
    """A backward pass: u_t changes by k_t + K_t (x_t - its old value)."""

    k: Array  # (T, n_u)
    K: Array  # (T, n_u, n_x)


class Curvature(NamedTuple):
    """The cost to go by the control along a trajectory."""

    Q_uu: Array  # (T, n_u, n_u)
    free: NDArray[np.bool_]  # (T, n_u) controls that the step does not hold at a bound


class Change(NamedTuple):
    """The predicted change of J for a share s of the step: s linear + s^2 curved."""

    linear: float
    curved: float


class Outcome(NamedTuple):
    """The outcome of a number of sweeps, for every row of a batch."""

    J: Array  # (B,)
    spent: NDArray[np.int64]  # (B,) sweeps
    converged: NDArray[np.bool_]  # (B,) whether nothing was left to gain


@register_jitable
def backward(plant, trajectory, r, damping, gains):
    """One backward pass along a trajectory: fills the gains, returns the predicted `Change`.

    `damping` multiplies P_{t+1} by 1 + damping in the choice of k and K, which keeps the new
    states near the old ones (the state regularisation of the source, made free of units).
    """
    T, n_u = trajectory.u.shape
    curvature = Curvature(np.empty((T, n_u, n_u)), np.empty((T, n_u), dtype=np.bool_))
    return backward_with_curvature(plant, trajectory, r, damping, gains, curvature)


@register_jitable
def backward_with_curvature(plant, trajectory, r, damping, gains, curvature):
    """`backward` that also fills the `Curvature`."""
    dynamics, Q, R, Q_f, u_trim = plant.dynamics, plant.Q, plant.R, plant.Q_f, plant.u_trim
    u_min, u_max, k, K = plant.u_min, plant.u_max, gains.k, gains.K
    x, u = trajectory.x, trajectory.u
    T, n_u = u.shape
    n_x = r.shape[1]
    A, B = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    p, P = np.empty(n_x), 2.0 * Q_f
    PA, PB = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    Q_x, Q_u, Q_ux = np.empty(n_x), np.empty(n_u), np.empty((n_u, n_x))
    H, L, d = np.empty((n_u, n_u)), np.zeros((n_u, n_u)), np.empty(n_u)
    column, lower, upper = np.empty(n_u), np.empty(n_u), np.empty(n_u)
    error, effort, work = np.empty(n_x), np.empty(n_u), np.empty((3, n_u))
    linear, curved = 0.0, 0.0
    error_at(x, r, T, error)
    for i in range(n_x):
        p[i] = slope(Q_f, error, i)
    for t in range(T - 1, -1, -1):
        Q_uu, free = curvature.Q_uu[t], curvature.free[t]
        # the cost to go as a quadratic in u_t, and its cross term with x_t
        linearise(dynamics, x, u, t, A, B)
        error_at(x, r, t, error)
        effort_at(u, t, u_trim, effort)
        _product(P, A, PA)
        _product(P, B, PB)
        _control_terms(R, effort, B, p, PA, PB, Q_u, Q_uu, Q_ux)
        # the best step within the bounds, and the feedback of the free controls
        for i in range(n_u):
            for j in range(n_u):
                H[i, j] = Q_uu[i, j] + damping * (Q_uu[i, j] - 2.0 * R[i, j])
            lower[i], upper[i] = u_min[i] - u[t, i], u_max[i] - u[t, i]
            d[i] = 0.0
        box_qp(H, Q_u, lower, upper, d, free, L, work)
        for j in range(n_x):
            for i in range(n_u):
                column[i] = -(1.0 + damping) * Q_ux[i, j] if free[i] else 0.0
            backsolve(L, column)
            for i in range(n_u):
                K[t, i, j] = column[i]
        for i in range(n_u):
            k[t, i] = d[i]
            linear += Q_u[i] * d[i]
        curved += 0.5 * quadratic(Q_uu, d)
        # the value function one step earlier
        _value_slope(Q, error, A, K[t], Q_u, Q_uu, Q_ux, d, Q_x, p)
        _value_curvature(Q, A, PA, K[t], Q_uu, Q_ux, P)
    return Change(linear, curved)


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
            b = B[k, i]
            Q_u[i] += b * p[k]
            for j in range(n_u):
                Q_uu[i, j] += b * PB[k, j]
            for j in range(n_x):
                Q_ux[i, j] += b * PA[k, j]


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
def _value_curvature(Q, A, PA, K, Q_uu, Q_ux, P):
    """Steps the value function's curvature P (n_x, n_x) from t + 1 to t, in place."""
    n_u, n_x = Q_ux.shape
    for i in range(n_x):
        for j in range(i + 1):
            P[i, j] = 2.0 * Q[i, j]
    for k in range(n_x):
        for i in range(n_x):
            a = A[k, i]
            for j in range(i + 1):
                P[i, j] += a * PA[k, j]
    for a in range(n_u):
        for j in range(n_x):
            inner = Q_ux[a, j]
            for b in range(n_u):
                inner += Q_uu[a, b] * K[b, j]
            for i in range(j, n_x):
                P[i, j] += K[a, i] * inner + Q_ux[a, i] * K[a, j]
    for i in range(n_x):
        for j in range(i):
            P[j, i] = P[i, j]


@register_jitable
def _product(M, N, out):
    """Fills out with M N, row by row."""
    for i in range(M.shape[0]):
        for j in range(N.shape[1]):
            out[i, j] = 0.0
        for k in range(M.shape[1]):
            a = M[i, k]
            for j in range(N.shape[1]):
                out[i, j] += a * N[k, j]


@register_jitable
def forward(plant, trajectory, r, gains, share, trial):
    """Rolls out u_t + share k_t + K_t (x_new_t - x_t), clipped, into trial; returns its J."""
    dynamics, Q, R, u_trim = plant.dynamics, plant.Q, plant.R, plant.u_trim
    u_min, u_max, k, K = plant.u_min, plant.u_max, gains.k, gains.K
    x, u, x_new, u_new = trajectory.x, trajectory.u, trial.x, trial.u
    T, n_u = u.shape
    n_x = r.shape[1]
    error, effort = np.empty(n_x), np.empty(n_u)
    x_new[0, :] = x[0]
    J = 0.0
    for t in range(T):
        error_at(x_new, r, t, error)
        for i in range(n_u):
            raw = u[t, i] + share * k[t, i]
            for j in range(n_x):
                raw += K[t, i, j] * (x_new[t, j] - x[t, j])
            u_new[t, i] = min(max(raw, u_min[i]), u_max[i])
        effort_at(u_new, t, u_trim, effort)
        J += stage(Q, R, error, effort)
        advance(dynamics, x_new, u_new, t)
    error_at(x_new, r, T, error)
    return J + quadratic(plant.Q_f, error)


@register_jitable
def line_search(plant, trajectory, r, gains, J, change, trial):
    """Halves the step until J falls by a share of what was predicted, then takes it.

    Returns:
        The new J, or J itself (the trajectory untouched) when no step was good enough.
    """
    share = 1.0
    for _ in range(LINE_SEARCH_STEPS):
        J_new = forward(plant, trajectory, r, gains, share, trial)
        predicted = share * (change.linear + share * change.curved)
        if J_new < J and J_new - J <= SUFFICIENT * predicted:
            trajectory.x[:, :] = trial.x
            trajectory.u[:, :] = trial.u
            return J_new
        share *= 0.5
    return J


@register_jitable
def improve(plant, r, sweeps, trajectory):
    """Improves a plan from x[0] by at most `sweeps` sweeps, in place.

    A sweep is one backward pass and one line search. J never rises: a sweep that finds nothing
    better keeps the plan and damps the next one.

    Args:
        plant: `Plant`.
        r: reference (T + 1, n_x).
        sweeps: the most sweeps to spend.
        trajectory: of x only x[0] is read; the controls must lie inside the bounds.

    Returns:
        J, the sweeps spent, and whether nothing was left to gain.
    """
    x, u = trajectory.x, trajectory.u
    T, n_u = u.shape
    n_x = r.shape[1]
    gains = Gains(np.zeros((T, n_u)), np.zeros((T, n_u, n_x)))
    trial = Trajectory(np.empty((T + 1, n_x)), u - plant.u_trim)
    J = rollout(plant, plain(gains.K), trial.u, x[0].copy(), r, trajectory)
    damping = 0.0
    for sweep in range(sweeps):
        change = backward(plant, trajectory, r, damping, gains)
        if -(change.linear + change.curved) <= CONVERGED * J:
            return J, sweep + 1, True
        J_new = line_search(plant, trajectory, r, gains, J, change, trial)
        if J_new < J:
            damping = 0.0 if damping <= DAMPING_MIN else damping / DAMPING_FACTOR
        elif damping < DAMPING_MAX:
            damping = max(damping * DAMPING_FACTOR, DAMPING_MIN)
        else:
            return J, sweep + 1, False
        J = J_new
    return J, sweeps, False


@register_jitable
def batch_improve(plant, r, sweeps, trajectories, outcome):
    """`improve` for every row of r (B, T + 1, n_x) and of the trajectories."""
    for b in range(trajectories.u.shape[0]):
        J, spent, converged = improve(plant, r[b], sweeps, row(trajectories, b))
        outcome.J[b], outcome.spent[b], outcome.converged[b] = J, spent, converged
