"""Solved descents: labels of `rocket_landing` and plants like it, by interior-point sweeps.

They are plans on the central path: the sweeps end where the barrier has the weight
`numerics.descent.BARRIER`, with which those on a network's plan begin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trc_core.numerics.descent import BARRIER, enter_frame, require_descent
from trc_core.numerics.free_time.binding import timed_plant
from trc_core.numerics.free_time.flights import Solver
from trc_core.numerics.free_time.solve import Schedule
from trc_core.numerics.free_time.timed import COST, DT, Flight, Timed
from trc_core.problem.system import Array, System
from trc_core.systems.registry import why_impossible

SWEEPS, RESTARTS = 70, 6  # of a label; what needs more is left out
HOPELESS = 20  # draws for each label, at most
NUDGE = 0.1  # of the half widths of the box, from a label to one nearby
AGAIN = Schedule(4.0 * BARRIER, 0.4, BARRIER)  # of the sweeps to one nearby
KEPT_OFF = 0.003  # share of the range by which those are kept off their bounds first


@dataclass(frozen=True)
class Descents:
    """N problems, each inside its frame (`numerics/descent.py`), with their solutions."""

    x0: Array
    """(N, 7)."""
    controls: Array
    """(N, T, 3), thrusts."""
    seconds: Array
    """(N,), final times."""
    prices: Array
    """(N, 6), of place and velocity at the end."""
    forces: Array
    """(N, T + 1, n_h), prices of the constraints."""
    slacks: Array
    """(N, T + 1, n_h), how far constraints are from being violated."""
    cost: Array
    """(N,), without the barrier."""

    def rows(self, rows: slice | NDArray[np.intp]) -> Descents:
        """Some of them."""
        return Descents(*(values[rows] for values in vars(self).values()))

    def and_(self, others: Descents) -> Descents:
        """These and others."""
        pairs = zip(vars(self).values(), vars(others).values(), strict=True)
        return Descents(*(np.concatenate(pair) for pair in pairs))


def solved_descents(
    system: System, count: int, seed: int, progress: Callable[[int], None] | None = None
) -> Descents:
    """Draws states from the boxes and solves them; those that cannot be landed are left out.

    Args:
        system: a powered descent.
        count: how many.
        seed: of the states.
        progress: called with the number of those that are done.

    Raises:
        ValueError: if hardly any state can be landed.
    """
    require_descent(system)
    solver, plant, rng = Solver(system), timed_plant(system), np.random.default_rng(seed)
    low, high = system.x0_centre - system.x0_box, system.x0_centre + system.x0_box
    rows: list[tuple[Array | float, ...]] = []
    for _ in range(HOPELESS * count):
        if (row := _solved(solver, plant, rng.uniform(low, high))) is not None:
            rows.append(row)
        if progress is not None:
            progress(len(rows))
        if len(rows) == count:
            return Descents(*(np.array(column) for column in zip(*rows, strict=True)))
    raise ValueError(
        f"of {HOPELESS * count} states of '{system.name}' only {len(rows)} can be landed; narrow "
        'its x0_box'
    )


def descents_nearby(
    system: System,
    solved: Descents,
    count: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> Descents:
    """More descents, each from a state near one that was solved, and by sweeps on its plan.

    Args:
        system: a powered descent.
        solved: where they begin.
        count: how many.
        seed: of the choice and of the states.
        progress: called with the number of those that are done.

    Raises:
        ValueError: if hardly any of them is solved.
    """
    solver, plant, rng = Solver(system), timed_plant(system), np.random.default_rng(seed)
    low, high = system.x0_centre - system.x0_box, system.x0_centre + system.x0_box
    upright = [2, 5, 6]  # height, climb and mass are as in the box, whatever the frame
    rows: list[tuple[Array | float, ...]] = []
    for _ in range(HOPELESS * count):
        one = int(rng.integers(len(solved.x0)))
        x0 = solved.x0[one] + NUDGE * system.x0_box * rng.uniform(-1.0, 1.0, system.n_x)
        x0[upright] = x0[upright].clip(low[upright], high[upright])
        x0[[0, 4]], x0[1] = np.abs(x0[[0, 4]]), 0.0  # inside the frame
        flight = solver.room()
        flight.x[0], flight.u[:], flight.nu[:] = x0, solved.controls[one], solved.prices[one]
        flight.numbers[DT] = solved.seconds[one] / system.horizon
        found = solver.refine(plant, flight, SWEEPS, AGAIN, KEPT_OFF)
        if found[1].converged:
            rows.append(_row(system, found[0]))
        if progress is not None:
            progress(len(rows))
        if len(rows) == count:
            return Descents(*(np.array(column) for column in zip(*rows, strict=True)))
    raise ValueError(f"only {len(rows)} states near solved ones of '{system.name}' are solved")


def _solved(solver: Solver, plant: Timed, x0: Array) -> tuple[Array | float, ...] | None:
    """The row of `Descents` of a state (7,); None where it is not solved."""
    system = solver.system
    if why_impossible(system, x0, {}) is not None:
        return None
    inside = np.empty_like(x0)
    enter_frame(x0, inside)
    found = solver.cold(plant, inside, None, SWEEPS, RESTARTS, last=BARRIER)
    return _row(system, found[0]) if found[1].converged else None


def _row(system: System, flight: Flight) -> tuple[Array | float, ...]:
    """The row of `Descents` of a plan."""
    seconds, cost = (float(flight.numbers[place]) for place in (DT, COST))
    whole = seconds * system.horizon
    return flight.x[0], flight.u, whole, flight.nu, flight.w, flight.y, cost
