"""Kernels of control-limited iLQR: plans improved sweep by sweep, the bounds kept exactly.

Source: Tassa, Mansard, Todorov, Control-limited differential dynamic programming (ICRA 2014),
with the second derivatives of the dynamics left out (Gauss-Newton). Where a task has constraints
a sweep lowers the augmented Lagrangian (`lagrangian.py`; Howell, Jackson, Manchester, ALTRO, IROS
2019), and the plan that is kept is the best by the merit. Every function runs as plain Python and
compiles under Numba; none needs LAPACK.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import CONSTRAINTS, advance, count_of
from trc_core.numerics.backward import Gains, Push, backward, new_curvature
from trc_core.numerics.cost import (
    effort_at,
    error_at,
    has_terms,
    quadratic,
    stage,
    terms_along,
    violation_of,
)
from trc_core.numerics.lagrangian import (
    Multipliers,
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
NEARLY, DAMPED = 1e-4, 1e-2  # share of L to gain, and damping, at which they are updated at once
FEASIBLE = 4e-8  # share of the merit that a violation may cost, squared, by its first penalty,
SOLVED = 1e-5  # and predicted share of L to gain, where a constrained plan has converged
TINY = 1e-300


class Outcome(NamedTuple):
    """The outcome of a number of sweeps, for every row of a batch."""

    J: Array  # (B,)
    spent: NDArray[np.int64]  # (B,) sweeps
    converged: NDArray[np.bool_]  # (B,) whether nothing was left to gain


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

    def copied(self) -> Memory:
        """The same numbers in arrays of its own."""
        return Memory(self.K.copy(), self.lam.copy(), self.rho.copy())


@register_jitable
def new_memory(plant, T, n_u, n_x):
    """The memory of a plan that nothing came before."""
    multipliers = without_multipliers(plant, T)
    return Memory(np.zeros((T, n_u, n_x)), multipliers.lam, multipliers.rho)


class Values(NamedTuple):
    """What trajectories are compared by; all are J where there are no constraints."""

    L: float  # the augmented Lagrangian, which sweeps lower
    M: float  # the merit, by which the best plan is kept


@register_jitable
def forward(plant, trajectory, r, gains, share, multipliers, margin, trial, h):
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
        return Values(
            J + penalty_of(h, margin, multipliers), J + plant.terms.weight * violation_of(h)[0]
        )
    return Values(J, J)


@register_jitable
def line_search(plant, trajectory, r, gains, values, change, multipliers, margin, trial, h):
    """Halves the step until L falls by a share of what was predicted, then takes it.

    Returns:
        The new `Values` (h then holds the constraints), or the old ones (the trajectory
        untouched) when no step was good enough.
    """
    share, L = 1.0, values.L
    for _ in range(LINE_SEARCH_STEPS):
        new = forward(plant, trajectory, r, gains, share, multipliers, margin, trial, h)
        predicted = share * (change.linear + share * change.curved)
        if L > new.L and SUFFICIENT * predicted >= new.L - L:
            _keep(trial, trajectory)
            return new
        share *= 0.5
    return values


@register_jitable
def improve(plant, r, sweeps, trajectory, J, memory, margin):
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
        margin: by which sweeps keep off the constraints, in their units.

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
    multipliers = Multipliers(memory.lam, memory.rho)
    values, M_best = Values(J, J), J
    if n_h > 0:
        _keep(trajectory, best)
        terms_along(plant, trajectory, r, h)
        values = Values(_lagrangian(h, margin, J, weight, multipliers), J)
    damping, accepted, found = 0.0, 0, 0
    spent, converged, out_of_date = 0, False, False
    while spent < sweeps or out_of_date:
        # the backward pass of one sweep
        if n_h > 0 and not choosing:
            force_of(h, margin, multipliers, force)
        push = Push(force, multipliers.rho)
        change = backward(plant, trajectory, r, damping, gains, curvature, push)
        if out_of_date:
            break
        if choosing:
            choose_penalties(plant, trajectory, r, curvature, multipliers.rho)
            raise_penalties(h, _cost(h, J, weight), multipliers.rho)
            values, choosing = Values(_lagrangian(h, margin, J, weight, multipliers), J), False
            continue
        # its line search
        spent += 1
        gain = -(change.linear + change.curved) / max(abs(values.L), TINY)
        done, before = gain <= CONVERGED, values.L
        if not done:
            values = line_search(
                plant, trajectory, r, gains, values, change, multipliers, margin, trial, h_trial
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
            worst = update_multipliers(h, margin, weight, multipliers)
            converged = gain <= SOLVED and worst * worst <= FEASIBLE * abs(values.M)
            accepted = 0
            values = Values(_lagrangian(h, margin, values.M, weight, multipliers), values.M)
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
def _lagrangian(h, margin, M, weight, multipliers):
    """L of a trajectory with constraints h (T + 1, n_h) and merit M."""
    return _cost(h, M, weight) + penalty_of(h, margin, multipliers)


@register_jitable
def _cost(h, M, weight):
    """J of a trajectory with constraints h (T + 1, n_h) and merit M."""
    return M - weight * violation_of(h)[0]


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
def batch_replay(plant, r, trajectories, J):
    """`replay` for every row of r (B, T + 1, n_x) and of the trajectories; fills J (B,)."""
    for b in range(trajectories.u.shape[0]):
        J[b] = replay(plant, r[b], row(trajectories, b))


@register_jitable
def batch_improve(plant, r, sweeps, margin, trajectories, memory, outcome):
    """`improve` for every row of r (B, T + 1, n_x), of the trajectories and of the memory.

    `outcome.J` holds the merits before, and then those after; rows where it is not finite are
    left as they are.
    """
    for b in range(trajectories.u.shape[0]):
        J = outcome.J[b]
        if math.isfinite(J):
            own, plan = Memory(memory.K[b], memory.lam[b], memory.rho[b]), row(trajectories, b)
            J, spent, converged = improve(plant, r[b], sweeps, plan, J, own, margin)
            outcome.J[b], outcome.spent[b], outcome.converged[b] = J, spent, converged
