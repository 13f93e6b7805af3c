"""The backward pass of interior-point differential dynamic programming with a free duration.

The duration of a step is a state that does not change, X = (x, dt), and the prices nu of the states
that must end at the goal are parameters that the sweep carries along:

    V_t = p' dX + dX' P dX / 2 + dX' S dnu + s' dnu + dnu' W dnu / 2

with P = Hessian of the end cost, S = slopes of the end states, s = their errors, W = 0 at T. At the
start, where dx = 0, the saddle point over (dt, dnu) is solved; W is negative definite.

Sources: Bryson and Ho, Applied Optimal Control (1975), section 6.3 (neighbouring extremals);
Pavlov, Shames, Manzie, Interior point differential dynamic programming (2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.packed import call_packed
from trc_core.compile.products import add_product_of_transposed, fill_product
from trc_core.numerics.free_time.timed import (
    END,
    EXPANSION,
    OTHER,
    TURN,
    coordinate,
    direction_of,
    fill_arguments,
    holds,
    turns_of,
)

if TYPE_CHECKING:
    from trc_core.problem.system import Array

LARGEST_SHIFT = 1e12  # of a curvature that is not positive, in its unit
WEAKEST = 1e-12  # share of W's diagonal that is added to it


class Sweep(NamedTuple):
    """What a backward pass leaves: the plan's slopes in local coordinates, and its gains.

    n = n_x + 1 + n_u for (x, dt, z) and m = n_x + 1.
    """

    k: Array  # (T, n_u) local coordinates move by k + K dX + G dnu
    K: Array  # (T, n_u, m)
    G: Array  # (T, n_u, n_c)
    F: Array  # (T, m, n) slopes of the next (x, dt)
    l: Array  # (T + 1, n) slopes of the cost
    C: Array  # (T + 1, n_h, n) slopes of the constraints
    W: Array  # (n_c, n_c) Cholesky factor of -W
    change: Array  # (1 + n_c,) of dt and nu
    model: Array  # (1,) the change of the barrier Lagrangian that the pass predicts


@register_jitable
def new_sweep(T, n_x, n_u, n_h, n_c):
    """Room for a backward pass."""
    n = n_x + 1 + n_u
    return Sweep(
        np.zeros((T, n_u)),
        np.zeros((T, n_u, n_x + 1)),
        np.zeros((T, n_u, n_c)),
        np.zeros((T, n_x + 1, n)),
        np.zeros((T + 1, n)),
        np.zeros((T + 1, n_h, n)),
        np.zeros((n_c, n_c)),
        np.zeros(1 + n_c),
        np.zeros(1),
    )


@register_jitable
def cholesky(A, n, L):
    """Fills the lower L of A = L L' (n, n); returns whether A is positive definite."""
    for i in range(n):
        for j in range(i + 1):
            total = A[i, j]
            for k in range(j):
                total -= L[i, k] * L[j, k]
            if i > j:
                L[i, j] = total / L[j, j]
            elif total > 1e-14 * abs(A[i, i]) and total > 0.0:
                L[i, i] = np.sqrt(total)
            else:
                return False
    return True


@register_jitable
def solve_rows(L, n, B):
    """Replaces the rows of B (n, m) by those of the solution of L L' X = B."""
    m = B.shape[1]
    for i in range(n):
        for k in range(i):
            for j in range(m):
                B[i, j] -= L[i, k] * B[k, j]
        for j in range(m):
            B[i, j] /= L[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            for j in range(m):
                B[i, j] -= L[k, i] * B[k, j]
        for j in range(m):
            B[i, j] /= L[i, i]


@register_jitable
def _turned(plant, u, turn, bent, g_u, scratch):
    """Fills the slopes of u by local coordinates, turn (n_u, n_u), and g_u' of their bend.

    `bent` (n_u, n_u) gets the second slopes of g_u' u by the local coordinates.
    """
    n_u = u.shape[0]
    d, basis = scratch[0], scratch[1:]
    for i in range(n_u):
        for j in range(n_u):
            turn[i, j] = 0.0
            bent[i, j] = 0.0
        if plant.kinds[i] == OTHER:
            turn[i, i] = plant.unit[i]
    for group in range(plant.groups.shape[0]):
        count, first = plant.groups[group, 0], plant.groups[group, 1]
        size, unit, along = direction_of(plant, group, u, d), plant.unit[first], 0.0
        turns_of(d, count, basis)
        for i in range(count):
            place = plant.groups[group, 1 + i]
            turn[place, first] = unit * d[i]
            along += g_u[place] * d[i]
            for j in range(1, count):
                slot = plant.groups[group, 1 + j]
                turn[place, slot] = size * basis[j, i]
                bent[first, slot] += unit * basis[j, i] * g_u[place]
        for j in range(1, count):
            slot = plant.groups[group, 1 + j]
            bent[slot, first] = bent[first, slot]
            bent[slot, slot] = -size * along


@register_jitable
def _localised(plant, u, results, n_h, F, g, H, l, C, room):
    """Reads an expansion (in the controls' own units) into local coordinates."""
    n_u, n_x = u.shape[0], plant.x_unit.shape[0]
    m, n = n_x + 1, n_x + 1 + n_u
    turn, bent, scratch, old, g_u = room
    at_g = n_x * n
    at_H, at_l = at_g + n, at_g + n + n * n
    at_C = at_l + n
    for a in range(n_u):
        g_u[a] = results[at_g + m + a]
    _turned(plant, u, turn, bent, g_u, scratch)
    # what depends on x and dt alone
    for i in range(n_x):
        for j in range(m):
            F[i, j] = results[i * n + j]
    for j in range(m):
        g[j], l[j] = results[at_g + j], results[at_l + j]
        for i in range(m):
            H[i, j] = results[at_H + i * n + j]
        for i in range(n_h):
            C[i, j] = results[at_C + i * n + j]
    # what depends on the controls, by the slopes of these by local coordinates
    for b in range(n_u):
        g[m + b], l[m + b] = 0.0, 0.0
        for a in range(n_u):
            g[m + b] += g_u[a] * turn[a, b]
            l[m + b] += results[at_l + m + a] * turn[a, b]
        for i in range(n_x):
            total = 0.0
            for a in range(n_u):
                total += results[i * n + m + a] * turn[a, b]
            F[i, m + b] = total
        for i in range(n_h):
            total = 0.0
            for a in range(n_u):
                total += results[at_C + i * n + m + a] * turn[a, b]
            C[i, m + b] = total
        for i in range(n):
            total = 0.0
            for a in range(n_u):
                total += results[at_H + i * n + m + a] * turn[a, b]
            old[i, b] = total
    for b in range(n_u):
        for i in range(m):
            H[i, m + b] = old[i, b]
            H[m + b, i] = old[i, b]
        for c in range(n_u):
            total = bent[c, b]
            for a in range(n_u):
                total += turn[a, c] * old[m + a, b]
            H[m + c, m + b] = total


@register_jitable
def _add_constraints(plant, flight, t, T, mu, q, Q, C):
    """Adds what the slacks of step t do to the slope q (n,) and the curvature Q (n, n)."""
    for i in range(flight.h.shape[1]):
        if not holds(plant, t, T, i):
            continue
        h, y, w = flight.h[t, i], flight.y[t, i], flight.w[t, i]
        push, stiff = (w * h + mu) / y, w / y
        for a in range(q.shape[0]):
            slope = C[i, a]
            if slope != 0.0:
                q[a] += push * slope
                for b in range(q.shape[0]):
                    Q[a, b] += stiff * slope * C[i, b]


@register_jitable
def _add_bounds(plant, flight, t, mu, damping, m, q, Q):
    """Adds what the bounds of the local coordinates of step t do, and the damping."""
    for i in range(plant.unit.shape[0]):
        Q[m + i, m + i] += damping * plant.cost_unit
        if plant.kinds[i] != TURN:
            at = coordinate(plant, flight.u[t], i)
            below = (at - plant.low[i]) / plant.unit[i]
            above = (plant.high[i] - at) / plant.unit[i]
            q[m + i] += mu / above - mu / below
            Q[m + i, m + i] += flight.z[0, t, i] / below + flight.z[1, t, i] / above


@register_jitable
def _end_value(plant, flight, mu, arguments, sweep, p, P, S, s):
    """Fills the value function at T."""
    T, n_x, n_h = flight.u.shape[0], plant.x_unit.shape[0], flight.h.shape[1]
    m, n_c = n_x + 1, flight.nu.shape[0]
    fill_arguments(plant, flight.x, flight.dt[0], T, arguments)
    for i in range(n_h):
        weight = flight.w[T, i] if holds(plant, T, T, i) else 0.0
        arguments[2 * n_x + plant.unit.shape[0] + 2 + i] = weight
    results = np.empty((1, 1 + n_h + 2 * m + m * m + n_h * m))
    call_packed(plant.functions[END], arguments, results, 0)
    at_g = 1 + n_h
    at_l = at_g + m + m * m
    for i in range(m):
        p[i], sweep.l[T, i] = results[0, at_g + i], results[0, at_l + i]
        for j in range(m):
            P[i, j] = results[0, at_g + m + i * m + j]
        for j in range(n_h):
            sweep.C[T, j, i] = results[0, at_l + m + j * m + i]
    C = np.empty((n_h, m))
    for j in range(n_h):
        for i in range(m):
            C[j, i] = sweep.C[T, j, i]
    _add_constraints(plant, flight, T, T, mu, p, P, C)
    for j in range(n_c):
        place = plant.terminal[j]
        for i in range(m):
            S[j, i] = 1.0 if i == place else 0.0
        p[place] += flight.nu[j]
        s[j] = flight.x[T, place] - plant.goal[place]


@register_jitable
def _start(plant, flight, mu, shift, p, P, S, s, W, sweep):
    """Solves for the change of dt and nu; returns whether the curvature by dt is positive."""
    n_c, at = s.shape[0], p.shape[0] - 1
    change, L = sweep.change, sweep.W
    low, high = flight.dt[0] - plant.dt[0], plant.dt[1] - flight.dt[0]
    slope = p[at] - mu / low + mu / high
    curved = P[at, at] + flight.z_dt[0] / low + flight.z_dt[1] / high
    curved += shift * plant.cost_unit / flight.dt[0] ** 2
    both = np.empty((n_c, 2))
    for i in range(n_c):
        for j in range(n_c):
            W[i, j] = -W[i, j]
        weakest = plant.cost_unit / plant.x_unit[plant.terminal[i]] ** 2
        W[i, i] += WEAKEST * (W[i, i] + 1.0 / weakest)
        both[i, 0], both[i, 1] = s[i], S[i, at]
    if not cholesky(W, n_c, L):
        return False
    solve_rows(L, n_c, both)
    reduced, pull = curved, slope
    for i in range(n_c):
        reduced += S[i, at] * both[i, 1]
        pull += S[i, at] * both[i, 0]
    scale = plant.cost_unit / flight.dt[0] ** 2
    if not reduced > 1e-9 * scale:
        return False
    most = 0.25 * flight.dt[0]
    change[0] = min(max(-pull / reduced, -most), most)
    for i in range(n_c):
        change[1 + i] = both[i, 0] + both[i, 1] * change[0]
    sweep.model[0] += slope * change[0] + 0.5 * curved * change[0] ** 2
    return True


@register_jitable
def backward(plant, flight, mu, damping, sweep):
    """One backward pass: fills `sweep`; returns whether every curvature is positive.

    Args:
        plant: `Timed`.
        flight: the plan; h and the slacks are those of its states.
        mu: weight of the barrier, in units of the cost.
        damping: added to the curvature by local coordinates and by log dt, in units of cost_unit.
        sweep: gets the slopes and gains.
    """
    T, n_u = flight.u.shape
    n_x, n_h, n_c = plant.x_unit.shape[0], flight.h.shape[1], flight.nu.shape[0]
    m, n = n_x + 1, n_x + 1 + n_u
    at_price = n_x + n_u + 2
    arguments = plant.numbers.copy()
    results = np.empty((1, n_x * n + 2 * n + n * n + n_h * n))
    room = (
        np.empty((n_u, n_u)),
        np.empty((n_u, n_u)),
        np.empty((n_u + 1, n_u)),
        np.empty((n, n_u)),
        np.empty(n_u),
    )
    p, P, S, s = np.empty(m), np.empty((m, m)), np.empty((n_c, m)), np.empty(n_c)
    q, H, Q, PF, SF = (
        np.empty(n),
        np.empty((n, n)),
        np.empty((n, n)),
        np.empty((m, n)),
        np.empty((n_c, n)),
    )
    W, A, L = np.zeros((n_c, n_c)), np.empty((n_u, n_u)), np.zeros((n_u, n_u))
    B = np.empty((n_u, 1 + m + n_c))
    sweep.model[0] = 0.0
    _end_value(plant, flight, mu, arguments, sweep, p, P, S, s)
    for t in range(T - 1, -1, -1):
        # slopes of the step and of the Lagrangian
        fill_arguments(plant, flight.x, flight.dt[0], t, arguments)
        for i in range(n_u):
            arguments[n_x + i] = flight.u[t, i]
        for i in range(n_x):
            arguments[at_price + i] = p[i]
        for i in range(n_h):
            arguments[at_price + n_x + i] = flight.w[t, i] if holds(plant, t, T, i) else 0.0
        call_packed(plant.functions[EXPANSION], arguments, results, 0)
        F, l, C = sweep.F[t], sweep.l[t], sweep.C[t]
        _localised(plant, flight.u[t], results[0], n_h, F, q, H, l, C, room)
        F[n_x, n_x] = 1.0
        q[n_x] += p[n_x]
        # the cost to go by (x, dt, z), and its cross term with nu
        fill_product(PF, P, F)
        add_product_of_transposed(Q, H, 1.0, F, PF)
        fill_product(SF, S, F)
        _add_constraints(plant, flight, t, T, mu, q, Q, C)
        _add_bounds(plant, flight, t, mu, damping, m, q, Q)
        # the best local coordinates
        shift = 0.0
        for i in range(n_u):
            for j in range(n_u):
                A[i, j] = Q[m + i, m + j]
        while not cholesky(A, n_u, L):
            shift = max(10.0 * shift, 1e-6 * plant.cost_unit)
            if not shift < LARGEST_SHIFT * plant.cost_unit:
                return False
            for i in range(n_u):
                A[i, i] = Q[m + i, m + i] + shift
        for i in range(n_u):
            B[i, 0] = -q[m + i]
            for j in range(m):
                B[i, 1 + j] = -Q[m + i, j]
            for j in range(n_c):
                B[i, 1 + m + j] = -SF[j, m + i]
        solve_rows(L, n_u, B)
        for i in range(n_u):
            sweep.k[t, i] = B[i, 0]
            sweep.model[0] += 0.5 * q[m + i] * B[i, 0]
            for j in range(m):
                sweep.K[t, i, j] = B[i, 1 + j]
            for j in range(n_c):
                sweep.G[t, i, j] = B[i, 1 + m + j]
        # the value function a step earlier
        for i in range(m):
            p[i] = q[i]
            for j in range(m):
                P[i, j] = Q[i, j]
            for j in range(n_c):
                S[j, i] = SF[j, i]
        for a in range(n_u):
            for i in range(m):
                p[i] += Q[m + a, i] * B[a, 0]
                for j in range(m):
                    P[i, j] += Q[m + a, i] * B[a, 1 + j]
                for j in range(n_c):
                    S[j, i] += SF[j, m + a] * B[a, 1 + i]
            for i in range(n_c):
                s[i] += SF[i, m + a] * B[a, 0]
                for j in range(n_c):
                    W[i, j] += SF[i, m + a] * B[a, 1 + m + j]
        for i in range(m):
            for j in range(i):
                mean = 0.5 * (P[i, j] + P[j, i])
                P[i, j], P[j, i] = mean, mean
    return _start(plant, flight, mu, damping, p, P, S, s, W, sweep)
