"""Kernels: the local quadratic form of J about an optimal plan, in the plan's coordinates.

About an optimal plan v*, J(v* + dv) = J* + |M o|^2 J* to second order, where o with
dv = s L^-T o is dimensionless (see `representation.py`). In terms of the curvature Q_uu of the
cost to go, and of how far the controls part from the optimal feedback law F,
J - J* = sum_t a_t' Q_uu_t a_t / 2 with a_t = du_t - F_t dx_t along the linearised closed loop.
Source: completing the squares in the backward pass of iLQR, hence without the second derivatives
of the dynamics (Gauss-Newton).
"""

# mypy: allow-untyped-defs

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from trc_core.compile.kernels import compiled
from trc_core.numerics.ilqr import backward_with_curvature, factor
from trc_core.numerics.representation import Representation
from trc_core.numerics.rollout import error_and_gate, feedback
from trc_core.problem.system import Array, System
from trc_core.solvers.library import Labels

ROWS_PER_JOB = 64


@register_jitable
def linearise(step, step_jacobian, system, law, goal, x, u, A, B, C):
    """Fills A (T, n_x, n_x), B (T, n_x, n_u) and C (T, n_u, n_x) = d(w K e)/dx along (x, u).

    w = 1 / (1 + s^2) with s = e' G e, so that C = w K - 4 w^2 s (K e) (G e)'.
    """
    T, n_u = u.shape
    n_x = goal.shape[0]
    error, G_e = np.empty(n_x), np.empty(n_x)
    for t in range(T):
        step_jacobian(x[t], u[t], system.p, system.dt, A[t], B[t])
        weight = error_and_gate(law, x[t], goal, error)
        s = 0.0
        for i in range(n_x):
            G_e[i] = 0.0
            for j in range(n_x):
                G_e[i] += law.G[i, j] * error[j]
            s += G_e[i] * error[i]
        for i in range(n_u):
            closing = 4.0 * weight * s * feedback(law, t, i, weight, error)
            for j in range(n_x):
                C[t, i, j] = weight * law.K[t, i, j] - closing * G_e[j]


@register_jitable
def advance(A_t, B_t, dx, du, dx_next):
    """Fills dx_next (n_x,) = A dx + B du."""
    for i in range(dx.shape[0]):
        total = 0.0
        for j in range(dx.shape[0]):
            total += A_t[i, j] * dx[j]
        for j in range(du.shape[0]):
            total += B_t[i, j] * du[j]
        dx_next[i] = total


@register_jitable
def response(A, B, C, F, root, free, c, dv, column):
    """Fills column (T, n_u): the weighted distance from the feedback law F, step by step.

    It answers to the change dv (n_u,) of the plan at step c. A control on its bound at a later
    step stays there, whatever the states do. root: (T, n_u, n_u), lower triangles with
    root root' = Q_uu.
    """
    T, n_u, n_x = F.shape
    dx, dx_next, du, apart = np.zeros(n_x), np.empty(n_x), np.empty(n_u), np.empty(n_u)
    for t in range(c):
        for i in range(n_u):
            column[t, i] = 0.0
    for t in range(c, T):
        for i in range(n_u):
            du[i] = dv[i] if t == c else 0.0
            apart[i] = 0.0
            for j in range(n_x):
                du[i] -= C[t, i, j] * dx[j] if free[t, i] else 0.0
                apart[i] -= F[t, i, j] * dx[j]
            apart[i] += du[i]
        for i in range(n_u):
            column[t, i] = 0.0
            for j in range(i, n_u):
                column[t, i] += root[t, j, i] * apart[j] / np.sqrt(2.0)
        advance(A[t], B[t], dx, du, dx_next)
        for i in range(n_x):
            dx[i] = dx_next[i]


@register_jitable
def local_form(step, step_jacobian, system, law, units, goal, x, u, M, held):
    """Fills M (T n_u, T n_u) and held (T, n_u) of one optimal plan (x, u).

    A control that the optimum holds at a bound counts one-sidedly: `held` is 1 (upper bound) or
    -1 (lower) there, where only a change back inside is a change at all; it keeps its column.

    Args:
        step: one step of the plant; bound by `compiled`.
        step_jacobian: its Jacobians; bound by `compiled`.
        system: `SystemArrays`.
        law: feedback of the plans.
        units: (T, n_u, n_u), dv_t = units_t' o_t.
        goal: (n_x,).
        x: (T + 1, n_x).
        u: (T, n_u).
        M: of any float type.
        held: likewise.
    """
    T, n_u = u.shape
    n_x = goal.shape[0]
    k, F, Q_uu = np.empty((T, n_u)), np.empty((T, n_u, n_x)), np.empty((T, n_u, n_u))
    free, every = np.empty((T, n_u), dtype=np.bool_), np.ones(n_u, dtype=np.bool_)
    backward_with_curvature(step, step_jacobian, system, goal, x, u, 0.0, k, F, Q_uu, free)
    A, B, C = np.empty((T, n_x, n_x)), np.empty((T, n_x, n_u)), np.empty((T, n_u, n_x))
    linearise(step, step_jacobian, system, law, goal, x, u, A, B, C)
    root, column = np.zeros((T, n_u, n_u)), np.empty((T, n_u))
    for t in range(T):
        factor(Q_uu[t], every, root[t])
        for i in range(n_u):
            upper = 2.0 * u[t, i] > system.u_min[i] + system.u_max[i]
            held[t, i] = 0.0 if free[t, i] else (1.0 if upper else -1.0)
    for c in range(T):
        for j in range(n_u):
            response(A, B, C, F, root, free, c, units[c, j], column)
            for t in range(T):
                for i in range(n_u):
                    M[t * n_u + i, c * n_u + j] = column[t, i]


@register_jitable
def batch_local_form(step, step_jacobian, system, law, L_inverse, s, J, goal, x, u, M, held):
    """`local_form` for every row of u (B, T, n_u), relative to J (B,), in units s (B,) L^-T."""
    for b in range(u.shape[0]):
        units = L_inverse * (s[b] / np.sqrt(J[b]))
        local_form(step, step_jacobian, system, law, units, goal[b], x[b], u[b], M[b], held[b])


def local_forms(
    system: System, representation: Representation, s: Array, labels: Labels
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The quadratic forms of many optimal plans, on every core.

    Args:
        system: the plant.
        representation: of the plans.
        s: (B,), size of the initial errors.
        labels: B problems with their optimal plans.

    Returns:
        M (B, T n_u, T n_u) with |M o|^2 = (J - J*) / J*, and held (B, T, n_u): 1 or -1 where the
        optimum holds a control at its upper or lower bound, else 0; both float32.
    """
    B, T, n_u = labels.controls.shape
    M = np.empty((B, T * n_u, T * n_u), dtype=np.float32)
    held = np.empty((B, T, n_u), dtype=np.float32)
    kernel, law = compiled(batch_local_form, system), representation.law
    arrays = s, labels.cost, labels.goal, labels.states, labels.controls, M, held

    def fill(first: int) -> None:
        part = (array[first : first + ROWS_PER_JOB] for array in arrays)
        kernel(system.arrays, law, representation.L_inverse, *part)

    with ThreadPoolExecutor() as threads:
        list(threads.map(fill, range(0, B, ROWS_PER_JOB)))
    return M, held
