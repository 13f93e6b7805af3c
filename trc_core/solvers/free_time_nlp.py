"""Problems whose duration is free as nonlinear programs in CasADi, solved by IPOPT.

Unknowns are dt, and for every step the controls, the sizes of groups whose length has limits and
the state that follows; sizes are slacks, |u|^2 = size^2. All are in units of their ranges.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from trc_core.numerics.free_time.binding import timed_plant
from trc_core.numerics.free_time.flights import Solver, missed_by
from trc_core.numerics.free_time.timed import DT, Flight
from trc_core.numerics.plan import Plan
from trc_core.problem.free_time import RESULTS, end_graph, forward_graph
from trc_core.problem.graph import Graph
from trc_core.problem.system import Array
from trc_core.solvers.free_time import TimedProblem
from trc_core.solvers.transcription import ByContents

OPTIONS: dict[str, Any] = {
    'print_time': False,
    'ipopt.print_level': 0,
    'ipopt.sb': 'yes',
    'ipopt.tol': 1e-9,
    'ipopt.max_iter': 500,
    'ipopt.acceptable_iter': 0,
    'ipopt.nlp_scaling_method': 'none',
    'ipopt.bound_relax_factor': 0.0,
}
FACTORS = (1.0, 0.7, 1.4, 2.0)
"""Durations that are tried, times that of the first guess."""
AGREEING = 1e-4  # error of the end of a replayed plan, in units of the states


@dataclass(frozen=True, eq=False)
class TimedProgram:
    """The program of a plant of a free duration."""

    solver: Any
    """CasADi's, of the unknowns and the numbers (x0, p, r, v)."""
    limits: dict[str, Array]
    units: Array
    """Of the unknowns: dt, and the rows of the steps (controls, sizes, state)."""
    width: int
    """How many unknowns a step has."""


@lru_cache(maxsize=8)
def _program(key: ByContents) -> TimedProgram:
    import casadi as ca

    from trc_core.compile.casadi_reader import CASADI

    system = key.system
    plant = timed_plant(system)
    T, n_x, n_u, n_h = system.horizon, system.n_x, system.n_u, len(system.task.constraints)
    sizes = plant.groups
    width = n_u + len(sizes) + n_x
    effort = np.maximum(np.abs(system.u_min), np.abs(system.u_max))
    largest = np.array([plant.bounds[1, row[1]] for row in sizes])
    smallest = [plant.bounds[0, row[1]] / most for row, most in zip(sizes, largest, strict=True)]
    units = np.concatenate([effort, largest, plant.x_unit])
    w, numbers = ca.SX.sym('w', 1 + T * width), ca.SX.sym('n', n_x + len(system.p) + n_x + n_u)
    dt = w[0] * plant.dt[1]
    x, tail = numbers[:n_x], ca.vertsplit(numbers[n_x:])

    def results(graph: Graph, x: Any, u: Any, k: int) -> list[Any]:
        unread = [0.0] * (n_x + n_h + 2 * n_u)
        arguments = [*ca.vertsplit(x), *u, dt, float(k), *unread, *tail]
        return graph.evaluate(arguments, CASADI)[RESULTS]

    forward, end = forward_graph(system), end_graph(system)
    cost, g = ca.SX(0), []
    low: list[float] = []
    high: list[float] = []
    lbx, ubx = [plant.dt[0] / plant.dt[1]], [1.0]
    for t in range(T):
        row = w[1 + t * width : 1 + (t + 1) * width] * ca.DM(units)
        u, after = ca.vertsplit(row[:n_u]), row[n_u + len(sizes) :]
        found = results(forward, x, u, t)
        cost = cost + found[n_x]
        g.append((after - ca.vertcat(*found[:n_x])) / ca.DM(plant.x_unit))
        low, high = low + [0.0] * n_x, high + [0.0] * n_x
        for i in range(n_h):
            if plant.holds[t, i]:
                g.append(found[n_x + 1 + i] / plant.h_unit[i])
                low, high = [*low, -np.inf], [*high, 0.0]
        for j, group in enumerate(sizes):
            members = [u[i] for i in group[1 : 1 + group[0]]]
            g.append((sum(e * e for e in members) - row[n_u + j] ** 2) / largest[j] ** 2)
            low, high = [*low, 0.0], [*high, 0.0]
        lbx += [*(system.u_min / effort), *smallest, *([-np.inf] * n_x)]
        ubx += [*(system.u_max / effort), *([1.0] * len(sizes)), *([np.inf] * n_x)]
        x = after
    for place in plant.terminal:
        g.append((x[int(place)] - tail[len(system.p) + int(place)]) / plant.x_unit[place])
        low, high = [*low, 0.0], [*high, 0.0]
    found = results(end, x, [0.0] * n_u, T)
    for i in range(n_h):
        if plant.holds[T, i]:
            g.append(found[1 + i] / plant.h_unit[i])
            low, high = [*low, -np.inf], [*high, 0.0]
    cost = (cost + found[0]) / plant.cost_unit
    program = {'x': w, 'f': cost, 'g': ca.vertcat(*g), 'p': numbers}
    solver = ca.nlpsol('solver', 'ipopt', program, OPTIONS)
    bounds = {'lbx': lbx, 'ubx': ubx, 'lbg': low, 'ubg': high}
    return TimedProgram(
        solver, {name: np.array(value) for name, value in bounds.items()}, units, width
    )


def solve(problem: TimedProblem, warm_start: Plan | None) -> Plan:
    """The optimum that IPOPT finds, from the first guess and from other durations where it fails.

    Args:
        problem: of a free duration.
        warm_start: a plan of this problem to start from.

    Returns:
        The plan as it is flown with the controls found; `converged` is True when IPOPT met its
        tolerance and the flight ends where it should.
    """
    solver, best = Solver(problem.system), None
    iterations = 0
    for factor in FACTORS:
        flight = solver.begin(problem.plant, problem.x0, warm_start, factor)
        solver.fly(problem.plant, flight)
        found, spent, success = _optimised(problem, flight)
        iterations += spent
        solver.fly(problem.plant, found)
        converged = success and missed_by(problem.plant, found) <= AGREEING
        if best is None or converged:
            best = found
        if converged:
            return problem.plan(best, 'nlp', True, iterations)
    assert best is not None
    return problem.plan(best, 'nlp', False, iterations)


def _optimised(problem: TimedProblem, flight: Flight) -> tuple[Flight, int, bool]:
    """The controls and the duration that IPOPT finds from a flight."""
    system, plant = problem.system, problem.plant
    program = _program(ByContents(system))
    groups = [row[1 : 1 + row[0]] for row in plant.groups]
    sizes = np.array([np.linalg.norm(flight.u[:, g], axis=1) for g in groups])
    sizes = sizes.reshape(-1, system.horizon).T
    rows = np.hstack([flight.u, sizes, flight.x[1:]]) / program.units
    guess = np.concatenate([[flight.numbers[DT] / plant.dt[1]], rows.ravel()])
    tail = plant.numbers[len(plant.numbers) - len(system.p) - system.n_x - system.n_u :]
    numbers = np.concatenate([problem.x0, tail])
    found = program.solver(x0=guess, p=numbers, **program.limits)
    values = np.asarray(found['x']).ravel()
    flight.numbers[DT] = values[0] * plant.dt[1]
    flight.u[:] = (
        values[1:].reshape(-1, program.width)[:, : system.n_u] * program.units[: system.n_u]
    )
    statistics = program.solver.stats()
    return flight, int(statistics['iter_count']), bool(statistics['success'])
