"""Solved descents: labels of `rocket_landing` and plants like it, by interior-point sweeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trc_core.numerics.descent import enter_frame, require_descent
from trc_core.numerics.free_time.binding import timed_plant
from trc_core.numerics.free_time.flights import Solver
from trc_core.numerics.free_time.timed import COST, DT, Timed
from trc_core.problem.system import Array, System
from trc_core.systems.registry import why_impossible

SWEEPS, RESTARTS = 70, 6  # of a label; what needs more is left out
HOPELESS = 20  # draws for each label, at most


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
    pull: Array
    """(N, T), fall of the Lagrangian over the range of a thrust's size; positive where it is at
    its upper bound."""
    cost: Array
    """(N,)."""


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


def _solved(solver: Solver, plant: Timed, x0: Array) -> tuple[Array | float, ...] | None:
    """The row of `Descents` of a state (7,); None where it is not solved."""
    system = solver.system
    if why_impossible(system, x0, {}) is not None:
        return None
    inside = np.empty_like(x0)
    enter_frame(x0, inside)
    flight, outcome = solver.cold(plant, inside, None, SWEEPS, RESTARTS)
    if not outcome.converged:
        return None
    size = int(plant.groups[0, 1])
    pull = flight.above[:, size] - flight.below[:, size]
    seconds, cost = (float(flight.numbers[place]) for place in (DT, COST))
    return inside, flight.u, seconds * system.horizon, flight.nu, flight.w, pull, cost
