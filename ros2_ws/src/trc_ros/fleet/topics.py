"""Topics of one robot of a fleet: those of a controller, under the name of the robot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile

from trc_ros.controller.polled_subscription import PolledSubscription
from trc_ros.conversions import RejectedInput
from trc_ros.inputs import RejectionLog


class RobotTopics:
    """A node as one robot of it sees it: relative and private names begin with the robot's.

    Subscriptions are served by `poll`, not by the executor, which a fleet would keep busy.

    Args:
        node: owns the topics.
        robot: `state` is its `ROBOT/state`, `~/reference` its `~/ROBOT/reference`.
    """

    def __init__(self, node: Node, robot: str) -> None:
        self._node = node
        self._robot = robot
        self._polled: list[tuple[PolledSubscription, Callable[[Any], Any]]] = []
        self._refused = RejectionLog('instructions', self._warn)

    def __getattr__(self, name: str) -> Any:
        """What is not a robot's own is the node's: clock, context, parameters."""
        return getattr(self._node, name)

    def get_logger(self) -> Any:
        """The logger of the robot."""
        return self._node.get_logger().get_child(self._robot)

    def _warn(self, line: str) -> None:
        self.get_logger().warning(line)

    def create_publisher(self, kind: type, topic: str, qos: Any, **options: Any) -> Any:
        """A publisher under the name of the robot."""
        return self._node.create_publisher(kind, self.named(topic), qos, **options)

    def create_subscription(
        self,
        kind: type,
        topic: str,
        callback: Callable[[Any], Any],
        qos: QoSProfile,
        **options: Any,
    ) -> Any:
        """A subscription under the name of the robot, which `poll` serves.

        One with options, like a callback group, is that of the node.
        """
        if options:
            return self._node.create_subscription(
                kind, self.named(topic), callback, qos, **options
            )
        subscription = PolledSubscription(self, kind, topic, qos)  # type: ignore[arg-type]
        self._polled.append((subscription, callback))
        return subscription

    def destroy_subscription(self, subscription: Any) -> None:
        """Ends a subscription."""
        if not isinstance(subscription, PolledSubscription):
            self._node.destroy_subscription(subscription)
            return
        self._polled = [entry for entry in self._polled if entry[0] is not subscription]
        subscription.close()

    def poll(self) -> None:
        """Calls back with the newest message of every subscription that has one."""
        for subscription, callback in self._polled:
            try:
                message = subscription.newest()
            except RejectedInput as error:
                self._refused(error)
                continue
            if message is not None:
                callback(message)

    def resolve_topic_name(self, topic: str) -> str:
        """The full name of a topic of the robot."""
        return str(self._node.resolve_topic_name(self.named(topic)))

    def named(self, topic: str) -> str:
        """A topic under the name of the robot; an absolute one stays."""
        if topic.startswith('/'):
            return topic
        if topic.startswith('~/'):
            return f'~/{self._robot}/{topic[2:]}'
        return f'{self._robot}/{topic}'
