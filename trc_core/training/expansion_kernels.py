"""Kernels: the local quadratic form of J about an optimal plan, in the plan's coordinates.

About an optimal plan v*, J(v* + dv) = J* + |M o|^2 J* to second order, where o with
dv = s L^-T o is dimensionless (see `representation.py`). In terms of the curvature Q_uu of the
cost to go, and of how far the controls part from the optimal feedback law F,
J - J* = sum_t a_t' Q_uu_t a_t / 2 with a_t = du_t - F_t dx_t along the linearised closed loop.
Under constraints the optimum is a minimum of the augmented Lagrangian (`lagrangian.py`) of its
multipliers, and the form is that of the Lagrangian: a constraint that pushes adds its penalty.
Source: completing the squares in the backward pass of iLQR, hence without the second derivatives
of the dynamics and of the constraints (Gauss-Newton).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import linearise as linearise_at
from trc_core.compile.plant import with_problem
from trc_core.numerics.backward import Gains, Push, backward, new_curvature
from trc_core.numerics.box_qp import factor
from trc_core.numerics.cost import error_at, has_terms, terms_along
from trc_core.numerics.lagrangian import Multipliers, force_of
from trc_core.numerics.rollout import Trajectory, feedback, gate, row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trc_core.problem.system import Array


class Loop(NamedTuple):
    """The linearised closed loop: dx_{t+1} = A dx + B du, du = dv - C dx."""

    A: Array  # (T, n_x, n_x)
    B: Array  # (T, n_x, n_u)
    C: Array  # (T, n_u, n_x), d(w K e)/dx


class Form(NamedTuple):
    """Quadratic forms of optimal plans; arrays to fill, of any float type."""

    M: NDArray[np.float32]  # (B, T n_u, T n_u)
    held: NDArray[np.float32]  # (B, T, n_u) 1 at the upper bound, -1 at the lower one, else 0


@register_jitable
def linearise(plant, law, trajectory, r, loop):
    """Fills the `Loop` along a trajectory.

    w = 1 / (1 + s^2) with s = e' G e, so that C = w K - 4 w^2 s (K e) (G e)'.
    """
    A, B, C = loop
    T, n_u, n_x = C.shape
    error, G_e = np.empty(n_x), np.empty(n_x)
    for t in range(T):
        linearise_at(plant.dynamics, trajectory.x, trajectory.u, t, A[t], B[t])
        error_at(trajectory.x, r, t, plant.angles, error)
        weight = gate(law.G, error)
        s = 0.0
        for i in range(n_x):
            G_e[i] = 0.0
            for j in range(n_x):
                G_e[i] += law.G[i, j] * error[j]
            s += G_e[i] * error[i]
        for i in range(n_u):
            closing = 4.0 * weight * s * feedback(law.K, t, i, weight, error)
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
def response(loop, F, root, free, c, dv, column):
    """Fills column (T, n_u): the weighted distance from the feedback law F, step by step.

    It answers to the change dv (n_u,) of the plan at step c. A control on its bound at a later
    step stays there, whatever the states do. root: (T, n_u, n_u), lower triangles with
    root root' = Q_uu.
    """
    T, n_u, n_x = F.shape
    A, B, C = loop
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
def local_form(plant, law, units, trajectory, r, multipliers, M, held):
    """Fills M (T n_u, T n_u) and held (T, n_u) of one optimal plan.

    A control that the optimum holds at a bound counts one-sidedly: `held` is 1 (upper bound) or
    -1 (lower) there, where only a change back inside is a change at all; it keeps its column.

    Args:
        plant: `Plant`.
        law: feedback of the plans.
        units: (T, n_u, n_u), dv_t = units_t' o_t.
        trajectory: of the plan.
        r: reference (T + 1, n_x).
        multipliers: of the constraints at the plan, where there are any.
        M: of any float type.
        held: likewise.
    """
    u = trajectory.u
    T, n_u = u.shape
    n_x = r.shape[1]
    gains = Gains(np.empty((T, n_u)), np.empty((T, n_u, n_x)))
    curvature = new_curvature(T, n_u, np.empty((0, n_x, n_x)))
    force = np.zeros(multipliers.lam.shape)
    if has_terms(plant.terms):
        h = np.empty(force.shape)
        terms_along(plant, trajectory, r, h)
        force_of(h, 0.0, multipliers, force)
    push = Push(force, multipliers.rho)
    backward(plant, trajectory, r, 0.0, gains, curvature, push)
    loop = Loop(np.empty((T, n_x, n_x)), np.empty((T, n_x, n_u)), np.empty((T, n_u, n_x)))
    linearise(plant, law, trajectory, r, loop)
    free, every = curvature.free, np.ones(n_u, dtype=np.bool_)
    root, column = np.zeros((T, n_u, n_u)), np.empty((T, n_u))
    for t in range(T):
        factor(curvature.Q_uu[t], every, root[t])
        for i in range(n_u):
            upper = 2.0 * u[t, i] > plant.u_min[i] + plant.u_max[i]
            held[t, i] = 0.0 if free[t, i] else (1.0 if upper else -1.0)
    for c in range(T):
        for j in range(n_u):
            response(loop, gains.K, root, free, c, units[c, j], column)
            for t in range(T):
                for i in range(n_u):
                    M[t * n_u + i, c * n_u + j] = column[t, i]


class Optima(NamedTuple):
    """B optimal plans, each of a problem of its own."""

    p: Array  # (B, n_p)
    u_trim: Array  # (B, T, n_u)
    r: Array  # (B, T + 1, n_x)
    trajectories: Trajectory
    multipliers: Multipliers


@register_jitable
def batch_local_form(plant, law, units, optima, form):
    """`local_form` for every row of `Optima`.

    The units (B, T, n_u, n_u) are relative to the plan's J.
    """
    lam, rho = optima.multipliers
    for b in range(units.shape[0]):
        own = with_problem(plant, optima.p[b], optima.u_trim[b])
        plan, pushing = row(optima.trajectories, b), Multipliers(lam[b], rho[b])
        local_form(own, law, units[b], plan, optima.r[b], pushing, form.M[b], form.held[b])
