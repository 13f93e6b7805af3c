"""The value function of a backward pass: at the end, and from one step to the one before."""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.packed import call_packed
from trc_core.numerics.free_time.timed import DT, END


@register_jitable
def add_constraints(holds, h, y, w, t, mu, C, q, Q):
    """Adds what the slacks of step t do to the slope q (n,) and the curvature Q (n, n)."""
    n = q.shape[0]
    for i in range(h.shape[1]):
        if holds[t, i]:
            push, stiff = (w[t, i] * h[t, i] + mu) / y[t, i], w[t, i] / y[t, i]
            for a in range(n):
                slope = C[t, i, a]
                if slope != 0.0:
                    q[a] += push * slope
                    for b in range(n):
                        Q[a, b] += stiff * slope * C[t, i, b]


@register_jitable
def end_value(plant, flight, mu, aim, sweep, q, Q, p, P, S, s):
    """Fills the value function at T."""
    x, h, w = flight.x, flight.h, flight.w
    T, n_x, n_h = x.shape[0] - 1, x.shape[1], h.shape[1]
    m, n_u, n_c = n_x + 1, plant.kinds.shape[0], s.shape[0]
    arguments = plant.numbers.copy()
    for i in range(n_x):
        arguments[i] = x[T, i]
    arguments[n_x + n_u], arguments[n_x + n_u + 1] = flight.numbers[DT], float(T)
    for i in range(n_h):
        arguments[2 * n_x + n_u + 2 + i] = w[T, i] if plant.holds[T, i] else 0.0
    results = np.empty((1, 1 + n_h + 2 * m + m * m + n_h * m))
    call_packed(plant.functions[END], arguments, results, 0)
    at_g = 1 + n_h
    at_l = at_g + m + m * m
    for i in range(q.shape[0]):
        q[i], sweep.slopes[T, i] = 0.0, 0.0
        for j in range(q.shape[0]):
            Q[i, j] = 0.0
    for i in range(m):
        q[i], sweep.slopes[T, i] = results[0, at_g + i], results[0, at_l + i]
        for j in range(m):
            Q[i, j] = results[0, at_g + m + i * m + j]
        for j in range(n_h):
            sweep.C[T, j, i] = results[0, at_l + m + j * m + i]
    add_constraints(plant.holds, h, flight.y, w, T, mu, sweep.C, q, Q)
    for i in range(m):
        p[i] = q[i]
        for j in range(m):
            P[i, j] = Q[i, j]
    for j in range(n_c):
        place = plant.terminal[j]
        for i in range(m):
            S[j, i] = 1.0 if i == place else 0.0
        p[place] += flight.nu[j]
        s[j] = aim * (x[T, place] - plant.goal[place])


@register_jitable
def step_value(Q, q, SF, gains, t, p, P, S, s, W):
    """Steps the value function from t + 1 to t."""
    m, n_c = p.shape[0], s.shape[0]
    for i in range(m):
        p[i] = q[i]
        for j in range(m):
            P[i, j] = Q[i, j]
        for j in range(n_c):
            S[j, i] = SF[j, i]
    for a in range(q.shape[0] - m):
        for i in range(m):
            pull = Q[m + a, i]
            p[i] += pull * gains[t, a, 0]
            for j in range(m):
                P[i, j] += pull * gains[t, a, 1 + j]
        for i in range(n_c):
            pull = SF[i, m + a]
            s[i] += pull * gains[t, a, 0]
            for j in range(m):
                S[i, j] += pull * gains[t, a, 1 + j]
            for j in range(n_c):
                W[i, j] += pull * gains[t, a, 1 + m + j]
    for i in range(m):
        for j in range(i):
            mean = 0.5 * (P[i, j] + P[j, i])
            P[i, j], P[j, i] = mean, mean
