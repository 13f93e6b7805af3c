"""Polled subscription: its newest message is taken when it is needed, without an executor.

To wake an executor for every message would cost more than a plan.
"""

from __future__ import annotations

import time
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile

from trc_ros.qos import CHOICES, SUBSCRIPTION, qos_of


class UnspunCallbackGroup(CallbackGroup):
    """Callback group that no executor waits for."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


class PolledSubscription:
    """Subscribes without a callback: a flood of messages costs no more than one.

    Args:
        node: owns it.
        kind: type of the messages.
        topic: its name.
        qos: of depth 1, so that only the newest message is kept; overrides leave the depth.
    """

    def __init__(self, node: Node, kind: type, topic: str, qos: QoSProfile) -> None:
        self._node = node
        self._subscription = node.create_subscription(
            kind,
            topic,
            lambda message: None,
            qos_of(node, SUBSCRIPTION, topic, qos, CHOICES),
            callback_group=UnspunCallbackGroup(),
        )
        self._wait_set = rclpy_implementation.WaitSet(1, 0, 0, 0, 0, 0, node.context.handle)

    def wait(self, seconds: float) -> bool:
        """Whether there is a new message, at once or within so many seconds."""
        with self._subscription.handle:
            self._wait_set.clear_entities()
            self._wait_set.add_subscription(self._subscription.handle)
            self._wait_set.wait(max(0, round(1e9 * seconds)))
            return bool(self._wait_set.get_ready_entities('subscription'))

    def newest(self) -> tuple[Any, float] | None:
        """The newest message and the seconds since it arrived; None if there is no new one."""
        subscription = self._subscription
        with subscription.handle:
            taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
        if taken is None:
            return None
        message, info = taken
        received = info['received_timestamp']  # by the wall clock; 0 where DDS does not say
        return message, max(0.0, 1e-9 * (time.time_ns() - received)) if received else 0.0

    def close(self) -> None:
        """Ends the subscription."""
        self._node.destroy_subscription(self._subscription)
