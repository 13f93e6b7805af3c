"""The value function of a backward pass: at the end, from step to step, and at the start.

`backward` says what V is. m = n_x + 1 counts (x, dt).
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.packed import call_packed
from trc_core.compile.products import add_product, add_product_of_transposed
from trc_core.numerics.box_qp import backsolve_rows
from trc_core.numerics.free_time.timed import DT, END, HIGH_PRICE, LOW_PRICE

FIRST_SHIFT, LARGEST_SHIFT = 1e-5, 1e12  # of a curvature that is not positive, in cost_unit
LONGEST_CHANGE = 0.25  # share of the duration by which a sweep may change it
WEAKEST_BY_TIME = 1e-4  # curvature by log dt, in cost_unit
WEAKEST = 1e-12  # share of W's diagonal that is added to it


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
def add_constraints(holds, h, y, w, t, mu, C, q, Q):
    """Adds what the slacks of step t do to the slope q (n,) and the curvature Q (n, n).

    C (n_h, n) are the slopes of the constraints.
    """
    n = q.shape[0]
    for i in range(h.shape[1]):
        if holds[t, i]:
            push, stiff = (w[t, i] * h[t, i] + mu) / y[t, i], w[t, i] / y[t, i]
            for a in range(n):
                slope = C[i, a]
                if slope != 0.0:
                    q[a] += push * slope
                    for b in range(n):
                        Q[a, b] += stiff * slope * C[i, b]


@register_jitable
def end_value(plant, flight, mu, aim, rows, V):
    """Fills the value function at T, and rows (n_r, width): the slopes of cost and constraints."""
    x, h, w = flight.x, flight.h, flight.w
    T, n_x, n_h = x.shape[0] - 1, x.shape[1], h.shape[1]
    m, n_u, n_c = n_x + 1, plant.kinds.shape[0], plant.terminal.shape[0]
    last, arguments = m + n_c, plant.numbers.copy()
    for i in range(n_x):
        arguments[i] = x[T, i]
    arguments[n_x + n_u], arguments[n_x + n_u + 1] = flight.numbers[DT], float(T)
    for i in range(n_h):
        arguments[2 * n_x + n_u + 2 + i] = w[T, i] if plant.holds[T, i] else 0.0
    results = np.empty((1, 1 + n_h + 2 * m + m * m + n_h * m))
    call_packed(plant.functions[END], arguments, results, 0)
    at_g = 1 + n_h
    at_l = at_g + m + m * m
    C, q, Q = np.empty((n_h, m)), np.empty(m), np.empty((m, m))
    for i in range(m):
        q[i], rows[m, i] = results[0, at_g + i], results[0, at_l + i]
        for j in range(m):
            Q[i, j] = results[0, at_g + m + i * m + j]
        for j in range(n_h):
            C[j, i] = results[0, at_l + m + j * m + i]
            rows[m + 1 + j, i] = C[j, i]
    add_constraints(plant.holds, h, flight.y, w, T, mu, C, q, Q)
    V[:] = 0.0
    for i in range(m):
        V[i, last] = q[i]
        for j in range(m):
            V[i, j] = Q[i, j]
    for j in range(n_c):
        place = plant.terminal[j]
        V[m + j, place] = 1.0
        V[place, last] += flight.nu[j]
        V[m + j, last] = aim * (x[T, place] - plant.goal[place])


@register_jitable
def invert_negative(A, B):
    """Fills the first rows and columns of B with -1 / A (n, n).

    Returns whether A, which is symmetric, is positive definite: the pivots are the squares of
    those of Cholesky's factor.

    Source: Beaton, The use of special matrix operators in statistical calculus (1964), the sweep
    operator.
    """
    n = A.shape[0]
    for i in range(n):
        for j in range(n):
            B[i, j] = A[i, j]
    for k in range(n):
        pivot = B[k, k]
        if not pivot > 1e-13 * abs(A[k, k]):
            return False
        scale = 1.0 / pivot
        for i in range(n):
            share = B[i, k] * scale
            if i != k:
                for j in range(n):
                    if j != k:
                        B[i, j] -= share * B[k, j]
                B[i, k] = share
        for j in range(n):
            B[k, j] *= scale
        B[k, k] = -scale
    return True


@register_jitable
def step_value(q, Q, m, n_c, cost_unit, room, gains):
    """Steps the value function from t + 1 to t; returns whether Q_uu could be made positive.

    Args:
        q: slopes (n,) of the cost to go by (x, dt, z).
        Q: its curvature (n, n), whose entries by x of z do not count.
        m: states and dt.
        n_c: prices nu.
        cost_unit: a typical cost.
        room: `Room`, with the cross terms of (x, dt, z) and nu in VF; V is filled.
        gains: gets how z moves (n_u, n_v), by the columns of V.
    """
    V, VF, A, inverse, cross = room.V, room.VF, room.A, room.inverse, room.cross
    n_u, last, shift = A.shape[0], m + n_c, 0.0
    for i in range(n_u):
        for j in range(n_u):
            A[i, j] = Q[m + i, m + j]
    while not invert_negative(A, inverse):
        shift = max(10.0 * shift, FIRST_SHIFT * cost_unit)
        if not shift < LARGEST_SHIFT * cost_unit:
            return False
        for i in range(n_u):
            A[i, i] = Q[m + i, m + i] + shift
    for i in range(n_u):
        for j in range(m):
            cross[i, j] = Q[m + i, j]
        for j in range(m, last):
            cross[i, j] = VF[j, m + i]
        cross[i, last] = q[m + i]
    for i in range(m):
        V[i, last] = q[i]
        for j in range(i + 1):  # one triangle: rounding makes P no less symmetric
            V[i, j] = Q[i, j]
            V[j, i] = Q[i, j]
    for i in range(m, last):
        for j in range(m):
            V[i, j] = VF[i, j]
    add_product(gains, room.none, 1.0, inverse, cross)
    add_product_of_transposed(V, V, 1.0, cross, gains)
    return True


@register_jitable
def start(plant, flight, mu, damping, V, W, change):
    """Solves for the change of dt and nu; returns whether W is negative definite.

    Args:
        plant: `Timed`.
        flight: the plan.
        mu: weight of the barrier, in units of the cost.
        damping: added to the curvature by log dt, in units of cost_unit.
        V: the value function at the start.
        W: gets the Cholesky factor (n_c, n_c) of -W.
        change: gets that of dt and nu (1 + n_c,).
    """
    n_c, at, dt = W.shape[0], flight.x.shape[1], flight.numbers[DT]
    m, last, scale = at + 1, at + 1 + n_c, plant.cost_unit / dt**2
    low, high = dt - plant.dt[0], plant.dt[1] - dt
    pull = V[at, last] - mu / low + mu / high
    curved = V[at, at] + damping * scale
    curved += flight.numbers[LOW_PRICE] / low + flight.numbers[HIGH_PRICE] / high
    both, negative = np.empty((n_c, 2)), np.empty((n_c, n_c))
    for i in range(n_c):
        for j in range(n_c):
            negative[i, j] = -V[m + i, m + j]
        weakest = plant.x_unit[plant.terminal[i]] ** 2 / plant.cost_unit
        negative[i, i] += WEAKEST * (negative[i, i] + weakest)
        both[i, 0], both[i, 1] = V[m + i, last], V[m + i, at]
    if not cholesky(negative, W):
        return False
    backsolve_rows(W, both)
    for i in range(n_c):
        curved += V[m + i, at] * both[i, 1]
        pull += V[m + i, at] * both[i, 0]
    if curved < WEAKEST_BY_TIME * scale:  # uphill or flat: as steep a valley in its place
        curved = max(-curved, WEAKEST_BY_TIME * scale)
    most = LONGEST_CHANGE * dt
    change[0] = min(max(-pull / curved, -most), most)
    for i in range(n_c):
        change[1 + i] = both[i, 0] + both[i, 1] * change[0]
    return True
