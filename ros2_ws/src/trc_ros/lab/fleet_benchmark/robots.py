"""Simulated robots of a fleet, at the other end of its topics."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from trc_core.problem.system import System
from trc_ros.controller.outputs import RELIABLE
from trc_ros.controller.polled_subscription import PolledSubscription
from trc_ros.controller.states import QOS
from trc_ros.conversions import CommandFormat, JointStateWriter, command_reader


class Robots:
    """Moves N robots by their newest commands, and publishes their states at one rate.

    Args:
        system: every one of them.
        names: of the robots.
        period: of their states [s].
        seed: of the initial states.
    """

    def __init__(self, system: System, names: Sequence[str], period: float, seed: int) -> None:
        self._system, self._period = system, period
        rng = np.random.default_rng(seed)
        self._x = [system.sample(rng, 1)[0][0] for _ in names]
        self._u = [system.u_trim for _ in names]
        self._read = command_reader(CommandFormat(system))
        self._write = JointStateWriter(system)
        rclpy.init()
        self._node = node = rclpy.create_node('robots', namespace=f'/{system.name}')
        self._states = [node.create_publisher(JointState, f'{n}/state', RELIABLE) for n in names]
        self._commands = [
            PolledSubscription(node, Float64MultiArray, f'{n}/command', QOS) for n in names
        ]
        self._diagnostics = PolledSubscription(
            node, DiagnosticArray, '/diagnostics', QoSProfile(depth=1)
        )
        self.late = 0
        """Periods that this process itself took too long for."""

    def fly(self, seconds: float) -> None:
        """Flies for a while, in real time."""
        due = time.monotonic()
        end = due + seconds
        while due < end:
            stamp = self._node.get_clock().now().to_msg()
            for robot, topic in enumerate(self._commands):
                command = topic.newest()
                if command is not None:
                    self._u[robot] = self._read(command)
                self._x[robot] = self._system.step(self._x[robot], self._u[robot], self._period)
                self._states[robot].publish(self._write(self._x[robot], stamp))
            due += self._period
            now = time.monotonic()
            if now > due:
                self.late += 1
                due = now
            time.sleep(due - now)

    def connected(self) -> bool:
        """Whether the fleet listens to every robot."""
        return all(state.get_subscription_count() > 0 for state in self._states)

    def diagnostics(self) -> dict[str, dict[str, str]]:
        """The newest values of the fleet by status: of its loop, and of every robot."""
        news = self._diagnostics.newest()
        if news is None:
            return {}
        return {
            status.name.rpartition(': ')[2]: {v.key: v.value for v in status.values}
            for status in news.status
        }

    def close(self) -> None:
        """Ends the node."""
        self._node.destroy_node()
        rclpy.shutdown()
