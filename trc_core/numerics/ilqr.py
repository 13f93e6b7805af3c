"""Kernels of control-limited iLQR: plans improved sweep by sweep, the bounds kept exactly.

Source: Tassa, Mansard, Todorov, Control-limited differential dynamic programming (ICRA 2014),
with the second derivatives of the dynamics left out (Gauss-Newton). Where a task has constraints
a sweep lowers the augmented Lagrangian (`lagrangian.py`; Howell, Jackson, Manchester, ALTRO, IROS
2019), and the plan that is kept is the best by the merit. Every function runs as plain Python and
compiles under Numba; none needs LAPACK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import advance, linearise
from trc_core.numerics.box_qp import backsolve, box_qp
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
)
from trc_core.numerics.lagrangian import (
    Multipliers,
    Violations,
    choose_penalties,
    force_of,
    penalty_of,
    raise_penalties,
    update_multipliers,
    without_multipliers,
)
from trc_core.numerics.rollout import Trajectory, plain, rollout, row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trc_core.problem.system import Array

LINE_SEARCH_STEPS = 10
SUFFICIENT = 1e-4  # share of the predicted decrease that a step must deliver
CONVERGED = 1e-10  # predicted decrease, relative to J, below which nothing is left to gain
DAMPING_MIN, DAMPING_MAX, DAMPING_FACTOR = 1e-4, 1e8, 10.0
UPDATE_AFTER = 4  # accepted sweeps at the most between two updates of the multipliers
SMALL_GAIN = 0.01  # of L, by a sweep after which the multipliers are updated
FEASIBLE = 1e-5  # share of the merit that the violation of a constraint may cost,
NEARLY = 1e-6  # and predicted share of L to gain, where a constrained plan has converged
LARGEST_PENALTY = 1e3  # times the weight of violations
TINY = 1e-300


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


class Push(NamedTuple):
    """What constraints do to a backward pass."""

    force: Array  # (T + 1, n_h) along their slopes
    rho: Array  # (n_h,) curvature where there is a force


class Memory(NamedTuple):
    """What a plan leaves for the next: the gains of its last backward pass, and multipliers."""

    K: Array  # (T, n_u, n_x)
    lam: Array  # (T + 1, n_h)
    rho: Array  # (n_h,)


@register_jitable
def new_memory(plant, T, n_u, n_x):
    """The memory of a plan that nothing came before."""
    multipliers = without_multipliers(plant, T)
    return Memory(np.zeros((T, n_u, n_x)), multipliers.lam, multipliers.rho)


@register_jitable
def no_push(plant, T):
    """Constraints that are left out."""
    n_h = plant.terms.constraints.n
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
    H, L, d = np.empty((n_u, n_u)), np.zeros((n_u, n_u)), np.empty(n_u)
    column, lower, upper = np.empty(n_u), np.empty(n_u), np.empty(n_u)
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
        Q_uu, free = curvature.Q_uu[t], curvature.free[t]
        # the cost to go as a quadratic in u_t, and its cross term with x_t
        linearise(dynamics, x, u, t, A, B)
        error_at(x, r, t, angles, error)
        effort_at(u, t, u_trim, effort)
        _product(P, A, PA)
        _product(P, B, PB)
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
        if present:
            _add_to_value(more, p, P)
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


class Values(NamedTuple):
    """What trajectories are compared by; all are J where there are no constraints."""

    L: float  # the augmented Lagrangian, which sweeps lower
    M: float  # the merit, by which the best plan is kept


@register_jitable
def forward(plant, trajectory, r, gains, share, multipliers, trial, h):
    """Rolls out u_t + share k_t + K_t (x_new_t - x_t), clipped, into trial.

    Fills its constraints h (T + 1, n_h); returns its `Values`.
    """
    dynamics, Q, R, u_trim = plant.dynamics, plant.Q, plant.R, plant.u_trim
    u_min, u_max, k, K = plant.u_min, plant.u_max, gains.k, gains.K
    x, u, x_new, u_new = trajectory.x, trajectory.u, trial.x, trial.u
    T, n_u, angles = u.shape[0], u.shape[1], plant.angles
    n_x = r.shape[1]
    error, effort = np.empty(n_x), np.empty(n_u)
    for i in range(n_x):
        x_new[0, i] = x[0, i]
    J = 0.0
    for t in range(T):
        error_at(x_new, r, t, angles, error)
        for i in range(n_u):
            raw = u[t, i] + share * k[t, i]
            for j in range(n_x):
                raw += K[t, i, j] * (x_new[t, j] - x[t, j])
            u_new[t, i] = min(max(raw, u_min[i]), u_max[i])
        effort_at(u_new, t, u_trim, effort)
        J += stage(Q, R, error, effort)
        advance(dynamics, x_new, u_new, t)
    error_at(x_new, r, T, angles, error)
    J += quadratic(plant.Q_f, error)
    if has_terms(plant.terms):
        J += terms_along(plant, trial, r, h)
        return Values(J + penalty_of(h, multipliers), J + plant.terms.weight * violation_of(h)[0])
    return Values(J, J)


@register_jitable
def line_search(plant, trajectory, r, gains, values, change, multipliers, trial, h):
    """Halves the step until L falls by a share of what was predicted, then takes it.

    Returns:
        The new `Values` (h then holds the constraints), or the old ones (the trajectory
        untouched) when no step was good enough.
    """
    share, L = 1.0, values.L
    for _ in range(LINE_SEARCH_STEPS):
        new = forward(plant, trajectory, r, gains, share, multipliers, trial, h)
        predicted = share * (change.linear + share * change.curved)
        if new.L < L and new.L - L <= SUFFICIENT * predicted:
            _keep(trial, trajectory)
            return new
        share *= 0.5
    return values


@register_jitable
def improve(plant, r, sweeps, trajectory, J, memory):
    """Improves a plan by at most `sweeps` sweeps, in place.

    A sweep is one backward pass and one line search. The merit never rises: a sweep that finds
    nothing better keeps the plan and damps the next one. Where there are constraints, multipliers
    are updated whenever the problem of the present ones is nearly solved.

    Args:
        plant: `Plant`.
        r: reference (T + 1, n_x).
        sweeps: the most sweeps to spend.
        trajectory: its states are those of its controls, which lie inside the bounds.
        J: its merit.
        memory: what the plan before left; gets what this one leaves.

    Returns:
        The merit (J where there are no constraints), the sweeps spent, and whether nothing was
        left to gain.
    """
    T, n_u, n_x = trajectory.u.shape[0], trajectory.u.shape[1], r.shape[1]
    n_h, weight = plant.terms.constraints.n, plant.terms.weight
    trial = Trajectory(np.empty((T + 1, n_x)), np.empty((T, n_u)))
    curvature = Curvature(np.empty((T, n_u, n_u)), np.empty((T, n_u), dtype=np.bool_))
    choose_penalties(plant, memory.rho)
    gains, multipliers = (
        Gains(np.zeros((T, n_u)), memory.K),
        Multipliers(memory.lam, memory.rho.copy()),
    )
    h, h_trial, force = np.empty((T + 1, n_h)), np.empty((T + 1, n_h)), np.empty((T + 1, n_h))
    kept = T if n_h > 0 else 0  # the best plan so far; without constraints it is the last
    best = Trajectory(np.empty((kept + 1, n_x)), np.empty((kept, n_u)))
    violations = Violations(np.zeros(n_h), np.full(n_h, np.inf))
    values, M_best = Values(J, J), J
    if n_h > 0:
        _keep(trajectory, best)
        terms_along(plant, trajectory, r, h)
        values = Values(J - weight * violation_of(h)[0] + penalty_of(h, multipliers), J)
    damping, accepted, spent, found, converged = 0.0, 0, 0, 0, False
    while spent < sweeps:
        # one sweep
        force_of(h, multipliers, force)
        push = Push(force, multipliers.rho)
        change = backward(plant, trajectory, r, damping, gains, curvature, push)
        spent += 1
        gain = -(change.linear + change.curved) / max(abs(values.L), TINY)
        before = values.L
        done = gain <= CONVERGED
        if not done:
            values = line_search(
                plant, trajectory, r, gains, values, change, multipliers, trial, h_trial
            )
        if values.L < before:
            accepted += 1
            h, h_trial = h_trial, h
            damping = 0.0 if damping <= DAMPING_MIN else damping / DAMPING_FACTOR
        elif not done and damping < DAMPING_MAX:
            damping = max(damping * DAMPING_FACTOR, DAMPING_MIN)
        elif n_h == 0:
            return values.M, spent, done
        if n_h == 0:
            continue
        # the best plan so far, and new multipliers where the problem of these is nearly solved
        if values.M < M_best:
            M_best, found = values.M, spent
            _keep(trajectory, best)
        small = accepted > 0 and before - values.L < SMALL_GAIN * abs(values.L)
        if done or small or accepted >= UPDATE_AFTER or spent == sweeps:
            feasible = FEASIBLE * abs(values.M) / weight
            worst = update_multipliers(h, weight, multipliers, violations)
            converged = gain <= NEARLY and worst <= feasible
            if converged:
                break
            if spent < sweeps:
                raise_penalties(multipliers.rho, violations, feasible, LARGEST_PENALTY * weight)
            J_here = values.M - weight * violation_of(h)[0]
            values, accepted = Values(J_here + penalty_of(h, multipliers), values.M), 0
    if n_h > 0:
        _keep(best, trajectory)
        if found < spent - 1:  # the gains belong to another plan
            terms_along(plant, trajectory, r, h)
            force_of(h, multipliers, force)
            push = Push(force, multipliers.rho)
            backward(plant, trajectory, r, 0.0, gains, curvature, push)
        return M_best, spent, converged
    return values.M, spent, False


@register_jitable
def _keep(trajectory, kept):
    """Copies a trajectory."""
    for t in range(kept.u.shape[0]):
        for i in range(kept.u.shape[1]):
            kept.u[t, i] = trajectory.u[t, i]
    for t in range(kept.x.shape[0]):
        for i in range(kept.x.shape[1]):
            kept.x[t, i] = trajectory.x[t, i]


@register_jitable
def replay(plant, r, trajectory):
    """Flies the controls of a trajectory from x[0] again; returns the merit."""
    x, u = trajectory.x, trajectory.u
    T, n_u, n_x = u.shape[0], u.shape[1], x.shape[1]
    x0, v = np.empty(n_x), np.empty((T, n_u))
    for i in range(n_x):
        x0[i] = x[0, i]
    for t in range(T):
        for i in range(n_u):
            v[t, i] = u[t, i] - plant.u_trim[t, i]
    return rollout(plant, plain(np.zeros((T, n_u, n_x))), v, x0, r, trajectory)


@register_jitable
def batch_improve(plant, r, sweeps, trajectories, outcome):
    """`replay` and `improve` for every row of r (B, T + 1, n_x) and of the trajectories."""
    (_, T, n_u), n_x = trajectories.u.shape, r.shape[2]
    for b in range(trajectories.u.shape[0]):
        memory, plan = new_memory(plant, T, n_u, n_x), row(trajectories, b)
        J = replay(plant, r[b], plan)
        J, spent, converged = improve(plant, r[b], sweeps, plan, J, memory)
        outcome.J[b], outcome.spent[b], outcome.converged[b] = J, spent, converged
