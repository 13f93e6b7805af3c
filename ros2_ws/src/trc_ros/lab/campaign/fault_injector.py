"""Fault injector on topics: publishes messages of a wrong type, or far too many."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.conversions import JointStateWriter

BURST = 0.001  # [s] between two bursts of messages, at least
# A recorder that asks for reliable publishers does not hear it, the controller does.
UNRELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)

Message = Callable[[], Any]


class TopicFaultInjector:
    """Publishes in a thread, as a DDS participant of its own: types of a topic clash within one.

    Args:
        system: whose namespace it enters.
        kind: a key of `KINDS`.
        topic: relative to that namespace.
        rate: messages per second.
        x: a valid state (n_x,).
    """

    def __init__(self, system: System, kind: str, topic: str, rate: float, x: Array) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node('fault_injector', namespace=system.name, context=self._context)
        message_type, make = KINDS[kind]
        qos = UNRELIABLE if topic == 'state' else 1
        self._publisher = self._node.create_publisher(message_type, topic, qos)
        self._make = make(self._node, system, x)
        self._rate = rate
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._publish, name='fault_injector', daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Ends it; returns how many messages it published per second."""
        self._stopping.set()
        self._thread.join()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)
        return self._sent / (time.monotonic() - self._began)

    def _publish(self) -> None:
        self._began, self._sent = time.monotonic(), 0
        while not self._stopping.wait(max(BURST, 1.0 / self._rate)):
            message = self._make()
            due = int(self._rate * (time.monotonic() - self._began))
            while self._sent < due and not self._stopping.is_set():
                self._publisher.publish(message)
                self._sent += 1


def wrong_type(node: Node, system: System, x: Array) -> Message:
    """The state in another type than JointState."""
    return lambda: Float64MultiArray(data=x.tolist())


def flood(node: Node, system: System, x: Array) -> Message:
    """A valid state, newly stamped."""
    write = JointStateWriter(system)
    return lambda: write(x, node.get_clock().now().to_msg())


KINDS: dict[str, tuple[type, Callable[[Node, System, Array], Message]]] = {
    'wrong_type': (Float64MultiArray, wrong_type),
    'flood': (JointState, flood),
}
"""For every kind: the message type and what makes the messages."""
