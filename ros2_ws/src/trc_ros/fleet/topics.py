"""Topics of one robot of a fleet: those of a controller, under the name of the robot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile

from trc_ros.controller.polled_subscription import PolledSubscription


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

    def __getattr__(self, name: str) -> Any:
        """What is not a robot's own is the node's: clock, context, parameters."""
        return getattr(self._node, name)

    def get_logger(self) -> Any:
        """The logger of the robot."""
        return self._node.get_logger().get_child(self._robot)

    def create_publisher(self, kind: type, topic: str, qos: Any, **options: Any) -> Any:
        """A publisher under the name of the robot."""
        return self._node.create_publisher(kind, self.named(topic), qos, **options)

    def create_subscription(
        self, kind: type, topic: str, callback: Callable[[Any], Any], qos: QoSProfile
    ) -> PolledSubscription:
        """A subscription under the name of the robot, which `poll` serves."""
        subscription = self.polled(kind, topic, qos)
        self._polled.append((subscription, callback))
        return subscription

    def destroy_subscription(self, subscription: PolledSubscription) -> None:
        """Ends a subscription."""
        self._polled = [entry for entry in self._polled if entry[0] is not subscription]
        subscription.close()

    def polled(self, kind: type, topic: str, qos: QoSProfile) -> PolledSubscription:
        """A subscription under the name of the robot, whose newest message is taken by hand."""
        return PolledSubscription(self._node, kind, self.named(topic), qos)

    def poll(self) -> None:
        """Calls back with the newest message of every subscription that has one."""
        for subscription, callback in self._polled:
            if news := subscription.newest():
                callback(news[0])

    def named(self, topic: str) -> str:
        """A topic under the name of the robot; an absolute one stays."""
        if topic.startswith('/'):
            return topic
        if topic.startswith('~/'):
            return f'~/{self._robot}/{topic[2:]}'
        return f'{self._robot}/{topic}'
