"""Problems that the demo sets: starts, goals, and obstacles that stand or move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trc_core.flight.obstacles import Obstacle, ObstacleField
from trc_core.numerics.cost import is_success
from trc_core.problem.system import FAR, Array
from trc_core.solvers import multistart
from trc_core.systems import System
from trc_core.systems.draws import drawn_problem


@dataclass(frozen=True)
class Drawn:
    """A problem to fly."""

    x0: Array
    """Start (n_x,)."""
    goal: Array
    """(n_x,)."""
    obstacles: tuple[Obstacle, ...] = ()
    """At time 0."""


def draw_tasks(system: System, count: int, seed: int) -> list[Drawn]:
    """Problems of a system; where it has obstacles, those of all but the first move.

    Problems for which sweeps from several starts find no way to the goal are drawn again.
    """
    rng = np.random.default_rng(seed)
    if not system.obstacles:
        return [Drawn(x0, goal) for x0, goal in zip(*system.sample(rng, count), strict=True)]
    tasks: list[Drawn] = []
    while len(tasks) < count:
        x0, goal, parameters = drawn_problem(system, rng)
        obstacles = obstacles_of(system, parameters)
        if tasks:
            obstacles = tuple(_in_motion(system, obstacle, rng) for obstacle in obstacles)
        known = parameters_of(system, obstacles, 0.0, x0)
        plan = multistart.solve(system, x0, goal, parameters=known)
        if plan.violation <= system.constraint_tolerance and is_success(system, plan.states, goal):
            tasks.append(Drawn(x0, goal, obstacles))
    return tasks


def obstacles_of(system: System, parameters: Mapping[str, float]) -> tuple[Obstacle, ...]:
    """The obstacles that parameters place, none of them further away than is possible."""
    known = {**system.parameters, **parameters}
    rows = [row for row in system.obstacles if known[row.x] < FAR]
    return tuple(
        Obstacle(
            (known[row.x], known[row.y], 0.0 if row.z is None else known[row.z]),
            known[row.radius],
            0.0,
        )
        for row in rows
    )


def parameters_of(
    system: System, obstacles: Sequence[Obstacle], time: float, x: Array
) -> dict[str, float]:
    """The parameters that place obstacles where they are at a time, for a plant at x (n_x,)."""
    field = ObstacleField(system, {(k, ''): obstacle for k, obstacle in enumerate(obstacles)})
    return dict(field.at(time, (*x[:2].tolist(), 0.0)))


def _in_motion(system: System, obstacle: Obstacle, rng: np.random.Generator) -> Obstacle:
    """The obstacle with a random velocity from the ranges of the system, where it has some."""
    row = system.obstacles[0]
    limits = [system.ranges.get(name or '', (0.0, 0.0)) for name in (row.vx, row.vy, row.vz)]
    vx, vy, vz = (float(rng.uniform(*pair)) for pair in limits)
    return replace(obstacle, velocity=(vx, vy, vz))
