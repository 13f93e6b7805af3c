"""Plans of a free duration from compiled sweeps: cold, warm, and what a user gets."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from trc_core.compile.kernels import compiled
from trc_core.numerics.free_time.guess import LONG, first_guess
from trc_core.numerics.free_time.solve import Outcome, Schedule, enter, improve_flight
from trc_core.numerics.free_time.timed import COST, DT, Flight, Timed, new_flight
from trc_core.numerics.plan import Plan
from trc_core.problem.free_time import RESULTS, end_graph, forward_graph
from trc_core.problem.system import Array, System

COLD = Schedule(3e-3, 0.5, 1e-9)
MARGIN = 0.01  # share of the range by which a start keeps off its bounds
STARTS = (
    *((1.0, 1.0), (0.3, 0.8), (1.0, 0.6), (10.0, 1.0), (1.0, 4.0), (100.0, 1.5)),
    *((1.0, 1000.0), (10.0, 1000.0), (100.0, 4.0), (1.0, 0.4), (10.0, 0.2)),
)
"""Of the barrier and of the duration: by what the first ones are multiplied at each start."""
RESTARTS = len(STARTS) - 1
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
        for stronger, longer in STARTS[: restarts + 1]:
            flight = self.begin(plant, x0, start, longer)
            schedule = COLD._replace(first=COLD.first * stronger, last=last)
            flight, found = self.refine(plant, flight, sweeps, schedule, MARGIN)
            spent += found.sweeps
            if outcome is None or _rank(found) < _rank(outcome):
                best, outcome = flight, found
            if outcome.converged or is_over():
                break
        assert outcome is not None
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


def better(one: tuple[Flight, Outcome], other: tuple[Flight, Outcome]) -> tuple[Flight, Outcome]:
    """The flight that converged, or ends nearer to the goal; the sweeps of both are counted."""
    flight, found = min(one, other, key=lambda pair: _rank(pair[1]))
    return flight, found._replace(sweeps=one[1].sweeps + other[1].sweeps)


def _rank(found: Outcome) -> tuple[bool, float]:
    missed = found.missed + found.open
    return not found.converged, missed if math.isfinite(missed) else math.inf


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
