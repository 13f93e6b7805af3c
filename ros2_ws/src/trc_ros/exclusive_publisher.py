"""Exclusive publisher: keeps two nodes from publishing the same topic."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

DISCOVERY_TIME = 1.0  # [s] another publisher on this machine is found within it, mostly
WATCH_TIME = 5.0  # [s] and then at the latest in this time
CHECK_PERIOD = 0.2  # [s] between two checks
CONFLICT = (
    "'{}' is already published by node {}; stop it, or start this {} in a namespace of its "
    'own (--ros-args -r __ns:=/second)'
)
UNKNOWN_NODE = '_NODE_NAME_UNKNOWN_'  # rmw: topic discovered, its node not yet


class OtherPublishers:
    """Publishers of a topic that are not this node's, as the graph shows them.

    Args:
        node: that asks; remappings and its namespace apply to the topic.
        topic: its name, relative to the node.
    """

    def __init__(self, node: Node, topic: str) -> None:
        self.topic = node.resolve_topic_name(topic)
        self._node = node

    def names(self, own: int = 0) -> list[str]:
        """Full names of their nodes; one of them is unknown as long as `any_unknown` says so.

        Args:
            own: how many publishers of the topic this node has.
        """
        # Whoever has this node's own name, too, is another one beyond that number.
        names = [full_name(i) for i in self._node.get_publishers_info_by_topic(self.topic)]
        for _ in range(own):
            if self._node.get_fully_qualified_name() in names:
                names.remove(self._node.get_fully_qualified_name())
        return names

    def known_nodes(self) -> list[str]:
        """Full names of the nodes that have been discovered and have another name than this."""
        found = self._node.get_node_names_and_namespaces()
        names = [f'{namespace.rstrip("/")}/{name}' for name, namespace in found]
        own = self._node.get_fully_qualified_name()
        return [name for name in names if name != own]

    def find(self, until: float) -> list[str]:
        """Their names, as soon as there is one; waits until that steady time for the first.

        A publisher is discovered before the name of its node: that is waited for longer.
        """
        began, names = time.monotonic(), self.names()
        while not names or any_unknown(names):
            if time.monotonic() > (began + WATCH_TIME if names else until):
                break
            time.sleep(0.05)
            names = self.names()
        return names

    def listed(self, names: list[str]) -> str:
        """Those names for a reader."""
        own = self._node.get_fully_qualified_name()
        return ', '.join(f"'{n}'{' (of the same name)' * (n == own)}" for n in sorted(names))


def full_name(publisher: TopicEndpointInfo) -> str:
    """Name of the node of a publisher, with its namespace."""
    return f'{publisher.node_namespace.rstrip("/")}/{publisher.node_name}'


def any_unknown(names: list[str]) -> bool:
    """Whether the name of a node has not been discovered yet."""
    return any(name.endswith(UNKNOWN_NODE) for name in names)


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
        self._others = OtherPublishers(node, topic)
        self._fail = fail
        if names := self._others.find(time.monotonic() + DISCOVERY_TIME):
            raise ValueError(self._conflict(names))

    def watch(self) -> None:
        """Watches from now on, with a publisher of its own on the topic."""
        self._established_at = time.monotonic() + WATCH_TIME
        self._timer = self._node.create_timer(CHECK_PERIOD, self._check)

    def _check(self) -> None:
        """Gives way while young to a publisher that discovery found late."""
        established = time.monotonic() > self._established_at
        if established:
            self._timer.cancel()
        names = self._others.names(own=1)
        if names and (established or not any_unknown(names)):
            self._fail(self._conflict(names))

    def _conflict(self, names: list[str]) -> str:
        topic, listed = self._others.topic, self._others.listed(names)
        return CONFLICT.format(topic, listed, self._node.get_name())
