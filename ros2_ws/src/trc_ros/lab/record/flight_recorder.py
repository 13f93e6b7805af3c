"""Recorder of one controller's flight: finds its topics, whatever they are called."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
from collections.abc import Mapping
from typing import Any

from rclpy._rclpy_pybind11 import NodeNameNonExistentError
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from trc_ros.controller.cycle_output import listed
from trc_ros.lab.bag import Bag

DEPTH = 1000  # messages that may wait
LOOK_PERIOD = 0.5  # [s] between two looks for topics that are new
CYCLE = 'cycle'
LARGE = {'horizon', 'control_horizon', 'joint_trajectory_command', 'predicted_path', 'markers'}
COSTLY = LARGE | {'command_stamped'}
"""Topics that a controller makes messages for only if somebody listens, and no replay needs."""
LOG = '/rosout'


class FlightRecorder:
    """Writes what a controller hears and says into a bag.

    Args:
        node: that listens.
        controller: full name of the controller's node.
        bag: is written to.
        everything: also plans and pictures.
    """

    def __init__(self, node: Node, controller: str, bag: Bag, everything: bool = False) -> None:
        self._node, self._bag = node, bag
        namespace, _, self._name = controller.rpartition('/')
        self._namespace, self._controller = namespace or '/', controller
        self._left_out = set() if everything else COSTLY
        self._client = AsyncParameterClient(node, controller)
        self._listing: Any = None
        self._values: Any = None
        self.topics: dict[str, int] = {}
        """Messages by topic."""
        self.heard: list[str] = []
        """Topics of which a message came, in the order of their first ones."""
        self.unknown: set[str] = set()
        """Topics of types that cannot be written or are not installed here."""
        self.bytes = 0
        self.parameters: dict[str, Any] | None = None
        """Of the controller, when recording began; None as long as it has not answered."""
        node.create_timer(LOOK_PERIOD, self.look)

    @property
    def cycles(self) -> int:
        """Cycle records so far."""
        return self.topics.get(f'{self._controller}/{CYCLE}', 0)

    @property
    def messages(self) -> int:
        """Messages so far."""
        return sum(self.topics.values())

    def is_there(self) -> bool:
        """Whether the controller's node is running."""
        names = self._node.get_node_names_and_namespaces()
        return (self._name, self._namespace) in names

    def look(self) -> None:
        """Subscribes to topics that are new, and asks for the parameters until they are there."""
        if not self.is_there():
            return
        self._ask()
        node, place = self._node, (self._name, self._namespace)
        try:
            heard = node.get_subscriber_names_and_types_by_node(*place)
            said = node.get_publisher_names_and_types_by_node(*place)
        except NodeNameNonExistentError:  # it has just ended
            return
        for topic, kinds in (*heard, *said):
            known = topic in self.topics or topic in self.unknown or topic == LOG
            if not known and topic.rpartition('/')[2] not in self._left_out:
                self._subscribe(topic, kinds[0])

    def finish(self) -> None:
        """Adds the parameters to the bag, which the caller closes."""
        if self.parameters is not None:
            text = json.dumps({'controller': self._controller, 'parameters': self.parameters})
            self._bag.note('trc', text)

    def _ask(self) -> None:
        """One step of asking for the parameters: their names, then their values."""
        client = self._client
        if self.parameters is not None or not client.services_are_ready():
            return
        if self._listing is None:
            self._listing = client.list_parameters()
        elif self._values is None and self._listing.done():
            names = list(self._listing.result().result.names)
            self._values = client.get_parameters(names), names
        elif self._values is not None and self._values[0].done():
            self.parameters = _by_name(self._values[1], self._values[0].result().values)

    def _subscribe(self, topic: str, kind_name: str) -> None:
        kind = _message_type(kind_name)
        if kind is None or not self._bag.knows(kind):
            self.unknown.add(topic)
            self._node.get_logger().warning(f'{topic} is left out: {kind_name} is not known here')
            return
        self.topics[topic] = 0
        take = functools.partial(self._take, topic, kind)
        # rclpy counts the arguments of a callback: two of them ask for the time of sending.
        self._node.create_subscription(
            kind, topic, lambda data, info: take(data, info), self._qos(topic), raw=True
        )

    def _qos(self, topic: str) -> QoSProfile:
        """As reliable, and as mindful of what was said before, as all publishers are."""
        offered = [info.qos_profile for info in self._node.get_publishers_info_by_topic(topic)]
        reliable = all(q.reliability is ReliabilityPolicy.RELIABLE for q in offered)
        latched = all(q.durability is DurabilityPolicy.TRANSIENT_LOCAL for q in offered)
        qos = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        if offered and reliable:
            qos.reliability = ReliabilityPolicy.RELIABLE
        if offered and latched:
            qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
        return qos

    def _take(self, topic: str, kind: type, data: bytes, info: Mapping[str, int]) -> None:
        self._bag.write(topic, kind, info['source_timestamp'], data)
        if self.topics[topic] == 0:
            self.heard.append(topic)
        self.topics[topic] += 1
        self.bytes += len(data)


def find_controllers(node: Node) -> list[str]:
    """The full names of the nodes that publish cycle records."""
    found = set()
    for name, namespace in node.get_node_names_and_namespaces():
        full, said = f'{namespace.rstrip("/")}/{name}', []
        with contextlib.suppress(NodeNameNonExistentError):  # where it has just ended
            said = node.get_publisher_names_and_types_by_node(name, namespace)
        if f'{full}/{CYCLE}' in dict(said):
            found.add(full)
    return sorted(found)


def _message_type(name: str) -> type | None:
    """The class of a message type like 'std_msgs/msg/String'; None where it is not installed."""
    package, _, kind = name.split('/')
    try:
        found: type = getattr(importlib.import_module(f'{package}.msg'), kind)
    except (ImportError, AttributeError):
        return None
    return found


def _by_name(names: list[str], values: Any) -> dict[str, Any]:
    return listed(
        {n: parameter_value_to_python(v) for n, v in zip(names, values, strict=True) if v.type}
    )
