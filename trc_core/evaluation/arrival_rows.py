"""The rows of a table of plans whose duration is free: a controller, and what has no network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from trc_core.evaluation.arrivals import Arrivals, evaluate_arrivals
from trc_core.evaluation.conclusion import STATES
from trc_core.evaluation.evaluator import Planner
from trc_core.evaluation.problems import TEST_SEED
from trc_core.evaluation.reference import keep
from trc_core.numerics.descent import BARRIER, enter_frame, turn_out
from trc_core.numerics.free_time.binding import timed_plant
from trc_core.numerics.free_time.flights import Solver, as_plan
from trc_core.numerics.free_time.timed import DT, Flight
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.planner.descent import MARGIN, PROPOSED
from trc_core.problem.system import Array, System
from trc_core.solvers.descents import Descents, solved_descents
from trc_core.solvers.experts import EXPERTS

SWEEPS = (5, 12)
STORED, STORED_SEED = 2000, 6_000_000  # plans of which the nearest is looked up


def arrival_planners(controller: Controller, nearest: bool = True) -> dict[str, Planner]:
    """Planners by label.

    Args:
        controller: whose network, if there is one, stands at K = 1 and at its own K.
        nearest: whether stored plans stand beside it: they take minutes to make, once.
    """
    system = controller.system
    classical = Controller.classical(system)
    table: dict[str, Planner] = {}
    for sweeps in SWEEPS:
        table[f'cold guess + {sweeps} sweeps'] = partial(classical.plan, polish=sweeps)
    table['sweeps until converged'] = classical.plan
    table['IPOPT'] = partial(EXPERTS['nlp'].solve, system)
    if controller.checkpoint.is_classical:
        return table
    if nearest:
        stored = NearestDescent(system)
        for sweeps in SWEEPS:
            table[f'nearest of {STORED} + {sweeps} sweeps'] = partial(stored, sweeps=sweeps)
    for K in dict.fromkeys((1, controller.cycles)):
        twin = Controller(controller.checkpoint, controller.backend, cycles=K)
        for sweeps in SWEEPS:
            table[f'trc, K = {K} + {sweeps} sweeps'] = partial(twin.plan, polish=sweeps)
    return table


def expert_planners(system: System, names: Iterable[str]) -> dict[str, Planner]:
    """Experts by name, as planners of a system whose duration is free.

    Raises:
        ValueError: if one does not find durations; the message names those that do.
    """
    able = [name for name, expert in EXPERTS.items() if expert.free_time]
    for name in names:
        if name not in able:
            raise ValueError(
                f"the expert '{name}' finds no duration, and that of '{system.name}' is free; "
                f'choose from {able}'
            )
    return {name: partial(EXPERTS[name].solve, system) for name in names}


def conclude_arrivals(
    controller: Controller, states: int = STATES, seed: int = TEST_SEED
) -> Arrivals:
    """Scores a controller beside what needs no network, on problems of its plant.

    Raises:
        ValueError: if nobody arrives anywhere.
    """
    table = arrival_planners(controller, nearest=False)
    return evaluate_arrivals(controller.system.name, controller.system, table, states, seed)


class NearestDescent:
    """The nearest solved descent, improved by sweeps.

    Args:
        system: a powered descent.
        count: solved descents, of states that are drawn from the box.
    """

    def __init__(self, system: System, count: int = STORED) -> None:
        def solve() -> dict[str, Array]:
            return vars(solved_descents(system, count, STORED_SEED))

        self.stored = Descents(**keep(system, 'descents', [count, STORED_SEED, BARRIER], solve))
        self.system, self._solver, self._plant = system, Solver(system), timed_plant(system)
        self._width = self.stored.x0.std(0) + 1e-9

    def __call__(self, x0: Array, goal: Array, sweeps: int) -> Plan:
        """The plan from x0 (7,) after some sweeps; the goal is the origin."""
        inside = np.empty_like(x0)
        frame = enter_frame(x0, inside)
        away = (self.stored.x0 - inside) / self._width
        flight = self._started(int(np.square(away).sum(1).argmin()), x0, frame)
        flight, found = self._solver.refine(self._plant, flight, sweeps, PROPOSED, MARGIN)
        converged = bool(found.converged)
        return as_plan(self.system, self._plant, flight, 'nearest', converged, int(found.sweeps))

    def _started(self, n: int, x0: Array, frame: tuple[float, float, float]) -> Flight:
        """A flight from x0 with the thrusts, the time and the prices of stored descent n."""
        flight = self._solver.room()
        flight.x[0] = x0
        flight.numbers[DT] = self.stored.seconds[n] / self.system.horizon
        turn: Callable[..., None] = partial(turn_out, frame)
        for t, thrust in enumerate(self.stored.controls[n]):
            turn(thrust, flight.u[t])
        turn(self.stored.prices[n, :3], flight.nu[:3])
        turn(self.stored.prices[n, 3:], flight.nu[3:])
        return flight
