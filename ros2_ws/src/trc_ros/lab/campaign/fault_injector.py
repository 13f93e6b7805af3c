"""Fault injector on topics: another participant that publishes where it should not, or stops."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import LoggingSeverity
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.conversions import JointStateWriter, axes_of
from trc_ros.conversions.stamps import duration
from trc_ros.lab.campaign.contract import INJECTOR, goal_range
from trc_ros.lab.recording import FOREIGN_COMMAND

BURST = 0.001  # [s] between two bursts of messages, at least
BEHIND = 2e-4  # [s] from a state to the first message of another driver
OTHERS, SPACING = 8, 1e-3  # messages of that driver, and the time [s] from one to the next
LOOK_FOR_STOP = 0.05  # [s]
# A recorder that asks for reliable publishers does not hear it, the controller does.
UNRELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
FOREIGN_JOINTS = ('left_wheel', 'right_wheel')
SWING, SWING_TIME = 0.1, 2.0  # amplitude of a reference in widths of the box of goals, period [s]
AHEAD = (0.0, 0.1, 0.2)  # [s] the points of a reference

Message = Callable[[], Any]


class TopicFaultInjector:
    """Publishes in a thread, as a DDS participant of its own: types of a topic clash within one.

    It is silent until it is started.

    Args:
        system: whose namespace it enters.
        kind: a key of `KINDS`.
        topic: relative to that namespace.
        rate: messages per second; None for a few after every state.
        value: what the messages of the kind are about.
    """

    def __init__(
        self, system: System, kind: str, topic: str, rate: float | None, value: Array
    ) -> None:
        self.latest: Any = None
        """The message that was published last."""
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node(INJECTOR, namespace=system.name, context=self._context)
        # That some do not hear it is intended, and no news for a terminal.
        self._node.get_logger().set_level(LoggingSeverity.ERROR)
        message_type, make = KINDS[kind]
        qos = UNRELIABLE if topic == 'state' else RELIABLE
        self._publisher = self._node.create_publisher(message_type, topic, qos)
        self._make = make(self._node, system, value)
        self._own_names = {axis.name for axis in axes_of(system)}
        self._rate = rate
        self._stopping = threading.Event()
        self._began, self._sent = math.inf, 0
        run = self._follow if rate is None else self._publish
        self._thread = threading.Thread(target=run, name=INJECTOR, daemon=True)

    @property
    def is_heard(self) -> bool:
        """Whether somebody has found its publisher."""
        return self._publisher.get_subscription_count() > 0

    def start(self) -> None:
        """Begins to publish."""
        self._began = time.monotonic()
        self._thread.start()

    def stop(self) -> float:
        """Ends it; returns how many messages it published per second."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)
        return self._sent / (time.monotonic() - self._began)

    def _publish(self) -> None:
        """Publishes at the rate."""
        assert self._rate is not None
        while not self._stopping.wait(max(BURST, 1.0 / self._rate)):
            self.latest = self._make()
            due = int(self._rate * (time.monotonic() - self._began))
            while self._sent < due and not self._stopping.is_set():
                self._publisher.publish(self.latest)
                self._sent += 1

    def _follow(self) -> None:
        """Publishes behind every state of the plant, so that it is the newest hardly ever."""
        self._node.create_subscription(JointState, 'state', self._answer, UNRELIABLE)
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(self._node)
        while not self._stopping.is_set():
            executor.spin_once(timeout_sec=LOOK_FOR_STOP)
        executor.shutdown()

    def _answer(self, state: JointState) -> None:
        if self._own_names & set(state.name):  # it hears itself as well
            for pause in (BEHIND, *(OTHERS - 1) * (SPACING,)):
                time.sleep(pause)
                self.latest = self._make()
                self._publisher.publish(self.latest)
                self._sent += 1


def wrong_type(node: Node, system: System, x: Array) -> Message:
    """The state x (n_x,) in another type than JointState."""
    return lambda: Float64MultiArray(data=x.tolist())


def flood(node: Node, system: System, x: Array) -> Message:
    """A valid state x (n_x,), newly stamped."""
    write = JointStateWriter(system)
    return lambda: write(x, node.get_clock().now().to_msg())


def other_joints(node: Node, system: System, x: Array) -> Message:
    """Joints that are not the system's, newly stamped; whatever x is."""
    zeros = [0.0] * len(FOREIGN_JOINTS)

    def make() -> JointState:
        message = JointState(name=FOREIGN_JOINTS, position=zeros, velocity=zeros)
        message.header.stamp = node.get_clock().now().to_msg()
        return message

    return make


def foreign_command(node: Node, system: System, control: Array) -> Message:
    """One control (n_u,), labelled for the recorder."""
    message = Float64MultiArray(data=control.tolist())
    message.layout.dim = [MultiArrayDimension(label=FOREIGN_COMMAND)]
    return lambda: message


def moving_reference(node: Node, system: System, goal: Array) -> Message:
    """The next moments of a swing of the first state around goal (n_x,)."""
    names = [axis.name for axis in axes_of(system)]
    places = [axis.position for axis in axes_of(system)]
    amplitude, began = SWING * goal_range(system)[0], time.monotonic()

    def point(seconds: float) -> JointTrajectoryPoint:
        x = goal.copy()
        phase = 2.0 * math.pi * (time.monotonic() - began + seconds) / SWING_TIME
        x[0] += amplitude * math.sin(phase)
        positions = [0.0 if i is None else float(x[i]) for i in places]
        return JointTrajectoryPoint(positions=positions, time_from_start=duration(seconds))

    return lambda: JointTrajectory(joint_names=names, points=[point(t) for t in AHEAD])


KINDS: dict[str, tuple[type, Callable[[Node, System, Array], Message]]] = {
    'wrong_type': (Float64MultiArray, wrong_type),
    'flood': (JointState, flood),
    'other_joints': (JointState, other_joints),
    'foreign_command': (Float64MultiArray, foreign_command),
    'moving_reference': (JointTrajectory, moving_reference),
}
"""For every kind: the message type and what makes the messages."""
