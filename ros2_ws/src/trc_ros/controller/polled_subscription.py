"""Polled subscription: its messages are taken when they are needed, without an executor.

To wake an executor for every message would cost more than a plan.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from rclpy._rclpy_pybind11 import RMWError
from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile

from trc_ros.conversions import RejectedInput, deserializer
from trc_ros.qos import CHOICES, SUBSCRIPTION, qos_of


class UnspunCallbackGroup(CallbackGroup):
    """Callback group that no executor waits for."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


class Arrival(NamedTuple):
    """A message as it came: to read one takes five times as long as to take it."""

    content: bytes
    waited: float
    """Seconds since it came; 0 where the middleware does not say."""
    topic: int = 0
    """The number of its subscription, where several are polled together."""


class PolledSubscription:
    """Subscribes without a callback: what a flood of messages costs is limited by the depth.

    Args:
        node: owns it.
        kind: type of the messages.
        topic: its name.
        qos: with the depth, the number of newest messages that are kept; overrides leave it.
    """

    def __init__(self, node: Node, kind: type, topic: str, qos: QoSProfile) -> None:
        self._node = node
        self._kind = kind
        self._depth = qos.depth
        self._deserialize = deserializer(kind)
        self._subscription = node.create_subscription(
            kind,
            topic,
            lambda message: None,
            qos_of(node, SUBSCRIPTION, topic, qos, CHOICES),
            callback_group=UnspunCallbackGroup(),
        )
        self._wait_set = rclpy_implementation.WaitSet(1, 0, 0, 0, 0, 0, node.context.handle)

    @property
    def handle(self) -> Any:
        """Of the subscription in the middleware."""
        return self._subscription.handle

    def wait(self, seconds: float) -> bool:
        """Whether there is a new message, at once or within so many seconds."""
        with self._subscription.handle:
            self._wait_set.clear_entities()
            self._wait_set.add_subscription(self._subscription.handle)
            self._wait_set.wait(max(0, round(1e9 * seconds)))
            return bool(self._wait_set.get_ready_entities('subscription'))

    def take(self) -> list[Arrival]:
        """The messages that have come since the last time, the newest last; at most the depth."""
        arrivals, subscription = [], self._subscription
        with subscription.handle:
            # A flood may fill the queue while it is emptied.
            for _ in range(self._depth):
                taken = subscription.handle.take_message(self._kind, True)
                if taken is None:
                    break
                content, info = taken
                received = info['received_timestamp']  # by the wall clock
                waited = max(0.0, 1e-9 * (time.time_ns() - received)) if received else 0.0
                arrivals.append(Arrival(content, waited))
        return arrivals

    def read(self, arrival: Arrival) -> Any:
        """The message of an arrival.

        Raises:
            RejectedInput: if it is none.
        """
        try:
            return self._deserialize(arrival.content)
        except RMWError as error:
            detail = f'{len(arrival.content)} bytes: {error}'
            raise RejectedInput('unreadable', detail) from None

    def newest(self) -> Any:
        """The newest message since the last time; None if there is none.

        Raises:
            RejectedInput: if it cannot be read.
        """
        arrivals = self.take()
        return self.read(arrivals[-1]) if arrivals else None

    def close(self) -> None:
        """Ends the subscription."""
        self._node.destroy_subscription(self._subscription)


class JoinedSubscriptions:
    """Several polled subscriptions that are waited for together.

    Args:
        node: owns them.
        topics: at least one.
    """

    def __init__(self, node: Node, topics: Sequence[PolledSubscription]) -> None:
        self._topics = tuple(topics)
        count = len(self._topics)
        self._wait_set = rclpy_implementation.WaitSet(count, 0, 0, 0, 0, 0, node.context.handle)

    def wait(self, seconds: float) -> bool:
        """Whether one of them has a new message, at once or within so many seconds."""
        with ExitStack() as held:
            self._wait_set.clear_entities()
            for topic in self._topics:
                held.enter_context(topic.handle)
                self._wait_set.add_subscription(topic.handle)
            self._wait_set.wait(max(0, round(1e9 * seconds)))
            return bool(self._wait_set.get_ready_entities('subscription'))

    def take(self) -> list[Arrival]:
        """The messages of all of them since the last time, the newest last."""
        arrivals = [
            arrival._replace(topic=i)
            for i, topic in enumerate(self._topics)
            for arrival in topic.take()
        ]
        return sorted(arrivals, key=lambda arrival: -arrival.waited)

    def read(self, arrival: Arrival) -> Any:
        """The message of an arrival; raises as `PolledSubscription.read`."""
        return self._topics[arrival.topic].read(arrival)

    def close(self) -> None:
        """Ends the subscriptions."""
        for topic in self._topics:
            topic.close()
