"""Axes of a joint message: the coordinates of a system behind every name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from trc_core.systems import Joint, System


@dataclass(frozen=True)
class Axis:
    """Name in a joint message, and the coordinates of its position, velocity and effort."""

    name: str
    position: int | None
    velocity: int | None = None
    effort: int | None = None


def with_joint_names(system: System, texts: Iterable[str]) -> System:
    """The system with the names that a robot has for its joints.

    All messages of such a system, those that are read and those that are written, have the names
    of the robot.

    Args:
        system: the plant.
        texts: like 'slider=rail_joint', the name in the model first.

    Raises:
        ValueError: if a text has another form, if the model has no such joint, or if two joints
            would have the same name; the message lists the joints of the model.
    """
    known = [joint.name for joint in system.joints]
    names: dict[str, str] = {}
    for text in texts:
        model, separator, robot = (part.strip() for part in text.partition('='))
        if not (separator and model and robot):
            raise ValueError(f"joints holds '{text}'; write 'name in the model=name on the robot'")
        if model not in known:
            listed = f'choose from {known}' if known else 'it has none'
            raise ValueError(f"joints names '{model}', no joint of {system.name}; {listed}")
        if model in names:
            raise ValueError(f"joints names '{model}' twice; write one name for each of {known}")
        names[model] = robot
    if not names:
        return system
    given = [names.get(axis.name, axis.name) for axis in axes_of(system)]
    taken = sorted({name for name in given if given.count(name) > 1})
    if taken:
        raise ValueError(f'joints leaves two with the name {taken}; the model has {known}')
    joints = tuple(
        joint._replace(name=names.get(joint.name, joint.name)) for joint in system.joints
    )
    return replace(system, joints=joints)


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
