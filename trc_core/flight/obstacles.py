"""Obstacles in flight: from where they were seen to the parameters of the constraints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from trc_core.problem.system import FAR, System
from trc_core.problem.system import Obstacle as Row

Point = tuple[float, float, float]  # x, y, z
Key = tuple[int, str]  # number and name of the list that it is from; rows are in this order


class Parameters(Protocol):
    """Parameters of a plant that were given in flight."""

    def at(self, time: float, near: Point) -> Mapping[str, float]:
        """Those that differ from the system's own, by name.

        Args:
            time: for which they are asked for [s].
            near: position of the plant [m].
        """


@dataclass(frozen=True)
class Numbers:
    """Parameters that were given as numbers."""

    values: Mapping[str, float] = field(default_factory=dict)

    def at(self, time: float, near: Point) -> Mapping[str, float]:
        """The numbers, whatever the time and the place."""
        return self.values


@dataclass(frozen=True, eq=False)
class Obstacle:
    """A ball, or an upright cylinder, that goes on as it was last seen."""

    centre: Point
    """Its centre [m] at `time`."""
    radius: float
    """Its radius [m]."""
    time: float
    """When it was there [s]."""
    velocity: Point = (0.0, 0.0, 0.0)
    """Its velocity [m/s]."""

    def at(self, time: float) -> Point:
        """Its centre [m] at a time."""
        (x, y, z), (vx, vy, vz), elapsed = self.centre, self.velocity, time - self.time
        return x + vx * elapsed, y + vy * elapsed, z + vz * elapsed

    def seen(self, centre: Point, radius: float, time: float) -> Obstacle:
        """The obstacle seen again; its velocity is the difference, unless time went back."""
        elapsed = time - self.time
        if elapsed == 0.0:
            return Obstacle(centre, radius, time, self.velocity)
        if elapsed < 0.0:
            return Obstacle(centre, radius, time)
        vx, vy, vz = ((b - a) / elapsed for a, b in zip(self.centre, centre, strict=True))
        return Obstacle(centre, radius, time, (vx, vy, vz))


@dataclass(frozen=True, eq=False)
class ObstacleField:
    """Obstacles that fill the rows `system.obstacles`, nothing of them before the first sight.

    Raises:
        ValueError: if the system has no such rows.
    """

    system: System
    obstacles: Mapping[Key, Obstacle] | None = None
    """What is known to be there; None: nothing has been said, the system's own hold."""

    def __post_init__(self) -> None:
        if not self.system.obstacles:
            raise ValueError(
                f"'{self.system.name}' declares no obstacles: give its System some, or leave "
                'parameters_type JointState'
            )

    @property
    def surplus(self) -> int:
        """How many obstacles have no row."""
        return max(0, len(self.obstacles or ()) - len(self.system.obstacles))

    def seen(self, key: Key, centre: Point, radius: float, time: float) -> ObstacleField:
        """The field with one obstacle seen at a centre [m], for the first time or again."""
        known = self.obstacles or {}
        new = Obstacle(centre, radius, time)
        if key in known:
            new = known[key].seen(centre, radius, time)
        return replace(self, obstacles={**known, key: new})

    def without(self, key: Key) -> ObstacleField:
        """The field without one obstacle."""
        known = self.obstacles or {}
        return replace(self, obstacles={k: o for k, o in known.items() if k != key})

    def cleared(self) -> ObstacleField:
        """The field without any."""
        return replace(self, obstacles={})

    def at(self, time: float, near: Point) -> Mapping[str, float]:
        """The parameters of all rows: the nearest obstacles in the order of their keys.

        Rows that are not used lie `FAR` away.

        Args:
            time: to which obstacles are moved on [s].
            near: position of the plant [m], by which the nearest are chosen.
        """
        if self.obstacles is None:
            return {}
        rows, found = self.system.obstacles, sorted(self.obstacles.items())
        if self.surplus:
            flat = all(row.z is None for row in rows)
            axes = 2 if flat else 3

            def gap(item: tuple[Key, Obstacle]) -> float:
                return math.dist(item[1].at(time)[:axes], near[:axes]) - item[1].radius

            found = sorted(sorted(found, key=gap)[: len(rows)])
        values: dict[str, float] = {}
        for k, row in enumerate(rows):
            values |= _filled(row, found[k][1], time) if k < len(found) else _unused(row)
        return values


def _filled(row: Row, obstacle: Obstacle, time: float) -> dict[str, float]:
    """The parameters of a row that holds an obstacle."""
    names = (row.x, row.y, row.z, row.vx, row.vy, row.vz)
    numbers = (*obstacle.at(time), *obstacle.velocity)
    named = {n: v for n, v in zip(names, numbers, strict=True) if n is not None}
    return {**named, row.radius: obstacle.radius}


def _unused(row: Row) -> dict[str, float]:
    """The parameters of a row that holds none; its radius stays the system's own."""
    rest = {name: 0.0 for name in (row.y, row.z, row.vx, row.vy, row.vz) if name is not None}
    return {row.x: FAR, **rest}
