"""Records topics: every message as it came, into a bag and into memory."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from trc_core.systems import System
from trc_core.systems.base import Array
from trc_ros.conversions import STATE_TYPES, axes_of

TOPICS: dict[str, type] = {
    'state': JointState,
    'goal': JointState,
    'command': Float64MultiArray,
    'controller/horizon': JointTrajectory,
    '/diagnostics': DiagnosticArray,
}
EVERYTHING = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)


class Bag:
    """An MCAP bag under construction."""

    def __init__(self, path: Path) -> None:
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._typestore = get_typestore(Stores.ROS2_JAZZY)
        self._connections: dict[str, Any] = {}
        self._writer.open()

    def write(self, topic: str, kind: type, time: int, data: bytes) -> None:
        """Appends one serialised message; `time` in nanoseconds since the epoch."""
        if topic not in self._connections:
            name = f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'
            self._connections[topic] = self._writer.add_connection(
                topic, name, typestore=self._typestore
            )
        self._writer.write(self._connections[topic], time, data)

    def close(self) -> None:
        """Completes the bag."""
        self._writer.close()


open_bag = Bag


class Recorder:
    """Keeps the serialised messages of `TOPICS`, names relative to the node, as they are sent."""

    def __init__(self, node: Node, bag: Bag | None) -> None:
        self._bag = bag
        self._messages: dict[str, list[tuple[int, bytes]]] = {topic: [] for topic in TOPICS}
        for topic, kind in TOPICS.items():
            take = functools.partial(self._take, topic, node.resolve_topic_name(topic))
            # rclpy counts the arguments of a callback: two of them ask for the time of sending.
            node.create_subscription(
                kind, topic, lambda data, info, take=take: take(data, info), EVERYTHING, raw=True
            )

    def _take(self, topic: str, full_name: str, data: bytes, info: Mapping[str, int]) -> None:
        time = info['source_timestamp']
        self._messages[topic].append((time, data))
        if self._bag is not None:
            self._bag.write(full_name, TOPICS[topic], time, data)

    def hears(self, *topics: str) -> bool:
        """Whether each of these topics has sent something already."""
        return all(self._messages[topic] for topic in topics)

    def read(self, topic: str) -> list[tuple[float, Any]]:
        """(time of sending [s since the epoch], message) of a topic, oldest first."""
        return [
            (1e-9 * time, deserialize_message(data, TOPICS[topic]))
            for time, data in self._messages[topic]
        ]


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
    """The states published by the plant, at their own stamps."""
    read = STATE_TYPES['JointState'][1](system)
    messages = [message for _, message in recorder.read('state')]
    stamps = [m.header.stamp.sec + 1e-9 * m.header.stamp.nanosec for m in messages]
    return Samples(np.array(stamps), np.array([read(message) for message in messages]))


def read_commands(recorder: Recorder) -> Samples:
    """The controls sent to the plant."""
    messages = recorder.read('command')
    return Samples(
        np.array([time for time, _ in messages]), np.array([m.data for _, m in messages])
    )


@dataclass(frozen=True)
class Horizon:
    """A plan as it was published."""

    start: float
    """When the state that it starts from was measured [s]."""
    states: Array  # (T + 1, n_x)
    controls: Array  # (T, n_u); empty where controls and joints do not map one to one


def read_horizons(recorder: Recorder, system: System) -> list[Horizon]:
    """Every plan of the controller."""
    axes = axes_of(system)
    horizons = []
    for _, message in recorder.read('controller/horizon'):
        start = message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
        points = message.points
        x, u = np.zeros((len(points), system.n_x)), np.zeros((len(points) - 1, system.n_u))
        for i, axis in enumerate(axes):
            if axis.position is not None:
                x[:, axis.position] = [point.positions[i] for point in points]
            if axis.velocity is not None:
                x[:, axis.velocity] = [point.velocities[i] for point in points]
            if axis.effort is not None and points[0].effort:
                u[:, axis.effort] = [point.effort[i] for point in points[:-1]]
        horizons.append(Horizon(start, x, u if points[0].effort else u[:0]))
    return horizons


def read_loop_statistics(recorder: Recorder) -> dict[str, float]:
    """What the controller's last diagnostics say of its loop."""
    statistics: dict[str, float] = {}
    for _, message in recorder.read('/diagnostics'):
        for status in message.status:
            if status.name.endswith('controller: control_loop'):
                statistics = {item.key: float(item.value) for item in status.values}
    return statistics
