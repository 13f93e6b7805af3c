"""Successive convexification: the rival of the domain, with the conic solver Clarabel.

Every iteration solves a second-order cone program: the dynamics are linearised about the last
trajectory, with the time of a step as a variable; virtual controls keep it feasible at a price;
the least thrust, which is not convex, is a half space; a trust region holds the step.
Source: Szmuk and Acikmese, "Successive convexification for 6-DoF Mars rocket powered landing with
free-final-time" (2018); Mao, Szmuk and Acikmese (2016) for the trust region and its ratio test.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trc_core.problem.system import Array

Linearised = tuple[Array, Array, Array, Array]
"""The next states (T, n_x) and their slopes by state (T, n_x, n_x), control (T, n_x, 3) and time
of a step (T, n_x)."""
VIRTUAL = 30.0  # price of virtual controls, in scaled units
MOST = 40  # iterations
SMALL = 1e-6  # defects at the end, in scaled units
FIRST_WEIGHT, GROWTH = 1e-3, 1.4  # of the squares of steps, in scaled units, and how it grows


@dataclass(frozen=True)
class Descent:
    """A descent whose mass is the last state and whose target is the origin."""

    linearise: Callable[[Array, Array, float], Linearised]
    """(states (T, n_x), thrusts (T, 3), time of a step) -> next states and slopes."""
    steps: int
    low: float
    high: float
    slope: float
    """Tangent of the glide slope."""
    times: tuple[float, float]
    """Limits of the final time [s]."""


@dataclass(frozen=True)
class Found:
    """Result of successive convexification."""

    controls: Array
    """(T, 3)."""
    seconds: float
    """Final time [s]."""
    converged: bool
    iterations: int
    solver_seconds: float
    """Time within Clarabel."""


class _Program:
    """Rows of A z + s = b with s in cones, for z = (X, U, h, V, |V|), scaled."""

    def __init__(self, T: int, n_x: int) -> None:
        self.T, self.n_x = T, n_x
        self.x = np.arange((T + 1) * n_x).reshape(T + 1, n_x)
        self.u = self.x.size + np.arange(3 * T).reshape(T, 3)
        self.h = self.x.size + self.u.size
        self.v = self.h + 1 + np.arange(T * n_x).reshape(T, n_x)
        self.size_v = self.v + T * n_x
        self.count = int(self.size_v[-1, -1]) + 1
        self.rows: list[tuple[list[Any], Array]] = []
        self.cones: list[Any] = []

    def add(self, cone: Any, entries: list[Any], b: Array) -> None:
        """Rows of one cone: entries (row, column, value) as arrays, and b."""
        self.rows.append((entries, b))
        self.cones.append(cone)

    def matrix(self) -> tuple[Any, Array]:
        """A as a sparse matrix, and b."""
        from scipy.sparse import csc_matrix

        places, columns, values, right, first = [], [], [], [], 0
        for entries, b in self.rows:
            for row, column, value in entries:
                r, c, a = np.broadcast_arrays(row, column, value)
                places.append(r.ravel() + first)
                columns.append(c.ravel())
                values.append(np.asarray(a, dtype=np.float64).ravel())
            right.append(b)
            first += len(b)
        joined = np.concatenate(values), (np.concatenate(places), np.concatenate(columns))
        return csc_matrix(joined, shape=(first, self.count)), np.concatenate(right)


def solve(descent: Descent, x0: Array, guess: tuple[Array, Array, float]) -> Found:
    """Descends from x0 (n_x,), beginning with states (T + 1, n_x), thrusts (T, 3), final time.

    Raises:
        ModuleNotFoundError: without the package clarabel.
    """
    x, u, seconds = (np.array(a, dtype=np.float64) for a in guess)
    unit = _units(x0)
    h, spent = float(seconds) / descent.steps, 0.0
    for iteration in range(1, MOST + 1):
        linear = descent.linearise(x[:-1], u, h)
        began = time.process_time()
        new = _subproblem(descent, x0, x, u, h, linear, unit, FIRST_WEIGHT * GROWTH**iteration)
        spent += time.process_time() - began
        if new is None:
            break
        x, u, h = new
        defect = float(np.abs(_defects(descent, x, u, h, unit)).max())
        if defect < SMALL:
            break
    return Found(u, h * descent.steps, defect < SMALL, iteration, spent)


def _units(x0: Array) -> Array:
    """Units of the states: 1 km, 100 m/s, the first mass."""
    return np.array([1000.0] * 3 + [100.0] * 3 + [x0[6]])


def _defects(descent: Descent, x: Array, u: Array, h: float, unit: Array) -> Array:
    return (x[1:] - descent.linearise(x[:-1], u, h)[0]) / unit


def _subproblem(
    descent: Descent,
    x0: Array,
    x: Array,
    u: Array,
    h: float,
    linear: Linearised,
    unit: Array,
    weight: float,
) -> tuple[Array, Array, float] | None:
    """States, thrusts and time of a step that solve one cone program; None where none does."""
    import clarabel
    from scipy.sparse import csc_matrix

    program = _Program(descent.steps, x.shape[1])
    _dynamics(program, x / unit, u / descent.high, h, linear, unit, descent.high, clarabel)
    ends = np.concatenate([program.x[0], program.x[-1, :6]])
    n = len(ends)
    values = np.concatenate([x0 / unit, np.zeros(6)])
    program.add(clarabel.ZeroConeT(n), [(np.arange(n), ends, 1.0)], values)
    _limits(program, descent, u / descent.high, h, clarabel)
    cost, squares = np.zeros(program.count), np.zeros(program.count)
    cost[program.x[-1, 6]] = -1.0
    cost[program.size_v] = VIRTUAL
    steps = np.append(program.u.ravel(), program.h)
    squares[steps] = weight
    cost[steps] = -weight * np.append(u.ravel() / descent.high, 1.0)
    A, b = program.matrix()
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    P = csc_matrix((squares[steps], (steps, steps)), shape=(program.count, program.count))
    found = clarabel.DefaultSolver(P, cost, A, b, program.cones, settings).solve()
    if 'Solved' not in str(found.status):
        return None
    z = np.array(found.x)
    return z[program.x] * unit, z[program.u] * descent.high, float(z[program.h] * h)


def _dynamics(
    program: _Program,
    X: Array,
    U: Array,
    h: float,
    linear: Linearised,
    unit: Array,
    high: float,
    clarabel: Any,
) -> None:
    """X' = f + A (X - X_0) + B (U - U_0) + F (h - h_0) + V, and |V| <= its size."""
    after, A, B, F = linear
    T, n_x = program.T, program.n_x
    A, B = A * unit / unit[:, None], B * high / unit[:, None]
    F, after = F * h / unit, after / unit
    rows = np.arange(T * n_x).reshape(T, n_x)
    b = after - np.einsum('tij,tj->ti', A, X[:-1]) - np.einsum('tij,tj->ti', B, U) - F
    entries = [
        (rows, program.x[1:], 1.0),
        (rows[:, :, None], program.x[:-1, None, :], -A),
        (rows[:, :, None], program.u[:, None, :], -B),
        (rows, program.h, -F),
        (rows, program.v, -1.0),
    ]
    program.add(clarabel.ZeroConeT(T * n_x), entries, b.ravel())
    for sign in (1.0, -1.0):
        entries = [(rows, program.v, sign), (rows, program.size_v, -1.0)]
        program.add(clarabel.NonnegativeConeT(T * n_x), entries, np.zeros(T * n_x))


def _limits(
    program: _Program,
    descent: Descent,
    U: Array,
    h: float,
    clarabel: Any,
) -> None:
    """Thrusts, glide slope and time."""
    T, rows = program.T, np.arange(program.T)
    ball = clarabel.SecondOrderConeT(4)
    cone = clarabel.SecondOrderConeT(3)
    for t in range(T):
        program.add(ball, [(np.arange(1, 4), program.u[t], -1.0)], np.array([1.0, 0, 0, 0]))
    for t in range(1, T):
        entries = [
            (0, program.x[t, 2], -1.0 / descent.slope),
            (np.arange(1, 3), program.x[t, :2], -1.0),
        ]
        program.add(cone, entries, np.zeros(3))
    direction = U / np.linalg.norm(U, axis=1, keepdims=True)
    least = np.full(T, -descent.low / descent.high)
    half = clarabel.NonnegativeConeT
    program.add(half(T), [(rows[:, None], program.u, -direction)], least)
    shortest, longest = (seconds / (T * h) for seconds in descent.times)
    program.add(half(2), [(np.arange(2), program.h, [-1.0, 1.0])], np.array([-shortest, longest]))
