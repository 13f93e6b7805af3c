"""A time step of a problem as two C functions, for solvers that are not written in Python."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import carray, cfunc, types

from trc_core.compile.binding import plant_of
from trc_core.compile.plant import (
    CONSTRAINTS,
    COUNT,
    RESIDUALS,
    TERMINAL,
    VALUES,
    Dynamics,
    Terms,
    advance,
    call_values,
    linearise,
)
from trc_core.numerics.cost import (
    effort_at,
    empty_expansion,
    error_at,
    expand_terms,
    quadratic,
    slope,
    stage,
    term_buffers,
)
from trc_core.problem.system import System

ROWS = types.CPointer(types.double)
VALUE = types.double(*[ROWS] * 6, types.int64)
SLOPES = types.double(*[ROWS] * 6, types.int64, *[ROWS] * 7)


@dataclass(frozen=True)
class StageFunctions:
    """Addresses of the functions of a system, as `crocoddyl_stage.cpp` calls them.

    A constraint h <= 0 is a penalty rho max(0, h)^2 / 2 of the time steps at which it holds.
    """

    value: Any
    slopes: Any


@lru_cache(maxsize=8)
def stage_functions(system: System, rho: float) -> StageFunctions:
    """The functions of a system, compiled.

    Args:
        system: the plant and its task.
        rho: penalty of the square of a violation.
    """
    plant = plant_of(system)
    T, n_x, n_u, n_p = system.horizon, system.n_x, system.n_u, max(len(system.parameters), 1)
    dt, substeps = plant.dynamics.dt, plant.dynamics.substeps
    unrolled, step, jacobian = plant.dynamics[3:]
    Q, R, Q_f, angles = plant.Q, plant.R, plant.Q_f, plant.angles
    functions, uses_control, weight = plant.terms
    n_h = int(functions[CONSTRAINTS, COUNT])
    room = max(n_h, 1)
    n_terms = max(int(functions[:, COUNT].max()), 1)
    penalties = np.full(room, rho)

    @cfunc(VALUE)
    def value(x_, u_, r_, p_, trim_, h_, t):  # type: ignore[no-untyped-def]
        x, u, r = carray(x_, (T + 1, n_x)), carray(u_, (T, n_u)), carray(r_, (T + 1, n_x))
        p, trim, h = carray(p_, (n_p,)), carray(trim_, (T, n_u)), carray(h_, (T + 1, room))
        dynamics = Dynamics(p, dt, substeps, unrolled, step, jacobian)
        error, effort, values = np.empty(n_x), np.empty(n_u), np.empty(n_terms)
        error_at(x, r, t, angles, error)
        last = min(t, T - 1)
        if t < T:
            effort_at(u, t, trim, effort)
            cost = stage(Q, R, error, effort)
            advance(dynamics, x, u, t)
        else:
            cost = quadratic(Q_f, error)
        kind = TERMINAL if t == T else RESIDUALS
        if functions[kind, COUNT] > 0:
            call_values(functions[kind, VALUES], x, t, u, last, r, p, t * dt, values)
            for i in range(functions[kind, COUNT]):
                cost += values[i] * values[i]
        if n_h > 0:
            call_values(functions[CONSTRAINTS, VALUES], x, t, u, last, r, p, t * dt, h[t])
            for i in range(n_h):
                if t == (T if uses_control[i] else 0):
                    h[t, i] = 0.0
                h[t, i] = rho * max(0.0, h[t, i])
                cost += 0.5 * h[t, i] * h[t, i] / rho
        return cost

    @cfunc(SLOPES)
    def slopes(x_, u_, r_, p_, trim_, h_, t, A_, B_, lx_, lu_, lxx_, lux_, luu_):  # type: ignore[no-untyped-def]
        x, u, r = carray(x_, (T + 1, n_x)), carray(u_, (T, n_u)), carray(r_, (T + 1, n_x))
        p, trim, force = carray(p_, (n_p,)), carray(trim_, (T, n_u)), carray(h_, (T + 1, room))
        A, B = carray(A_, (n_x, n_x)), carray(B_, (n_x, n_u))
        l_x, l_u = carray(lx_, (n_x,)), carray(lu_, (n_u,))
        l_xx, l_ux = carray(lxx_, (n_x, n_x)), carray(lux_, (n_u, n_x))
        l_uu = carray(luu_, (n_u, n_u))
        dynamics = Dynamics(p, dt, substeps, unrolled, step, jacobian)
        terms = Terms(functions, uses_control, weight)
        error, effort = np.empty(n_x), np.empty(n_u)
        error_at(x, r, t, angles, error)
        W = Q_f if t == T else Q
        for i in range(n_x):
            l_x[i] = slope(W, error, i)
            for j in range(n_x):
                l_xx[i, j] = 2.0 * W[i, j]
        l_ux[:, :] = 0.0
        if t < T:
            effort_at(u, t, trim, effort)
            for i in range(n_u):
                l_u[i] = slope(R, effort, i)
                for j in range(n_u):
                    l_uu[i, j] = 2.0 * R[i, j]
            linearise(dynamics, x, u, t, A, B)
        buffers, more = term_buffers(terms, n_x, n_u), empty_expansion(n_x, n_u)
        if expand_terms(terms, dynamics, x, u, r, t, force, penalties, buffers, more):
            for i in range(n_x):
                l_x[i] += more.l_x[i]
                for j in range(n_x):
                    l_xx[i, j] += more.l_xx[i, j]
            for i in range(n_u):
                l_u[i] += more.l_u[i]
                for j in range(n_x):
                    l_ux[i, j] += more.l_ux[i, j]
                for j in range(n_u):
                    l_uu[i, j] += more.l_uu[i, j]
        return 0.0

    return StageFunctions(value, slopes)
