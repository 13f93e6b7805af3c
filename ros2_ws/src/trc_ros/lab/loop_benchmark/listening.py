"""The far end of the topics, with a clock: when a message was sent, and when it arrived here."""

from __future__ import annotations

import array
import struct
import time
from collections.abc import Callable, Mapping
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
from trc_ros.conversions import STATE_TYPES
from trc_ros.lab.recording import status_values

BEST_EFFORT = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
STAMP = struct.Struct('<iI')  # header.stamp, the first field of a serialised message ...
STAMP_OFFSET = 4  # ... behind the four bytes that announce the encoding
MICROSECONDS = 1e-3  # per nanosecond


class Times:
    """Stamps, times of sending and of arrival [ns since the epoch] of the messages of a topic."""

    def __init__(self) -> None:
        self._columns = tuple(array.array('q') for _ in range(3))

    def add(self, stamp: int, sent: int, arrived: int) -> None:
        """Appends a message."""
        for column, value in zip(self._columns, (stamp, sent, arrived), strict=True):
            column.append(value)

    def columns(self) -> tuple[Array, Array, Array]:
        """Stamps, times of sending, times of arrival, each (N,)."""
        stamps, sent, arrived = (np.array(column, dtype=np.int64) for column in self._columns)
        return stamps, sent, arrived


class Listener:
    """Hears a controller and its plant; keeps times while `keeps` is set, and the newest state.

    Args:
        node: in their namespace.
        system: that they control.
        on_diagnostics: called with the values of `control_loop` whenever they arrive.
    """

    def __init__(
        self, node: Node, system: System, on_diagnostics: Callable[[Mapping[str, str]], None]
    ) -> None:
        self.keeps = False
        self.loop: Mapping[str, str] = {}
        """The newest values of `control_loop`."""
        self.states, self.commands, self.horizons = Times(), Times(), Times()
        self._state: bytes | None = None
        self._commanded = False
        self._read = STATE_TYPES['JointState'][1](system)
        self._on_diagnostics = on_diagnostics
        subscribe = node.create_subscription
        # rclpy counts the arguments of a callback: two of them ask for the time of sending.
        subscribe(JointState, 'state', lambda d, i: self._on_state(d, i), BEST_EFFORT, raw=True)
        subscribe(
            Float64MultiArray, 'command', lambda d, i: self._on_command(i), RELIABLE, raw=True
        )
        subscribe(
            JointTrajectory,
            'controller/horizon',
            self._on_horizon,
            RELIABLE,
            raw=True,
        )
        subscribe(DiagnosticArray, '/diagnostics', self._on_status, RELIABLE)
        # The far end counts as connected when somebody else hears its goals, too.
        subscribe(JointState, 'goal', lambda message: None, RELIABLE)

    def is_flying(self) -> bool:
        """Whether everything has been heard at least once."""
        return self._state is not None and self._commanded and bool(self.loop)

    def state(self) -> Array:
        """The newest state (n_x,)."""
        return self._read(deserialize_message(self._state, JointState))

    def _on_state(self, data: bytes, info: Mapping[str, int]) -> None:
        self._state = data
        # Received by DDS: the controller's loop takes states from there, and is not woken.
        self._keep(self.states, stamp_of(data), info, info['received_timestamp'])

    def _on_command(self, info: Mapping[str, int]) -> None:
        self._commanded = True
        self._keep(self.commands, 0, info, time.time_ns())

    def _on_horizon(self, data: bytes, info: Mapping[str, int]) -> None:
        self._keep(self.horizons, stamp_of(data), info, time.time_ns())

    def _keep(self, times: Times, stamp: int, info: Mapping[str, int], arrived: int) -> None:
        if self.keeps:
            times.add(stamp, info['source_timestamp'], arrived)

    def _on_status(self, message: DiagnosticArray) -> None:
        values = status_values(message, 'control_loop')
        if values:
            self.loop = values
            self._on_diagnostics(values)


def stamp_of(data: bytes) -> int:
    """The stamp [ns] in a serialised message that begins with a header."""
    seconds, nanoseconds = STAMP.unpack_from(data, STAMP_OFFSET)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def transit(times: Times) -> Array:
    """From sending to arrival (N,) [us]."""
    _, sent, arrived = times.columns()
    return (arrived - sent) * MICROSECONDS


def reaction(states: Times, commands: Times, horizons: Times) -> Array:
    """From the sending of a state to the arrival of the command that answers it (N,) [us].

    A horizon carries the stamp of the state that it starts from, and is sent right after the
    command of the same cycle.
    """
    stamps, state_sent, _ = states.columns()
    _, command_sent, command_arrived = commands.columns()
    used, horizon_sent, _ = horizons.columns()
    if not (len(stamps) and len(command_sent) and len(used)):
        return np.zeros(0)
    order = np.argsort(stamps)
    place = np.minimum(np.searchsorted(stamps, used, sorter=order), len(stamps) - 1)
    state = order[place]
    command = np.searchsorted(command_sent, horizon_sent, side='right') - 1
    known = (stamps[state] == used) & (command >= 0)
    return (command_arrived[command] - state_sent[state])[known] * MICROSECONDS


def spread(values: Array) -> dict[str, Any]:
    """Percentiles, the maximum and the number of values."""
    if not len(values):
        return {'count': 0}
    p50, p99 = np.percentile(values, (50, 99))
    return {'p50': float(p50), 'p99': float(p99), 'max': float(values.max()), 'count': len(values)}
