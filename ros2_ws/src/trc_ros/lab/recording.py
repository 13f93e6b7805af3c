"""Recording of topics: every message as it came, in memory and optionally into a bag."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.conversions import STATE_TYPES, RejectedInput, axes_of, seconds_of

TOPICS: dict[str, type] = {
    'state': JointState,
    'goal': JointState,
    'command': Float64MultiArray,
    'controller/horizon': JointTrajectory,
    '/diagnostics': DiagnosticArray,
}
DEPTH = 1000  # messages that may wait
BEST_EFFORT = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE)

FOREIGN_COMMAND = 'foreign'  # label of commands that are none of the controller's

Keep = Callable[[str, type, int, bytes], None]  # topic, type, time [ns since the epoch], message


class Recorder:
    """Keeps the serialised messages of `TOPICS`, names relative to the node, as they are sent.

    Args:
        node: that listens.
        keep: also given every message, under the full name of its topic.
        reliable: topics of which no message is lost, and only reliable publishers are heard.
    """

    def __init__(
        self, node: Node, keep: Keep | None = None, reliable: Collection[str] = ()
    ) -> None:
        self._keep = keep
        self._messages: dict[str, list[tuple[int, bytes]]] = {topic: [] for topic in TOPICS}
        for topic, kind in TOPICS.items():
            take = functools.partial(self._take, topic, node.resolve_topic_name(topic))
            qos = RELIABLE if topic in reliable else BEST_EFFORT
            # rclpy counts the arguments of a callback: two of them ask for the time of sending.
            node.create_subscription(
                kind, topic, lambda data, info, take=take: take(data, info), qos, raw=True
            )

    def _take(self, topic: str, full_name: str, data: bytes, info: Mapping[str, int]) -> None:
        time = info['source_timestamp']
        self._messages[topic].append((time, data))
        if self._keep is not None:
            self._keep(full_name, TOPICS[topic], time, data)

    def hears(self, *topics: str) -> bool:
        """Whether each of these topics has sent something already."""
        return all(self._messages[topic] for topic in topics)

    def forget(self) -> None:
        """Starts over."""
        for messages in self._messages.values():
            messages.clear()

    def read(self, topic: str) -> list[tuple[float, Any]]:
        """(time of sending [s since the epoch], message) of a topic, oldest first."""
        return [self._decoded(topic, *item) for item in self._messages[topic]]

    def newest(self, topic: str, since: float = 0.0) -> Any:
        """The last message, None if none was sent since then [s since the epoch]."""
        if not self._messages[topic]:
            return None
        time, message = self._decoded(topic, *self._messages[topic][-1])
        return message if time >= since else None

    def first(self, topic: str, since: float) -> float | None:
        """Time at which a message was first sent since then, both [s since the epoch], or None."""
        return next((1e-9 * t for t, _ in self._messages[topic] if 1e-9 * t >= since), None)

    @staticmethod
    def _decoded(topic: str, time: int, data: bytes) -> tuple[float, Any]:
        return 1e-9 * time, deserialize_message(data, TOPICS[topic])


@dataclass(frozen=True)
class Samples:
    """A signal over time."""

    times: Array  # (N,) [s]
    values: Array  # (N, n)

    def between(self, start: float, end: float) -> Samples:
        """The samples with start <= time < end."""
        inside = (self.times >= start) & (self.times < end)
        return Samples(self.times[inside], self.values[inside])


def read_states(recorder: Recorder, system: System) -> Samples:
    """The valid states published by the plant, at their own stamps."""
    read = STATE_TYPES['JointState'][1](system)
    times, states = [], []
    for _, message in recorder.read('state'):
        with contextlib.suppress(RejectedInput):
            states.append(read(message))
            times.append(seconds_of(message.header.stamp))
    return Samples(np.array(times), np.array(states).reshape(-1, system.n_x))


def read_commands(recorder: Recorder, system: System) -> Samples:
    """The controls sent to the plant by its controller."""
    # rclpy does not say who sent a message: commands of others are labelled.
    messages = [(t, m) for t, m in recorder.read('command') if not is_foreign(m)]
    values = np.array([m.data for _, m in messages], dtype=np.float64)
    return Samples(np.array([time for time, _ in messages]), values.reshape(-1, system.n_u))


def is_foreign(command: Float64MultiArray) -> bool:
    """Whether a command is labelled as one that does not come from the controller."""
    return any(dimension.label == FOREIGN_COMMAND for dimension in command.layout.dim)


def mean_controls(system: System, commands: Samples, instants: Array) -> Array:
    """(T, n_u) means between the T + 1 instants of commands that are held until the next one."""
    # u_trim until the first command; the integral of a held signal is piecewise linear.
    times = np.concatenate([[min(instants[0], commands.times[0])], commands.times, [instants[-1]]])
    times = np.maximum.accumulate(times)
    values = np.concatenate([system.u_trim[None], commands.values])
    steps = values * np.diff(times)[:, None]
    integral = np.concatenate([np.zeros((1, system.n_u)), np.cumsum(steps, 0)])
    at = np.stack([np.interp(instants, times, column) for column in integral.T], -1)
    return np.diff(at, axis=0) / np.diff(instants)[:, None]


@dataclass(frozen=True)
class Horizon:
    """Plan as it was published; times in seconds since the epoch."""

    sent: float
    start: float
    """When the state that it starts from was measured."""
    states: Array  # (T + 1, n_x)
    controls: Array  # (T, n_u); empty where controls and joints do not map one to one


def read_horizons(recorder: Recorder, system: System) -> list[Horizon]:
    """Every plan of the controller."""
    axes = axes_of(system)
    horizons = []
    for sent, message in recorder.read('controller/horizon'):
        points = message.points
        x, u = np.zeros((len(points), system.n_x)), np.zeros((len(points) - 1, system.n_u))
        for i, axis in enumerate(axes):
            if axis.position is not None:
                x[:, axis.position] = [point.positions[i] for point in points]
            if axis.velocity is not None:
                x[:, axis.velocity] = [point.velocities[i] for point in points]
            if axis.effort is not None and points[0].effort:
                u[:, axis.effort] = [point.effort[i] for point in points[:-1]]
        controls = u if points[0].effort else u[:0]
        horizons.append(Horizon(sent, seconds_of(message.header.stamp), x, controls))
    return horizons


def status_values(message: DiagnosticArray, part: str) -> dict[str, str]:
    """Values in diagnostics of one part of the controller; empty if there are none."""
    for status in message.status:
        if status.name.endswith(f'controller: {part}'):
            return {item.key: item.value for item in status.values}
    return {}


def read_loop_statistics(recorder: Recorder) -> dict[str, float]:
    """Loop statistics in the last diagnostics of the controller."""
    statistics: dict[str, float] = {}
    for _, message in recorder.read('/diagnostics'):
        values = status_values(message, 'control_loop')
        statistics = {key: float(value) for key, value in values.items()} or statistics
    return statistics


@dataclass(frozen=True)
class Diagnosis:
    """What a controller said of itself in one message on `/diagnostics`."""

    time: float
    """Of sending [s since the epoch]."""
    state: str
    """Of the safety monitor."""
    level: int = 0
    """Of the status `safety`: 0 ok, 1 warning, 2 error."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Of the statuses `inputs` and `safety`."""


def diagnosis_of(time: float, message: DiagnosticArray) -> Diagnosis | None:
    """The diagnosis in a message; None if the controller says nothing of its safety there."""
    safety = status_values(message, 'safety')
    if 'state' not in safety:
        return None
    (level,) = (ord(s.level) for s in message.status if s.name.endswith('controller: safety'))
    return Diagnosis(time, safety['state'], level, {**status_values(message, 'inputs'), **safety})


def read_diagnoses(recorder: Recorder) -> list[Diagnosis]:
    """Every diagnosis of the controller, oldest first."""
    found = (diagnosis_of(time, message) for time, message in recorder.read('/diagnostics'))
    return [diagnosis for diagnosis in found if diagnosis is not None]
