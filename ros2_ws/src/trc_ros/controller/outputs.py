"""Outputs of a controller; all messages but commands are made for subscribers only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from builtin_interfaces.msg import Time
from nav_msgs.msg import Path
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from trc_core import System
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array
from trc_ros.controller.live_settings import LiveSettings
from trc_ros.conversions import (
    CommandFormat,
    ControlHorizonWriter,
    HorizonWriter,
    JointTrajectoryWriter,
    MarkersWriter,
    PathWriter,
    Placement,
    StampedCommandWriter,
    command_writer,
    is_one_to_one,
)
from trc_ros.qos import PUBLISHER, qos_of

RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
DELIVERY_TIME = Duration(seconds=0.2)  # for the final command


class Output:
    """Publishes one topic, whose messages are made for subscribers only.

    Args:
        node: owns the topic.
        kind: the message type.
        name: of the topic.
        write: makes a message from what the output is called with.
    """

    def __init__(self, node: Node, kind: type, name: str, write: Callable[..., Any]) -> None:
        self.publisher = node.create_publisher(kind, name, qos_of(node, PUBLISHER, name, RELIABLE))
        self._write = write

    def __call__(self, *content: Any) -> None:
        """Publishes, if there is a subscriber."""
        if self.publisher.get_subscription_count():
            self.publisher.publish(self._write(*content))


class Outputs:
    """Publishes the commands and plans of a flight.

    Args:
        node: owns them.
        system: whose controls and plans are published.
        values: the parameters of the node by name.

    Raises:
        ValueError: if `pose_axes` or the format of commands does not fit the system.
    """

    def __init__(self, node: Node, system: System, values: dict[str, Any]) -> None:
        frame_id, stops = values['frame_id'], values['zero_final_velocity']
        placement = Placement(tuple(values['pose_axes']), frame_id)
        path, markers = PathWriter(system, placement), MarkersWriter(system, placement)
        stamped, clock = StampedCommandWriter(system, frame_id), node.get_clock()
        form, period = CommandFormat.of(values, system), 1.0 / values['controller_frequency']
        self._node = node
        self._opened: list[Output] = []
        self._write_command = command_writer(form, lambda: clock.now().to_msg(), period)
        self._command_kind = form.kind
        self._command_qos = qos_of(node, PUBLISHER, 'command', RELIABLE)
        self._command: Any = None  # while the controller is active only
        self._stamped = self._open('command_stamped', lambda u: stamped(u, clock.now().to_msg()))
        self._horizons = [self._open('horizon', HorizonWriter(system, frame_id))]
        if not is_one_to_one(system):
            controls = ControlHorizonWriter(system, frame_id)
            self._horizons.append(self._open('control_horizon', controls))
        joints = JointTrajectoryWriter(system, stops, frame_id)
        self._joint_trajectory = self._open('joint_trajectory_command', joints)
        self._path = self._open('predicted_path', path, Path)
        self._markers = self._open('markers', markers, MarkerArray)

    def _open(self, name: str, write: Callable[..., Any], kind: type = JointTrajectory) -> Output:
        self._opened.append(Output(self._node, kind, f'~/{name}', write))
        return self._opened[-1]

    def open_command(self) -> None:
        """Opens the topic of the commands: who publishes it moves the plant."""
        qos = self._command_qos
        self._command = self._node.create_publisher(self._command_kind, 'command', qos)

    def close_command(self) -> None:
        """Closes the topic of the commands."""
        command, self._command = self._command, None
        if command is not None:
            self._node.destroy_publisher(command)

    def send_command(self, control: Array) -> None:
        """Publishes a control (n_u,), which holds from now on."""
        self._command.publish(self._write_command(control))
        self._stamped(control)

    def send_plan(self, plan: Plan, stamp: Time, goal: Array, live: LiveSettings) -> None:
        """Publishes a plan from a state measured at `stamp` to goal (n_x,)."""
        if live.publish_horizon:
            for horizon in self._horizons:
                horizon(plan, stamp)
        if live.publish_joint_trajectory:
            self._joint_trajectory(plan, stamp)
        self._path(plan, stamp)
        self._markers(plan, stamp, goal)

    def wait_until_delivered(self) -> None:
        """Waits for a moment until every subscriber has the final command."""
        self._command.wait_for_all_acked(DELIVERY_TIME)

    def close(self) -> None:
        """Closes the topics."""
        self.close_command()
        for output in self._opened:
            self._node.destroy_publisher(output.publisher)
