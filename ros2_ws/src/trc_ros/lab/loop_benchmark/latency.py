"""Latency over DDS: when each message was sent, and when it arrived in this process."""

from __future__ import annotations

import array
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from rclpy.node import Node

from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.conversions import STATE_TYPES
from trc_ros.lab.recording import TOPICS, Recorder, status_values

STAMPED = ('state', 'controller/horizon')  # topics whose messages begin with a header
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


class LatencyRecorder(Recorder):
    """Records times while `is_measuring`, and of every topic only the newest message.

    Args:
        node: that listens.
        system: that the nodes control and simulate.
    """

    def __init__(self, node: Node, system: System) -> None:
        super().__init__(node, reliable=set(TOPICS) - {'state'})  # states as the controller does
        self.is_measuring = False
        self.times = {topic: Times() for topic in TOPICS}
        self.loop: Mapping[str, str] = {}
        """The newest values of `control_loop` in the diagnostics."""
        self.on_loop: Callable[[Mapping[str, str]], None] = lambda values: None
        """Called with those whenever they arrive."""
        self._read = STATE_TYPES['JointState'][1](system)

    def state(self) -> Array:
        """The newest state (n_x,)."""
        return self._read(self.newest('state'))

    def _take(self, topic: str, full_name: str, data: bytes, info: Mapping[str, int]) -> None:
        arrived = time.time_ns()
        if topic == 'state':
            # Received by DDS: the controller's loop takes states from there, and is not woken.
            arrived = info['received_timestamp']
        self._messages[topic] = [(info['source_timestamp'], data)]
        if self.is_measuring:
            stamp = stamp_of(data) if topic in STAMPED else 0
            self.times[topic].add(stamp, info['source_timestamp'], arrived)
        if topic == '/diagnostics':
            self._take_loop(status_values(self.newest(topic), 'control_loop'))

    def _take_loop(self, values: Mapping[str, str]) -> None:
        if values:
            self.loop = values
            self.on_loop(values)


def stamp_of(data: bytes) -> int:
    """The stamp [ns] in a serialised message that begins with a header."""
    seconds, nanoseconds = STAMP.unpack_from(data, STAMP_OFFSET)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def transit(times: Times) -> Array:
    """Time from sending to arrival (N,) [us]."""
    _, sent, arrived = times.columns()
    return (arrived - sent) * MICROSECONDS


def reaction(states: Times, commands: Times, horizons: Times) -> Array:
    """Time from the sending of a state to the arrival of its command (N,) [us].

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
