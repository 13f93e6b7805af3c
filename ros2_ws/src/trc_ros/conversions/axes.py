"""Axes of a joint message: the coordinates of a system behind every name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trc_core.systems import Joint, System


@dataclass(frozen=True)
class Axis:
    """Name in a joint message, and the coordinates of its position, velocity and effort."""

    name: str
    position: int | None
    velocity: int | None = None
    effort: int | None = None


def axes_of(system: System) -> tuple[Axis, ...]:
    """The joints, then the coordinates of no joint, under their own names, as positions."""
    used = {i for joint in system.joints for i in (joint.position, joint.velocity)}
    others = (Axis(n, i) for i, n in enumerate(system.state_names) if i not in used)
    return (*(Axis(*joint) for joint in system.joints), *others)


def joints_of(system: System) -> list[Joint]:
    """The joints that have a position."""
    return [joint for joint in system.joints if joint.position is not None]


def is_one_to_one(system: System) -> bool:
    """Whether every control drives a joint of its own."""
    driven = [joint.effort for joint in system.joints if joint.effort is not None]
    return sorted(driven) == list(range(system.n_u))


def actuators_of(system: System) -> list[str]:
    """Name of what every control drives: its joint, where both map one to one."""
    if not is_one_to_one(system):
        return list(system.control_names)
    driver = {joint.effort: joint.name for joint in system.joints}
    return [driver[j] for j in range(system.n_u)]


def indices(sources: Iterable[int | None]) -> list[tuple[int, int]]:
    """(place in the message, place in the vector) of every coordinate that exists."""
    return [(i, j) for i, j in enumerate(sources) if j is not None]
