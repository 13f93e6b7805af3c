"""What can be seen of a controller while `configure` loads and compiles it."""

from __future__ import annotations

import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from trc_core import Controller
from trc_ros.controller import diagnostics
from trc_ros.controller.outputs import RELIABLE
from trc_ros.conversions import Status, diagnostic_array
from trc_ros.qos import PUBLISHER, qos_of

PROGRESS_PERIOD = 10.0  # [s] between two lines about the compiler


class Preparation:
    """Shows in diagnostics and in the log how far `configure` is, until it is closed.

    Args:
        node: owns the publisher and the timer.
        values: the parameters of the node by name.
    """

    def __init__(self, node: Node, values: dict[str, Any]) -> None:
        self.values = values
        self._node = node
        self._began = self._logged = time.monotonic()
        self.controller: Controller | None = None
        """The controller that is being compiled, once it is loaded; set by the thread."""
        self._missing = 0
        qos = qos_of(node, PUBLISHER, '/diagnostics', RELIABLE)
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', qos)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(values['diagnostics.period'], self._show, clock=steady)
        self._show()

    def close(self) -> None:
        """Ends the diagnostics: those of the flight follow."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def _show(self) -> None:
        node, now = self._node, time.monotonic()
        progress = self._progress(now - self._began)
        if progress and now - self._logged > PROGRESS_PERIOD:
            node.get_logger().info(progress)
            self._logged = now
        message = f'configuring: {progress or "loading the model and timing plans"}'
        values = {'system': self.values['system'], 'model': self.values['model_path']}
        statuses = (Status('model', diagnostics.OK, message, values), diagnostics.INACTIVE)
        name, stamp = node.get_fully_qualified_name(), node.get_clock().now().to_msg()
        self._publisher.publish(diagnostic_array(statuses, name, stamp))

    def _progress(self, seconds: float) -> str:
        """A line about the compiler; empty while it has nothing to do."""
        left = () if self.controller is None else self.controller.uncompiled
        if not left:
            return ''
        self._missing = max(self._missing, len(left))
        done = self._missing - len(left)
        return f'compiling kernels: {done} of {self._missing} after {seconds:.0f} s'
