"""Plans of a free duration from compiled sweeps: cold, warm, and what a user gets."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from trc_core.compile.kernels import compiled
from trc_core.numerics.free_time.guess import LONG, first_guess
from trc_core.numerics.free_time.solve import Outcome, Schedule, enter, improve_flight
from trc_core.numerics.free_time.timed import COST, DT, Flight, Timed, new_flight
from trc_core.numerics.plan import Plan
from trc_core.numerics.random_controls import random_controls
from trc_core.problem.free_time import RESULTS, end_graph, forward_graph
from trc_core.problem.system import Array, System

COLD = Schedule(3e-3, 0.5, 1e-9)
MARGIN = 0.01  # share of the range by which a start keeps off its bounds
STRAIGHT = COLD._replace(straighter=1e4)
"""For shortest times, where curvature is nothing but that of the dynamics, of either sign."""


class Start(NamedTuple):
    """How a start differs from the first one."""

    stronger: float
    """By what the first barrier is multiplied."""
    longer: float
    """By what the first duration is multiplied."""
    schedule: Schedule = COLD


STARTS = (
    *(Start(1.0, 1.0), Start(0.3, 0.8), Start(1.0, 0.6)),
    Start(1.0, 1.0, STRAIGHT),
    *(Start(10.0, 1.0), Start(1.0, 4.0), Start(100.0, 1.5)),
    Start(10.0, 1.0, STRAIGHT),
    *(Start(1.0, 1000.0), Start(10.0, 1000.0), Start(100.0, 4.0)),
    *(Start(1.0, 0.4), Start(10.0, 0.2)),
)
RESTARTS = len(STARTS) - 1
NEAR = 1e-4  # errors, in units of states and constraints, of a plan that may be the best
PIECE, LONGER = (0.05, 0.4), (0.7, 1.1)  # shares of a plan that others begin from
MISSED = 100.0  # merit, in units of the cost, of an error as large as the units of the states


class Solver:
    """Compiled sweeps for one plant."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.kernels: tuple[Callable[..., Any], ...] = tuple(
            compiled(kernel) for kernel in (first_guess, enter, improve_flight)
        )
        self._guess, self._enter, self._improve = self.kernels
        n_h, n_c = len(system.task.constraints), len(system.terminal)
        self._blank = new_flight(system.horizon, system.n_x, system.n_u, n_h, n_c)
        self._graphs = forward_graph(system), end_graph(system)

    def room(self) -> Flight:
        """An empty flight."""
        return Flight(*[numbers.copy() for numbers in self._blank])

    def cold(
        self,
        plant: Timed,
        x0: Array,
        start: Plan | None,
        sweeps: int,
        restarts: int,
        is_over: Callable[[], bool] = lambda: False,
        last: float = COLD.last,
    ) -> tuple[Flight, Outcome]:
        """A plan without one before, by at most `sweeps` sweeps from each start.

        `last` is the barrier, in units of the cost, at which they end.

        Where they do not converge, they begin again with a stronger barrier or another duration
        (`STARTS`), at most `restarts` times while `is_over` is False; the best plan is returned,
        and all sweeps are counted.
        """
        best, outcome, spent = self.room(), None, 0
        for stronger, longer, schedule in STARTS[: restarts + 1]:
            flight = self.begin(plant, x0, start, longer)
            schedule = schedule._replace(first=schedule.first * stronger, last=last)
            flight, found = self.refine(plant, flight, sweeps, schedule, MARGIN)
            spent += found.sweeps
            if (
                outcome is None
                or found.converged
                or _rank(plant, flight, found) < _rank(plant, best, outcome)
            ):
                best, outcome = flight, found
            if outcome.converged or is_over():
                break
        assert outcome is not None
        return best, outcome._replace(sweeps=spent)

    def explore(
        self,
        plant: Timed,
        best: Flight,
        outcome: Outcome,
        starts: int,
        sweeps: int,
        is_over: Callable[[], bool],
    ) -> tuple[Flight, Outcome]:
        """A plan, or a cheaper one that sweeps make of other controls and durations.

        They are random ones, and every other time those of the best plan so far with a random
        piece in it.

        Args:
            plant: with the problem.
            best: the plan.
            outcome: of its sweeps.
            starts: how many, while `is_over` is False.
            sweeps: the most from each start.
            is_over: whether there is no time for another.
        """
        low, high, T = self.system.u_min, self.system.u_max, self.system.horizon
        key = np.frombuffer(best.x[0].tobytes() + plant.goal.tobytes(), dtype=np.uint32)
        rng, spent = np.random.default_rng(key), outcome.sweeps
        for number in range(starts):
            if is_over():
                break
            flight = self.room()
            flight.x[0] = best.x[0]
            if number % 2 == 0:
                flight.u[:] = random_controls(rng, low, high, T)
                flight.numbers[DT] = np.exp(rng.uniform(*np.log(plant.dt)))
            else:
                begin, length = int(rng.uniform(0.0, T)), int(rng.uniform(*PIECE) * T) + 1
                flight.u[:] = best.u
                flight.u[begin : begin + length] = rng.uniform(low, high)
                flight.numbers[DT] = best.numbers[DT] * rng.uniform(*LONGER)
            flight, found = self.refine(plant, flight, sweeps, STRAIGHT, MARGIN)
            spent += found.sweeps
            if _rank(plant, flight, found) < _rank(plant, best, outcome):
                best, outcome = flight, found
        return best, outcome._replace(sweeps=spent)

    def refine(
        self, plant: Timed, flight: Flight, sweeps: int, schedule: Schedule, margin: float
    ) -> tuple[Flight, Outcome]:
        """The plan that sweeps make of one, of which x[0], u, dt and nu count."""
        worth = self._enter(plant, flight, margin, schedule.first)
        if not math.isfinite(worth.cost):
            return flight, Outcome(0, False, False, schedule.first, math.inf, math.inf)
        trial = self.room()
        found = self._improve(plant, flight, worth, sweeps, schedule, trial)
        return (trial if found.swapped else flight), found

    def begin(
        self, plant: Timed, x0: Array, start: Plan | None = None, factor: float = 1.0
    ) -> Flight:
        """A flight from x0 (n_x,) with the controls of a plan, or those of a first guess.

        `factor` makes it longer.
        """
        flight = self.room()
        flight.x[0] = x0
        if start is None:
            self._guess(plant, MARGIN, flight, self.room())
        else:
            assert start.times is not None
            flight.u[:] = start.controls
            flight.numbers[DT] = start.times[-1] / self.system.horizon
            if isinstance(start.memory, Flight):
                flight.nu[:] = start.memory.nu
        low, high = plant.dt
        longest = max(low * (high / low) ** LONG, flight.numbers[DT])
        flight.numbers[DT] = min(factor * flight.numbers[DT], longest)
        return flight

    def fly(self, plant: Timed, flight: Flight) -> None:
        """Fills x, h and J of the controls and the duration of a flight, as NumPy reads them."""
        forward, end = self._graphs
        T, n_x, n_u = self.system.horizon, self.system.n_x, self.system.n_u
        arguments, cost = plant.numbers.copy(), 0.0
        arguments[n_x + n_u] = flight.numbers[DT]
        for t in range(T + 1):
            arguments[:n_x], arguments[n_x + n_u + 1] = flight.x[t], t
            if t < T:
                arguments[n_x : n_x + n_u] = flight.u[t]
                found = forward.evaluate(list(arguments))[RESULTS]
                flight.x[t + 1], flight.h[t] = found[:n_x], found[n_x + 1 :]
                cost += float(found[n_x])
        found = end.evaluate(list(arguments))[RESULTS]
        flight.h[T] = found[1 : 1 + flight.h.shape[1]]
        flight.numbers[COST] = cost + float(found[0])


def missed_by(plant: Timed, flight: Flight) -> float:
    """The largest error of a terminal state, in its unit among the states."""
    errors = _end_errors(plant, flight) / plant.x_unit[plant.terminal]
    return float(errors.max(initial=0.0))


def better(
    plant: Timed, one: tuple[Flight, Outcome], other: tuple[Flight, Outcome]
) -> tuple[Flight, Outcome]:
    """The flight that is worth more; the sweeps of both are counted."""
    flight, found = min(one, other, key=lambda pair: _rank(plant, *pair))
    return flight, found._replace(sweeps=one[1].sweeps + other[1].sweeps)


def _rank(plant: Timed, flight: Flight, found: Outcome) -> tuple[bool, float]:
    """Whether a plan misses the goal, and what it is worth: the least is the best."""
    errors, merit = found.missed + found.open, merit_of(plant, flight)
    return not errors <= NEAR, merit if np.isfinite(merit) else np.inf


def violation_of(plant: Timed, flight: Flight) -> float:
    """The largest violation of a constraint or error of a terminal state, in its own unit."""
    outside = float(flight.h.max(initial=0.0, where=plant.holds))
    return max(float(_end_errors(plant, flight).max(initial=0.0)), outside)


def merit_of(plant: Timed, flight: Flight) -> float:
    """J, and errors in their typical sizes by a price no multiplier reaches."""
    missed = (_end_errors(plant, flight) / plant.x_unit[plant.terminal]).sum()
    outside = (flight.h.clip(0.0).sum(0, where=plant.holds) / plant.h_unit).sum()
    return float(flight.numbers[COST] + MISSED * plant.cost_unit * (missed + outside))


def _end_errors(plant: Timed, flight: Flight) -> Array:
    """The errors (n_c,) of the terminal states, in their own units."""
    ends = plant.terminal
    return np.abs(flight.x[-1, ends] - plant.goal[ends])


def as_plan(
    system: System, plant: Timed, flight: Flight, source: str, converged: bool, sweeps: int
) -> Plan:
    """A flight as a plan, in physical units."""
    T = system.horizon
    times: Array = np.arange(T + 1, dtype=np.float64) * flight.numbers[DT]
    merit = merit_of(plant, flight)
    return Plan(
        flight.u.clip(system.u_min, system.u_max),
        flight.x,
        float(flight.numbers[COST]),
        source,
        converged,
        sweeps,
        {source: merit},
        violation_of(plant, flight),
        merit,
        times,
        flight,
    )
