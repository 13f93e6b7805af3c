"""Kernels of a small quadratic program inside a box, by projected Newton steps.

Source: Tassa, Mansard, Todorov, Control-limited differential dynamic programming (ICRA 2014),
section IV. Everything runs as plain Python and compiles under Numba.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.cost import quadratic

BOX_QP_STEPS, BOX_QP_TOLERANCE = 50, 1e-12


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
def backsolve_rows(L, M):
    """`backsolve` for all columns of M (n, m) at once."""
    n, m = M.shape
    for i in range(n):
        for k in range(i):
            for j in range(m):
                M[i, j] -= L[i, k] * M[k, j]
        for j in range(m):
            M[i, j] /= L[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            for j in range(m):
                M[i, j] -= L[k, i] * M[k, j]
        for j in range(m):
            M[i, j] /= L[i, i]


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
    if n == 2:
        _box_qp_2(H, g, lower, upper, d, free)
        factor(H, free, L)
        return
    slope, newton, trial = work[0], work[1], work[2]
    for k in range(BOX_QP_STEPS):
        done, changed = True, k == 0
        for i in range(n):
            was_free = free[i]
            slope[i] = g[i]
            for j in range(n):
                slope[i] += H[i, j] * d[j]
            at_lower = d[i] <= lower[i] and slope[i] > 0.0
            free[i] = not (at_lower or (d[i] >= upper[i] and slope[i] < 0.0))
            changed = changed or free[i] != was_free
            newton[i] = -slope[i] if free[i] else 0.0
            done = done and abs(newton[i]) <= BOX_QP_TOLERANCE * (abs(g[i]) + abs(H[i, i] * d[i]))
        if changed:
            factor(H, free, L)
        if done:
            return
        backsolve(L, newton)
        if not _projected_step(H, slope, newton, lower, upper, d, trial):
            return


@register_jitable
def _box_qp_2(H, g, lower, upper, d, free):
    """The solution for two variables: inside the box, or the best on its four edges."""
    a, b, c = H[0, 0], H[0, 1], H[1, 1]
    scale = 1.0 / (a * c - b * b)
    d[0] = scale * (b * g[1] - c * g[0])
    d[1] = scale * (b * g[0] - a * g[1])
    free[0] = lower[0] <= d[0] <= upper[0]
    free[1] = lower[1] <= d[1] <= upper[1]
    if free[0] and free[1]:
        return
    best, x, y = np.inf, 0.0, 0.0
    for edge in range(4):
        i = edge // 2
        j = 1 - i
        held = lower[i] if edge % 2 == 0 else upper[i]
        other = min(max(-(g[j] + b * held) / H[j, j], lower[j]), upper[j])
        value = held * (0.5 * H[i, i] * held + g[i]) + other * (0.5 * H[j, j] * other + g[j])
        value += b * held * other
        if value < best:
            best = value
            x, y = (held, other) if i == 0 else (other, held)
    d[0], d[1] = x, y
    for i in range(2):
        slope = g[i] + H[i, 0] * d[0] + H[i, 1] * d[1]
        at_lower = d[i] <= lower[i] and slope > 0.0
        free[i] = not (at_lower or (d[i] >= upper[i] and slope < 0.0))


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
