"""Flights of B black boxes at once: planned at every tick, with or without exploration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trc_core.numerics.cost import difference, is_close, stage_cost, terminal_cost
from trc_core.numerics.plan import Plan
from trc_core.numerics.riccati import finite_horizon_gains
from trc_core.problem.system import Array, System
from trc_core.simulation.fleet import BlackBox

Planner = Callable[[Array, Array, Plan | None, Sequence[Array]], Plan]
"""Measured states (B, n_x), goals, plans of the last tick, every command so far -> plans."""
Explore = Callable[[Plan], Array]
"""Commands (B, n_u), given the plans of a tick."""
IsLost = Callable[[Array, Array], NDArray[np.bool_]]
SAMPLE, BEYOND = 1000, 2.0  # starts, and how far above the highest cost of them a state is lost


class CostToGo:
    """The LQR's cost to go e' P e: by it, states are judged; far above any start, all is lost.

    Args:
        system: the model.
    """

    def __init__(self, system: System) -> None:
        self._system, self._P = system, finite_horizon_gains(system)[1][0]
        x0, goal = system.sample(np.random.default_rng(0), SAMPLE)
        self._most = BEYOND * float(self(difference(system, x0, goal)).max())

    def __call__(self, error: Array) -> Array:
        """The cost to go of errors (..., n_x)."""
        return np.einsum('...i,ij,...j->...', error, self._P, error)

    def is_lost(self, x: Array, goal: Array) -> NDArray[np.bool_]:
        """Which states (B, n_x) no flight is expected to come back from."""
        return ~(self(difference(self._system, x, goal)) <= self._most)


@dataclass(frozen=True)
class Start:
    """Starts and goals of B flights, and the noise of their measurements."""

    x0: Array
    """(B, n_x)."""
    goal: Array
    """(B, n_x)."""
    noise: float = 0.0
    """Standard deviation of the measurement noise, in half-widths of the training box."""
    seed: int = 0
    """Seed of that noise."""
    repeat: int = 1
    """Flights of a group of this many in a row are measured with the same noise."""

    def noise_of(self, system: System, rng: np.random.Generator) -> Array:
        """The errors of one measurement (B, n_x)."""
        width = system.x0_box + system.goal_box
        noise = rng.standard_normal((len(self.x0) // self.repeat, system.n_x))
        return self.noise * width * np.repeat(noise, self.repeat, axis=0)


@dataclass(frozen=True)
class FlightRecord:
    """B flights of T ticks."""

    cost: Array
    """(T + 1, B): stage costs, and the terminal cost."""
    states: Array
    """(T + 1, B, n_x)."""
    controls: Array
    """(T, B, n_u), as applied: inside the bounds."""
    ended: NDArray[np.bool_]
    """(T + 1, B): the plant has ended the flight; it is charged for where it was last seen."""
    fallen: NDArray[np.bool_]
    """(B,): ended early, or further from the goal than any training state begins."""
    success: NDArray[np.bool_]
    """(B,): every state ends within `goal_tolerance` of the goal."""
    bounded: Array
    """(B,): share of the ticks on which a control was on its bound."""

    @property
    def total(self) -> Array:
        """Closed-loop cost of every flight (B,)."""
        return self.cost.sum(0)


def fly(
    planner: Planner,
    plant: BlackBox,
    system: System,
    start: Start,
    ticks: int,
    explore: Explore | None = None,
    is_lost: IsLost | None = None,
) -> FlightRecord:
    """Flies every row of `start` for `ticks` ticks.

    Args:
        planner: makes a plan for every row at every tick.
        plant: the plants.
        system: the model; its cost is counted.
        start: starts, goals and noise.
        ticks: number of commands.
        explore: makes the commands of the plans; their first controls by default.
        is_lost: ends flights, given their states and goals.

    Raises:
        ValueError: if the plant returns states of another shape, or ended every flight at once.
    """
    # Start all plants.
    rng, goal = np.random.default_rng(start.seed), start.goal
    x, ended = screened(plant.reset(start.x0), start.x0, np.zeros(len(goal), dtype=np.bool_))
    if ended.any():
        raise ValueError(f'the plant returned NaN from reset in {ended.sum()} of {len(x)} flights')
    states, over, plan = [x], [ended], None
    controls: list[Array] = []
    for _ in range(ticks):
        # Measure, plan, and command inside the bounds.
        plan = planner(x + start.noise_of(system, rng), goal, plan, controls)
        u = plan.controls[:, 0] if explore is None else explore(plan)
        u = np.clip(u, system.u_min, system.u_max)
        # Let time pass; see which flights have ended.
        x, ended = screened(plant.step(u), x, ended)
        if ended.all() and not over[-1].any():
            raise ValueError('the plant ended every flight at once, or returned NaN for all')
        if is_lost is not None:
            ended = ended | is_lost(x, goal)
        states.append(x)
        controls.append(u)
        over.append(ended)
    # Count the costs.
    return _flown(system, goal, np.array(states), np.array(controls), np.array(over))


def screened(
    returned: Array, last: Array, ended: NDArray[np.bool_]
) -> tuple[Array, NDArray[np.bool_]]:
    """The states to go on with (B, n_x), and which flights have ended (B,).

    Raises:
        ValueError: if the plant returned another shape.
    """
    returned = np.asarray(returned, dtype=np.float64)
    if returned.shape != last.shape:
        raise ValueError(
            f'the plant returned states of shape {returned.shape}, expected {last.shape}'
        )
    ended = ended | ~np.isfinite(returned).all(1)
    return np.where(ended[:, None], last, returned), ended


def _flown(
    system: System, goal: Array, x: Array, u: Array, over: NDArray[np.bool_]
) -> FlightRecord:
    error = difference(system, x, goal)
    stages, last = stage_cost(system, error[:-1], u), terminal_cost(system, error[-1])
    cost = np.concatenate([stages, last[None]])
    far = ~(np.abs(error[-1]) <= system.reach).all(1)
    held = ((u <= system.u_min) | (u >= system.u_max)).any(2)
    close = is_close(system, x[-1], goal)
    return FlightRecord(cost, x, u, over, far | over[-1], close & ~over[-1], held.mean(0))
