"""Flights from a recorded bag: what was measured, commanded and predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trc_core.problem.system import Array
from trc_core.systems import SYSTEMS, System

STATE, GOAL, COMMAND, HORIZON = 'state', 'goal', 'command', 'controller/horizon'
NANO = 1e-9
LARGEST = 64_000_000  # bytes of a message


@dataclass(frozen=True)
class Signal:
    """Values over time; each holds until the next."""

    times: Array
    """(N,) [s] since the first state."""
    values: Array
    """(N, n)."""


@dataclass(frozen=True)
class Prediction:
    """Plan as it was published."""

    start: float
    """Time of its first state [s]."""
    states: Array
    """(T + 1, n_x)."""


@dataclass(frozen=True)
class RecordedFlight:
    """Flight of one controller and its plant, from a bag."""

    name: str
    """The namespace of the topics, or the system's name."""
    system: System
    epoch: float
    """When the first state was measured, from where all times count [s since the epoch]."""
    states: Signal
    goals: Signal
    commands: Signal
    horizons: list[Prediction]


def read_bag(path: Path, system: System | None = None) -> list[RecordedFlight]:
    """Every flight of a bag that holds states, one per namespace.

    Args:
        path: the bag's folder, or an `.mcap` or `.db3` file.
        system: the plant; by default the shipped one with the joints of the messages.

    Raises:
        ValueError: if it is damaged, holds no states, or no system is known by their joints.
    """
    topics = _topics(path)
    spaces = sorted({place[0] for topic in topics if (place := _place(topic))})
    flights = [
        _flight(space, topics, system) for space in spaces if topics.get(f'{space}/{STATE}')
    ]
    if not flights:
        raise ValueError(f"'{path}' holds no topic named '{STATE}'")
    return flights


def _topics(path: Path) -> dict[str, list[tuple[float, Any]]]:
    """(time [s], message) of everything that is read, by topic."""
    topics = read_topics(path, lambda topic: _place(topic) is not None)
    return {
        topic: [(NANO * message.time, message.content()) for message in messages]
        for topic, messages in topics.items()
    }


@dataclass(frozen=True)
class Message:
    """Message of a bag."""

    time: int
    """When it was recorded [ns since the epoch]."""
    kind: str
    """Its type, like 'std_msgs/msg/String'."""
    data: bytes
    """As it was sent."""
    content: Callable[[], Any]
    """Makes an object with its fields.

    Raises:
        ValueError: if the bytes are not those of such a message.
    """


def read_topics(path: Path, wanted: Callable[[str], bool]) -> dict[str, list[Message]]:
    """The messages of a bag by topic, in the order of their times.

    Args:
        path: the bag's folder, or an `.mcap` or `.db3` file.
        wanted: whether a topic is to be read.

    Raises:
        ValueError: if it is damaged, or a message is longer than any that is used here.
    """
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    topics: dict[str, list[Message]] = {}
    store = get_typestore(Stores.ROS2_JAZZY)
    with _naming(path), AnyReader([path], default_typestore=store) as reader:
        connections = [c for c in reader.connections if wanted(c.topic)]
        for connection, time, data in reader.messages(connections=connections):
            if len(data) > LARGEST:
                raise ValueError(f'a message of {len(data):,} bytes on {connection.topic}')
            content = partial(_content, path, reader.typestore, data, connection.msgtype)
            message = Message(time, connection.msgtype, bytes(data), content)
            topics.setdefault(connection.topic, []).append(message)
    return topics


def _content(path: Path, types: Any, data: Any, kind: str) -> Any:
    with _naming(path):
        return types.deserialize_cdr(data, kind)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Makes one line that names the bag of whatever damaged bytes lead the library to raise."""
    try:
        yield
    except Exception as error:
        reason = str(error).partition('\n')[0]
        raise ValueError(f"'{path}' is no bag, or a crash cut it short: {reason}") from error


def _place(topic: str) -> tuple[str, str] | None:
    """(namespace, name) of a topic that is read."""
    for name in (STATE, GOAL, COMMAND, HORIZON):
        if topic.endswith(f'/{name}'):
            return topic.removesuffix(f'/{name}'), name
    return None


def _flight(
    space: str, topics: Mapping[str, list[tuple[float, Any]]], system: System | None
) -> RecordedFlight:
    messages = {
        name: topics.get(f'{space}/{name}', []) for name in (STATE, GOAL, COMMAND, HORIZON)
    }
    plant = system or _plant_of(space, messages[STATE][0][1])
    received, first = messages[STATE][0]
    zero = _stamped(received, first)
    commands = [(time - zero, message.data) for time, message in messages[COMMAND]]
    return RecordedFlight(
        space.strip('/') or plant.name,
        plant,
        zero,
        _signal(_states(plant, messages[STATE], zero), plant.n_x),
        _signal(_states(plant, messages[GOAL], zero), plant.n_x),
        _signal(commands, plant.n_u),
        [
            _prediction(plant, _stamped(time, m) - zero, m)
            for time, m in messages[HORIZON]
            if m.points
        ],
    )


def _plant_of(space: str, message: Any) -> System:
    """The shipped system with the joints of a message; the namespace decides between several."""
    joints = tuple(getattr(message, 'name', ()))
    fitting = [s for s in SYSTEMS.values() if tuple(j.name for j in s.joints) == joints]
    if not fitting:
        raise ValueError(f'no system is known by the joints {list(joints)}; name it with --system')
    return next((s for s in fitting if space.strip('/').endswith(s.name)), fitting[0])


def _states(
    system: System, messages: Iterable[tuple[float, Any]], zero: float
) -> Iterator[tuple[float, Array]]:
    for time, message in messages:
        x = _state(system, message)
        if len(x) == system.n_x and np.isfinite(x).all():
            yield _stamped(time, message) - zero, x


def _state(system: System, message: Any) -> Array:
    """X (n_x,) of a JointState, joint by joint, or of a Float64MultiArray as it is."""
    if hasattr(message, 'data'):
        return np.asarray(message.data, dtype=np.float64)
    rows = {name: i for i, name in enumerate(message.name)}
    positions = [message.position[rows[joint.name]] for joint in system.joints]
    velocities = [message.velocity[rows[joint.name]] for joint in system.joints]
    return _assembled(system, positions, velocities)


def _assembled(system: System, positions: Any, velocities: Any) -> Array:
    x = np.zeros(system.n_x)
    for joint, p, v in zip(system.joints, positions, velocities, strict=True):
        if joint.position is not None:
            x[joint.position] = p
        if joint.velocity is not None:
            x[joint.velocity] = v
    return x


def _stamped(time: float, message: Any) -> float:
    """The stamp of a message [s], or else when it was recorded."""
    if not hasattr(message, 'header'):
        return time
    stamp = message.header.stamp
    return (stamp.sec + NANO * stamp.nanosec) or time


def _signal(samples: Iterable[tuple[float, Any]], size: int) -> Signal:
    kept = list(samples)
    values = np.array([value for _, value in kept], dtype=np.float64).reshape(-1, size)
    return Signal(np.array([time for time, _ in kept], dtype=np.float64), values)


def _prediction(system: System, start: float, message: Any) -> Prediction:
    states = [_assembled(system, p.positions, p.velocities) for p in message.points]
    return Prediction(start, np.array(states))
