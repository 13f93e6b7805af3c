"""The backward pass of interior-point differential dynamic programming with a free duration.

The duration of a step is a state that does not change, X = (x, dt), and the prices nu of the
states that must end at the goal are parameters that the sweep carries along:

    V_t = p' dX + dX' P dX / 2 + dX' S' dnu + s' dnu + dnu' W dnu / 2

with P = Hessian of the end cost, S = slopes of the end states, s = their errors, W = 0 at T. At
the start, where dx = 0, the saddle point over (dt, dnu) is solved; W is negative definite.

Sources: Bryson and Ho, Applied Optimal Control (1975), section 6.3 (neighbouring extremals);
Pavlov, Shames, Manzie, Interior point differential dynamic programming (2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.packed import call_packed
from trc_core.compile.products import add_product_of_transposed, fill_product
from trc_core.numerics.box_qp import backsolve_rows
from trc_core.numerics.free_time.timed import (
    DT,
    EXPANSION,
    HIGH,
    HIGH_PRICE,
    LOW,
    LOW_PRICE,
    OTHER,
    TURN,
    UNIT,
    direction_of,
    turns_of,
)
from trc_core.numerics.free_time.value import add_constraints, end_value, step_value

if TYPE_CHECKING:
    from trc_core.problem.system import Array

FIRST_SHIFT, LARGEST_SHIFT = 1e-5, 1e12  # of a curvature that is not positive, in cost_unit
LONGEST_CHANGE = 0.25  # share of the duration by which a sweep may change it
WEAKEST_BY_TIME = 1e-4  # curvature by log dt, in cost_unit
WEAKEST = 1e-12  # share of W's diagonal that is added to it


class Sweep(NamedTuple):
    """What a backward pass leaves: the plan's slopes in local coordinates, and its gains.

    n = n_x + 1 + n_u for (x, dt, z) and m = n_x + 1.
    """

    gains: Array  # (T, n_u, 1 + m + n_c) z moves by k + K dX + G dnu
    F: Array  # (T, m, n) slopes of the next (x, dt)
    slopes: Array  # (T + 1, n) of the cost
    C: Array  # (T + 1, n_h, n) slopes of the constraints
    W: Array  # (n_c, n_c) Cholesky factor of -W
    change: Array  # (1 + n_c,) of dt and nu


@register_jitable
def new_sweep(T, n_x, n_u, n_h, n_c):
    """Room for a backward pass."""
    n = n_x + 1 + n_u
    return Sweep(
        np.zeros((T, n_u, 2 + n_x + n_c)),
        np.zeros((T, n_x + 1, n)),
        np.zeros((T + 1, n)),
        np.zeros((T + 1, n_h, n)),
        np.zeros((n_c, n_c)),
        np.zeros(1 + n_c),
    )


@register_jitable
def cholesky(A, L):
    """Fills the lower L of A = L L' (n, n); returns whether A is positive definite."""
    for i in range(A.shape[0]):
        for j in range(i + 1):
            total = A[i, j]
            for k in range(j):
                total -= L[i, k] * L[j, k]
            if i > j:
                L[i, j] = total / L[j, j]
            elif total > 1e-13 * abs(A[i, i]):
                L[i, i] = np.sqrt(total)
            else:
                return False
    return True


@register_jitable
def _turned(kinds, groups, bounds, u, t, g, turn, bent, scratch):
    """Fills the slopes of u[t] by local coordinates, and the second slopes of g' u.

    Args:
        kinds: of the plant's local coordinates.
        groups: of the plant.
        bounds: of the plant.
        u: controls (T, n_u).
        t: the step.
        g: slopes (n,) of the Lagrangian, whose last n_u entries are those by u.
        turn: (n_u, n_u) gets the slopes.
        bent: (n_u, n_u) gets the second slopes.
        scratch: room (n_u + 1, n_u).
    """
    n_u, m = u.shape[1], g.shape[0] - u.shape[1]
    d, basis = scratch[0], scratch[1:]
    for i in range(n_u):
        for j in range(n_u):
            turn[i, j] = 0.0
            bent[i, j] = 0.0
        if kinds[i] == OTHER:
            turn[i, i] = bounds[UNIT, i]
    for group in range(groups.shape[0]):
        count, first = groups[group, 0], groups[group, 1]
        size, unit, along = direction_of(groups, group, u, t, d), bounds[UNIT, first], 0.0
        turns_of(d, count, basis)
        for i in range(count):
            place = groups[group, 1 + i]
            turn[place, first] = unit * d[i]
            along += g[m + place] * d[i]
            for j in range(1, count):
                slot = groups[group, 1 + j]
                turn[place, slot] = size * basis[j, i]
                bent[first, slot] += unit * basis[j, i] * g[m + place]
        for j in range(1, count):
            slot = groups[group, 1 + j]
            bent[slot, first] = bent[first, slot]
            bent[slot, slot] = -size * along


@register_jitable
def _times_turn(results, at, rows, n, turn, out):
    """Fills rows of out (rows, n) with a matrix that stands in results from `at` on.

    Its last n_u columns, slopes by u, become slopes by local coordinates.
    """
    n_u = turn.shape[0]
    m = n - n_u
    for i in range(rows):
        first = at + i * n
        for j in range(m):
            out[i, j] = results[0, first + j]
        for b in range(n_u):
            total = 0.0
            for a in range(n_u):
                total += results[0, first + m + a] * turn[a, b]
            out[i, m + b] = total


@register_jitable
def _start(plant, flight, mu, damping, p, P, S, s, W, sweep):
    """Solves for the change of dt and nu; returns whether W is negative definite."""
    n_c, at, dt = s.shape[0], p.shape[0] - 1, flight.numbers[DT]
    change, scale = sweep.change, plant.cost_unit / dt**2
    low, high = dt - plant.dt[0], plant.dt[1] - dt
    pull = p[at] - mu / low + mu / high
    curved = P[at, at] + damping * scale
    curved += flight.numbers[LOW_PRICE] / low + flight.numbers[HIGH_PRICE] / high
    both = np.empty((n_c, 2))
    for i in range(n_c):
        for j in range(n_c):
            W[i, j] = -W[i, j]
        weakest = plant.x_unit[plant.terminal[i]] ** 2 / plant.cost_unit
        W[i, i] += WEAKEST * (W[i, i] + weakest)
        both[i, 0], both[i, 1] = s[i], S[i, at]
    if not cholesky(W, sweep.W):
        return False
    backsolve_rows(sweep.W, both)
    for i in range(n_c):
        curved += S[i, at] * both[i, 1]
        pull += S[i, at] * both[i, 0]
    if curved < WEAKEST_BY_TIME * scale:  # uphill or flat: as steep a valley in its place
        curved = max(-curved, WEAKEST_BY_TIME * scale)
    most = LONGEST_CHANGE * dt
    change[0] = min(max(-pull / curved, -most), most)
    for i in range(n_c):
        change[1 + i] = both[i, 0] + both[i, 1] * change[0]
    return True


@register_jitable
def _control_gains(Q, q, SF, cost_unit, A, L, gains, t):
    """Fills the gains of step t; returns whether its curvature could be made positive."""
    n_u = A.shape[0]
    m, n_c, shift = q.shape[0] - n_u, SF.shape[0], 0.0
    for i in range(n_u):
        for j in range(n_u):
            A[i, j] = Q[m + i, m + j]
    while not cholesky(A, L):
        shift = max(10.0 * shift, FIRST_SHIFT * cost_unit)
        if not shift < LARGEST_SHIFT * cost_unit:
            return False
        for i in range(n_u):
            A[i, i] = Q[m + i, m + i] + shift
    own = gains[t]
    for i in range(n_u):
        own[i, 0] = -q[m + i]
        for j in range(m):
            own[i, 1 + j] = -Q[m + i, j]
        for j in range(n_c):
            own[i, 1 + m + j] = -SF[j, m + i]
    backsolve_rows(L, own)
    return True


@register_jitable
def backward(plant, flight, mu, damping, aim, bend, sweep):
    """One backward pass: fills `sweep`; returns whether every curvature is positive.

    Args:
        plant: `Timed`.
        flight: the plan; h and the slacks are those of its states.
        mu: weight of the barrier, in units of the cost.
        damping: added to the curvature by local coordinates and by log dt, in units of cost_unit.
        aim: share of the errors of the terminal states that the step shall close.
        bend: share of the curvature by states and time that counts.
        sweep: gets the slopes and gains.
    """
    x, u, at, h, y, w = flight.x, flight.u, flight.at, flight.h, flight.y, flight.w
    below, above, dt = flight.below, flight.above, flight.numbers[DT]
    kinds, groups, bounds, holds = plant.kinds, plant.groups, plant.bounds, plant.holds
    gains, slopes, C, function = sweep.gains, sweep.slopes, sweep.C, plant.functions[EXPANSION]
    T, n_u = u.shape
    n_x, n_h, n_c = x.shape[1], h.shape[1], flight.nu.shape[0]
    m, n, price = n_x + 1, n_x + 1 + n_u, n_x + n_u + 2
    arguments, damped = plant.numbers.copy(), damping * plant.cost_unit
    results = np.empty((1, n_x * n + 2 * n + n * n + n_h * n))
    turn, bent, scratch = np.empty((n_u, n_u)), np.empty((n_u, n_u)), np.empty((n_u + 1, n_u))
    p, P, S, s = np.empty(m), np.empty((m, m)), np.empty((n_c, m)), np.empty(n_c)
    q, g, H, Q = np.empty(n), np.empty(n), np.empty((n, n)), np.empty((n, n))
    PF, SF, W = np.empty((m, n)), np.empty((n_c, n)), np.zeros((n_c, n_c))
    A, L = np.empty((n_u, n_u)), np.zeros((n_u, n_u))
    end_value(plant, flight, mu, aim, sweep, q, Q, p, P, S, s)
    arguments[n_x + n_u] = dt
    for t in range(T - 1, -1, -1):
        # slopes of the step and of the Lagrangian
        for i in range(n_x):
            arguments[i], arguments[price + i] = x[t, i], p[i]
        for i in range(n_u):
            arguments[n_x + i] = u[t, i]
        arguments[n_x + n_u + 1] = float(t)
        for i in range(n_h):
            arguments[price + n_x + i] = w[t, i] if holds[t, i] else 0.0
        call_packed(function, arguments, results, 0)
        # by local coordinates
        for i in range(n):
            g[i] = results[0, n_x * n + i]
        _turned(kinds, groups, bounds, u, t, g, turn, bent, scratch)
        F = sweep.F[t]
        _times_turn(results, 0, n_x, n, turn, F)
        _times_turn(results, n_x * n + n, n, n, turn, H)
        _times_turn(results, n_x * n + 2 * n + n * n, n_h, n, turn, C[t])
        F[n_x, n_x] = 1.0
        for j in range(m):
            q[j], slopes[t, j] = g[j], results[0, n_x * n + n + n * n + j]
        for b in range(n_u):
            total, along = 0.0, 0.0
            for a in range(n_u):
                total += g[m + a] * turn[a, b]
                along += results[0, n_x * n + n + n * n + m + a] * turn[a, b]
            q[m + b], slopes[t, m + b] = total, along
        for j in range(n):
            for b in range(n_u):
                total = 0.0
                for a in range(n_u):
                    total += turn[a, b] * H[m + a, j]
                A[0, b] = total
            for b in range(n_u):
                H[m + b, j] = A[0, b]
        for a in range(n_u):
            for b in range(n_u):
                H[m + a, m + b] += bent[a, b]
        if bend != 1.0:
            for a in range(n):
                for b in range(n):
                    if a < m or b < m:
                        H[a, b] *= bend
        # the cost to go by (x, dt, z), and its cross term with nu
        q[n_x] += p[n_x]
        fill_product(PF, P, F)
        add_product_of_transposed(Q, H, 1.0, F, PF)
        fill_product(SF, S, F)
        add_constraints(holds, h, y, w, t, mu, C, q, Q)
        for i in range(n_u):
            Q[m + i, m + i] += damped
            if kinds[i] != TURN:
                down = (at[t, i] - bounds[LOW, i]) / bounds[UNIT, i]
                up = (bounds[HIGH, i] - at[t, i]) / bounds[UNIT, i]
                q[m + i] += mu / up - mu / down
                Q[m + i, m + i] += below[t, i] / down + above[t, i] / up
        if not _control_gains(Q, q, SF, plant.cost_unit, A, L, gains, t):
            return False
        step_value(Q, q, SF, gains, t, p, P, S, s, W)
    return _start(plant, flight, mu, damping, p, P, S, s, W, sweep)
