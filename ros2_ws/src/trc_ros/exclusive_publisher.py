"""Exclusive publisher: keeps two nodes from publishing the same topic."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.node import Node

DISCOVERY_TIME = 1.0  # [s] another publisher on this machine is found within it, mostly
WATCH_TIME = 5.0  # [s] and then at the latest in this time
CHECK_PERIOD = 0.2  # [s] between two checks
CONFLICT = (
    "'{}' is already published by node '{}'; stop it, or start this plant in a namespace of its "
    'own (--ros-args -r __ns:=/second)'
)
UNKNOWN_NODE = '_NODE_NAME_UNKNOWN_'  # rmw: topic discovered, its node not yet


class ExclusivePublisher:
    """Refuses to share a topic: at once, and while young if discovery finds a publisher late.

    Args:
        node: that is about to publish.
        topic: its name, relative to the node.
        fail: called with one line when another publisher is found later.

    Raises:
        ValueError: if another node publishes the topic.
    """

    def __init__(self, node: Node, topic: str, fail: Callable[[str], None]) -> None:
        self._node = node
        self._topic = node.resolve_topic_name(topic)
        self._fail = fail
        self._require_none()

    def watch(self) -> None:
        """Watches from now on, with a publisher of its own on the topic."""
        self._established_at = time.monotonic() + WATCH_TIME
        self._timer = self._node.create_timer(CHECK_PERIOD, self._check)

    def _require_none(self) -> None:
        started = time.monotonic()
        names = self._publishers()
        # A publisher is discovered before the name of its node: wait longer for that.
        while not names or UNKNOWN_NODE in names:
            if time.monotonic() > started + (WATCH_TIME if names else DISCOVERY_TIME):
                break
            time.sleep(0.05)
            names = self._publishers()
        if names:
            raise ValueError(CONFLICT.format(self._topic, names[0]))

    def _check(self) -> None:
        """Gives way while young to a publisher that discovery found late."""
        established = time.monotonic() > self._established_at
        if established:
            self._timer.cancel()
        names = self._publishers()
        if len(names) > 1 and (established or UNKNOWN_NODE not in names):
            self._fail(CONFLICT.format(self._topic, names[0]))

    def _publishers(self) -> list[str]:
        return [info.node_name for info in self._node.get_publishers_info_by_topic(self._topic)]
