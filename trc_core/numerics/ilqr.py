"""Kernels of control-limited iLQR: plans improved sweep by sweep, the bounds kept exactly.

Source: Tassa, Mansard, Todorov, Control-limited differential dynamic programming (ICRA 2014),
with the second derivatives of the dynamics left out (Gauss-Newton). Every function runs as plain
Python and compiles under Numba; none needs LAPACK.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.cost import quadratic
from trc_core.numerics.rollout import Law, gradient, plain, plant_row, reproject, rollout

BOX_QP_STEPS, BOX_QP_TOLERANCE = 50, 1e-12
LINE_SEARCH_STEPS = 10
SUFFICIENT = 1e-4  # share of the predicted decrease that a step must deliver
CONVERGED = 1e-10  # predicted decrease, relative to J, below which nothing is left to gain
DAMPING_MIN, DAMPING_MAX, DAMPING_FACTOR = 1e-4, 1e8, 10.0


@register_jitable
def factor(H, free, L):
    """Fills L with the Cholesky factor of H, rows and columns that are not free made identity."""
    n = H.shape[0]
    for i in range(n):
        for j in range(i + 1):
            total = 1.0 if i == j else 0.0
            if free[i] and free[j]:
                total = H[i, j]
            for k in range(j):
                total -= L[i, k] * L[j, k]
            if i == j:
                L[i, i] = np.sqrt(total)
            else:
                L[i, j] = total / L[j, j]


@register_jitable
def backsolve(L, b):
    """Replaces b by the solution of L L' a = b."""
    n = b.shape[0]
    for i in range(n):
        for k in range(i):
            b[i] -= L[i, k] * b[k]
        b[i] /= L[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            b[i] -= L[k, i] * b[k]
        b[i] /= L[i, i]


@register_jitable
def box_qp(H, g, lower, upper, d, free, L, work):
    """Minimises d' H d / 2 + g' d over lower <= d <= upper by projected Newton steps.

    Starts from d, which must lie in the box. Fills d (n,), free (n,): the controls not held at a
    bound, and L: the factor of the free block of H. H must be positive definite. work: (3, n).
    """
    n = g.shape[0]
    if n == 1:  # a parabola on an interval: five times faster than the loop below
        best = -g[0] / H[0, 0]
        d[0] = min(max(best, lower[0]), upper[0])
        free[0] = lower[0] <= best <= upper[0]
        L[0, 0] = np.sqrt(H[0, 0]) if free[0] else 1.0
        return
    slope, newton, trial = work[0], work[1], work[2]
    for _ in range(BOX_QP_STEPS):
        done = True
        for i in range(n):
            slope[i] = g[i]
            for j in range(n):
                slope[i] += H[i, j] * d[j]
            at_lower = d[i] <= lower[i] and slope[i] > 0.0
            free[i] = not (at_lower or (d[i] >= upper[i] and slope[i] < 0.0))
            newton[i] = -slope[i] if free[i] else 0.0
            done = done and abs(newton[i]) <= BOX_QP_TOLERANCE * (abs(g[i]) + abs(H[i, i] * d[i]))
        factor(H, free, L)
        if done:
            return
        backsolve(L, newton)
        if not _projected_step(H, slope, newton, lower, upper, d, trial):
            return


@register_jitable
def _projected_step(H, slope, newton, lower, upper, d, trial):
    """Moves d along newton, clipped, halving until the quadratic falls; False if it cannot."""
    n = d.shape[0]
    step_size = 1.0
    for _ in range(30):
        change, moved = 0.0, 0.0
        for i in range(n):
            trial[i] = min(max(d[i] + step_size * newton[i], lower[i]), upper[i]) - d[i]
            change += slope[i] * trial[i]
            moved = max(moved, abs(trial[i]))
        if moved == 0.0:
            return False
        if change + 0.5 * quadratic(H, trial) <= 0.1 * change:
            for i in range(n):  # not d + trial: that may end a rounding short of the bound
                d[i] = min(max(d[i] + step_size * newton[i], lower[i]), upper[i])
            return True
        step_size *= 0.5
    return False


@register_jitable
def backward(step, step_jacobian, system, goal, x, u, damping, k, K):
    """One backward pass along (x, u): fills the steps k (T, n_u) and gains K (T, n_u, n_x).

    `damping` multiplies P_{t+1} by 1 + damping in the choice of k and K, which keeps the new
    states near the old ones (the state regularisation of the source, made free of units).

    Returns:
        The linear and the quadratic part of the predicted change of J.
    """
    T, n_u = u.shape
    Q_uu, free = np.empty((T, n_u, n_u)), np.empty((T, n_u), dtype=np.bool_)
    return backward_with_curvature(
        step, step_jacobian, system, goal, x, u, damping, k, K, Q_uu, free
    )


@register_jitable
def backward_with_curvature(
    step, step_jacobian, system, goal, x, u, damping, k, K, all_Q_uu, all_free
):
    """`backward` that also fills the curvatures Q_uu (T, n_u, n_u) and free (T, n_u).

    `free` are the controls that the step does not hold at a bound.
    """
    T, n_u = u.shape
    n_x = goal.shape[0]
    A, B = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    p, P = np.zeros(n_x), 2.0 * system.Q_f
    PA, PB = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    Q_u, Q_ux = np.empty(n_u), np.empty((n_u, n_x))
    H, L = np.empty((n_u, n_u)), np.zeros((n_u, n_u))
    column, d, lower, upper = np.empty(n_u), np.empty(n_u), np.empty(n_u), np.empty(n_u)
    Q_x, work = np.empty(n_x), np.empty((3, n_u))
    linear, curved = 0.0, 0.0
    for i in range(n_x):
        for j in range(n_x):
            p[i] += P[i, j] * (x[T, j] - goal[j])
    for t in range(T - 1, -1, -1):
        Q_uu, free = all_Q_uu[t], all_free[t]
        step_jacobian(x[t], u[t], system.p, system.dt, A, B)
        _product(P, A, PA)
        _product(P, B, PB)
        _control_terms(system, u, t, B, p, PA, PB, Q_u, Q_uu, Q_ux)
        for i in range(n_u):
            for j in range(n_u):
                H[i, j] = Q_uu[i, j] + damping * (Q_uu[i, j] - 2.0 * system.R[i, j])
            lower[i], upper[i] = system.u_min[i] - u[t, i], system.u_max[i] - u[t, i]
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
        _value(system, goal, x, t, A, PA, Q_u, Q_uu, Q_ux, d, K, Q_x, p, P)
    return linear, curved


@register_jitable
def _control_terms(system, u, t, B, p, PA, PB, Q_u, Q_uu, Q_ux):
    """Fills the slope and curvature in u_t of the cost to go, and its cross term with x_t."""
    n_u, n_x = Q_ux.shape
    for i in range(n_u):
        slope = 0.0
        for j in range(n_x):
            slope += B[j, i] * p[j]
            Q_ux[i, j] = _columns(B, i, PA, j)
        for j in range(n_u):
            slope += 2.0 * system.R[i, j] * (u[t, j] - system.u_trim[j])
            Q_uu[i, j] = 2.0 * system.R[i, j] + _columns(B, i, PB, j)
        Q_u[i] = slope


@register_jitable
def _value(system, goal, x, t, A, PA, Q_u, Q_uu, Q_ux, d, K, Q_x, p, P):
    """Steps the value function's slope p and curvature P from t + 1 to t, in place."""
    n_u, n_x = Q_ux.shape
    for i in range(n_x):
        slope = 0.0
        for j in range(n_x):
            slope += A[j, i] * p[j] + 2.0 * system.Q[i, j] * (x[t, j] - goal[j])
        for a in range(n_u):
            inner = Q_u[a]
            for b in range(n_u):
                inner += Q_uu[a, b] * d[b]
            slope += K[t, a, i] * inner + Q_ux[a, i] * d[a]
        Q_x[i] = slope
    for i in range(n_x):
        p[i] = Q_x[i]
        for j in range(i + 1):
            total = 2.0 * system.Q[i, j] + _columns(A, i, PA, j)
            for a in range(n_u):
                inner = Q_ux[a, j]
                for b in range(n_u):
                    inner += Q_uu[a, b] * K[t, b, j]
                total += K[t, a, i] * inner + Q_ux[a, i] * K[t, a, j]
            P[i, j] = total
            P[j, i] = total


@register_jitable
def _columns(M, i, N, j):
    """Column i of M times column j of N."""
    total = 0.0
    for k in range(M.shape[0]):
        total += M[k, i] * N[k, j]
    return total


@register_jitable
def _product(M, N, out):
    for i in range(M.shape[0]):
        for j in range(N.shape[1]):
            total = 0.0
            for k in range(M.shape[1]):
                total += M[i, k] * N[k, j]
            out[i, j] = total


@register_jitable
def forward(step, step_jacobian, system, goal, x, u, k, K, share, x_new, u_new):
    """Rolls out u_new_t = clip(u_t + share k_t + K_t (x_new_t - x_t)); returns its J."""
    T, n_u = u.shape
    n_x = goal.shape[0]
    error, effort = np.empty(n_x), np.empty(n_u)
    x_new[0, :] = x[0]
    J = 0.0
    for t in range(T):
        for j in range(n_x):
            error[j] = x_new[t, j] - goal[j]
        for i in range(n_u):
            raw = u[t, i] + share * k[t, i]
            for j in range(n_x):
                raw += K[t, i, j] * (x_new[t, j] - x[t, j])
            u_new[t, i] = min(max(raw, system.u_min[i]), system.u_max[i])
            effort[i] = u_new[t, i] - system.u_trim[i]
        J += quadratic(system.Q, error) + quadratic(system.R, effort)
        step(x_new[t], u_new[t], system.p, system.dt, x_new[t + 1])
    for j in range(n_x):
        error[j] = x_new[T, j] - goal[j]
    return J + quadratic(system.Q_f, error)


@register_jitable
def line_search(step, step_jacobian, system, goal, x, u, k, K, J, linear, curved, x_new, u_new):
    """Halves the step until J falls by a share of what was predicted, then takes it into x, u.

    Returns:
        The new J, or J itself (x and u untouched) when no step was good enough.
    """
    share = 1.0
    for _ in range(LINE_SEARCH_STEPS):
        J_new = forward(step, step_jacobian, system, goal, x, u, k, K, share, x_new, u_new)
        if J_new < J and J_new - J <= SUFFICIENT * share * (linear + share * curved):
            x[:, :] = x_new
            u[:, :] = u_new
            return J_new
        share *= 0.5
    return J


@register_jitable
def improve(step, step_jacobian, system, goal, sweeps, x, u):
    """Improves the plan u from x[0] by at most `sweeps` sweeps; x and u are changed in place.

    A sweep is one backward pass and one line search. J never rises: a sweep that finds nothing
    better keeps the plan and damps the next one.

    Args:
        step: one step of the plant; bound by `compiled`.
        step_jacobian: its Jacobians; bound by `compiled`.
        system: `SystemArrays`.
        goal: (n_x,).
        sweeps: the most sweeps to spend.
        x: (T + 1, n_x); only x[0] is read, then the trajectory of u is written.
        u: (T, n_u), inside the bounds.

    Returns:
        J, the sweeps spent, and whether nothing was left to gain.
    """
    T, n_u = u.shape
    n_x = goal.shape[0]
    k, K = np.zeros((T, n_u)), np.zeros((T, n_u, n_x))
    x_new, u_new = np.empty((T + 1, n_x)), u - system.u_trim
    J = rollout(step, step_jacobian, system, plain(K), u_new, x[0].copy(), goal, x, u)
    damping = 0.0
    for sweep in range(sweeps):
        linear, curved = backward(step, step_jacobian, system, goal, x, u, damping, k, K)
        if -(linear + curved) <= CONVERGED * J:
            return J, sweep + 1, True
        J_new = line_search(
            step, step_jacobian, system, goal, x, u, k, K, J, linear, curved, x_new, u_new
        )
        if J_new < J:
            damping = 0.0 if damping <= DAMPING_MIN else damping / DAMPING_FACTOR
        elif damping < DAMPING_MAX:
            damping = max(damping * DAMPING_FACTOR, DAMPING_MIN)
        else:
            return J, sweep + 1, False
        J = J_new
    return J, sweeps, False


@register_jitable
def batch_improve(step, step_jacobian, system, goal, sweeps, x, u, J, spent, converged):
    """`improve` for every row of u (B, T, n_u); fills J, spent and converged, each (B,)."""
    for b in range(u.shape[0]):
        J[b], spent[b], converged[b] = improve(
            step, step_jacobian, system, goal[b], sweeps, x[b], u[b]
        )


@register_jitable
def batch_sweep(step, step_jacobian, system, p, K, G, sweeps, plant, goal, x, u, v, J, dJ_dv):
    """`improve` for every row of u (B, T, n_u), which may be of different plants.

    Row b belongs to plant[b], an index into the parameters p (N, n_p) and the gains K
    (N, T, n_u, n_x). Fills J (B,), the plans v with the gains K and G, and their dJ_dv.
    """
    for b in range(u.shape[0]):
        n = plant[b]
        row, law = plant_row(system, p[n]), Law(K[n], G)
        J[b] = improve(step, step_jacobian, row, goal[b], sweeps, x[b], u[b])[0]
        reproject(row, law, x[b], u[b], goal[b], v[b])
        gradient(step, step_jacobian, row, law, v[b], x[b], u[b], goal[b], dJ_dv[b])
