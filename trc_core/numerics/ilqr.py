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

from trc_core.compile.plant import (
    CONSTRAINTS,
    SLOPES,
    advance,
    call_value_slopes,
    count_of,
    linearise,
)
from trc_core.numerics.box_qp import backsolve, box_qp, factor
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
    force_of,
    penalty_of,
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
NEARLY, DAMPED = 1e-4, 1e-2  # share of L to gain, and damping, at which they are updated at once
STIFFNESS = 32.0  # of a first penalty, relative to the cost to go along the constraint
PENALTY_FACTOR, LARGEST_GROWTH = 3.0, 9.0  # by which penalties grow, and at most
ENOUGH = 0.25  # share of the violation before; where more is left, penalties grow
FEASIBLE = 1e-5  # share of the merit that the violation of a constraint may cost,
SOLVED = 1e-6  # and predicted share of L to gain, where a constrained plan has converged
TINY = 1e-300


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
    rho: Array  # (n_h,) zero where no penalty was chosen yet

    def rows(self, rows: slice) -> Memory:
        """Views of some of the problems, where arrays have a leading axis B."""
        if rows == slice(None):
            return self
        return Memory(self.K[rows], self.lam[rows], self.rho[rows])


@register_jitable
def new_memory(plant, T, n_u, n_x):
    """The memory of a plan that nothing came before."""
    multipliers = without_multipliers(plant, T)
    return Memory(np.zeros((T, n_u, n_x)), multipliers.lam, multipliers.rho)


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
        if L > new.L and SUFFICIENT * predicted >= new.L - L:
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
    n_h, weight = count_of(plant.terms, CONSTRAINTS), plant.terms.weight
    # room; P is needed to choose penalties, the best plan so far only where it is not the last
    trial = Trajectory(np.empty((T + 1, n_x)), np.empty((T, n_u)))
    choosing = n_h > 0 and not memory.rho[0] > 0.0
    steps = T if choosing else 0
    curvature = new_curvature(T, n_u, np.empty((steps, n_x, n_x)))
    kept = T if n_h > 0 else 0
    best = Trajectory(np.empty((kept + 1, n_x)), np.empty((kept, n_u)))
    h, h_trial, force = np.empty((T + 1, n_h)), np.empty((T + 1, n_h)), np.zeros((T + 1, n_h))
    gains = Gains(np.zeros((T, n_u)), memory.K)
    multipliers = Multipliers(memory.lam, memory.rho.copy())
    values, M_best = Values(J, J), J
    if n_h > 0:
        _keep(trajectory, best)
        terms_along(plant, trajectory, r, h)
        values = Values(_lagrangian(h, J, weight, multipliers), J)
    violation, growth, damping, accepted, found = np.inf, 1.0, 0.0, 0, 0
    spent, converged, out_of_date = 0, False, False
    while spent < sweeps or out_of_date:
        # the backward pass of one sweep
        if n_h > 0 and not choosing:
            force_of(h, multipliers, force)
        push = Push(force, multipliers.rho)
        change = backward(plant, trajectory, r, damping, gains, curvature, push)
        if out_of_date:
            break
        if choosing:
            choose_penalties(plant, trajectory, r, curvature, memory.rho)
            multipliers = Multipliers(memory.lam, memory.rho.copy())
            values, choosing = Values(_lagrangian(h, J, weight, multipliers), J), False
            continue
        # its line search
        spent += 1
        gain = -(change.linear + change.curved) / max(abs(values.L), TINY)
        done, before = gain <= CONVERGED, values.L
        if not done:
            values = line_search(
                plant, trajectory, r, gains, values, change, multipliers, trial, h_trial
            )
        if before > values.L:
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
        if M_best > values.M:
            M_best, found = values.M, spent
            _keep(trajectory, best)
        nearly = gain <= NEARLY and damping <= DAMPED
        if nearly or accepted >= UPDATE_AFTER or spent == sweeps:
            worst = update_multipliers(h, weight, multipliers, memory.rho)
            converged = gain <= SOLVED and worst <= FEASIBLE * abs(values.M) / weight
            if worst > ENOUGH * violation and growth < LARGEST_GROWTH and not converged:
                growth *= PENALTY_FACTOR
                for i in range(n_h):
                    multipliers.rho[i] *= PENALTY_FACTOR
            violation, accepted = worst, 0
            values = Values(_lagrangian(h, values.M, weight, multipliers), values.M)
        if converged or spent == sweeps:
            _keep(best, trajectory)
            out_of_date = found < spent - 1  # the gains belong to another plan
            if out_of_date:
                terms_along(plant, trajectory, r, h)
            elif converged:
                break
    if n_h > 0:
        return M_best, spent, converged
    return values.M, spent, False


@register_jitable
def _lagrangian(h, M, weight, multipliers):
    """L of a trajectory with constraints h (T + 1, n_h) and merit M."""
    return M - weight * violation_of(h)[0] + penalty_of(h, multipliers)


@register_jitable
def choose_penalties(plant, trajectory, r, curvature, rho):
    """Fills the first penalties rho (n_h,), free of units.

    Each is `STIFFNESS` times the curvature of the cost to go along the slope of its constraint,
    1 / (h' P^-1 h'), in the geometric mean over the steps, so that an update of the multipliers
    shrinks a violation about as many times. A constraint of the control alone has that of the
    control.
    """
    terms, dynamics, x, u = plant.terms, plant.dynamics, trajectory.x, trajectory.u
    functions, p, dt, (T, n_u), n_x = terms.functions, dynamics.p, dynamics.dt, u.shape, x.shape[1]
    buffers, n_h = term_buffers(terms, n_x, n_u), rho.shape[0]
    total, count = np.zeros(n_h), np.zeros(n_h)
    L_x, L_u = np.zeros((n_x, n_x)), np.zeros((n_u, n_u))
    all_x, all_u = np.ones(n_x, dtype=np.bool_), np.ones(n_u, dtype=np.bool_)
    solved_x, solved_u = np.empty(n_x), np.empty(n_u)
    for t in range(T):
        values, by_x, by_u = buffers
        function = functions[CONSTRAINTS, SLOPES]
        call_value_slopes(function, x, t, u, t, r, p, t * dt, values, by_x, by_u)
        factor(curvature.P[t], all_x, L_x)
        factor(curvature.Q_uu[t], all_u, L_u)
        for i in range(n_h):
            along = 0.0
            for j in range(n_x):
                solved_x[j] = by_x[i, j]
            backsolve(L_x, solved_x)
            for j in range(n_x):
                along += by_x[i, j] * solved_x[j]
            if not along > 0.0:
                for j in range(n_u):
                    solved_u[j] = by_u[i, j]
                backsolve(L_u, solved_u)
                for j in range(n_u):
                    along += by_u[i, j] * solved_u[j]
            if along > 0.0 and np.isfinite(along):
                total[i] -= np.log(along)
                count[i] += 1.0
    for i in range(n_h):
        rho[i] = STIFFNESS * np.exp(total[i] / count[i]) if count[i] > 0.0 else terms.weight


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
