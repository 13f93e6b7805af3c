"""Quality of service of a topic, as `qos_overrides.<topic>.<role>.<policy>` may change it.

Not rclpy's own options: they change the profile that they are given, which several topics share,
and name no policy that would do.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Collection, Iterator
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

PREFIX = 'qos_overrides.'
PUBLISHER, SUBSCRIPTION = 'publisher', 'subscription'
DEEPEST = 10_000
CHOICES: dict[str, dict[str, Any]] = {
    # A publisher that keeps all would block the control loop for a slow subscriber.
    'history': {'keep_last': HistoryPolicy.KEEP_LAST},
    'reliability': {
        'reliable': ReliabilityPolicy.RELIABLE,
        'best_effort': ReliabilityPolicy.BEST_EFFORT,
    },
    'durability': {
        'volatile': DurabilityPolicy.VOLATILE,
        'transient_local': DurabilityPolicy.TRANSIENT_LOCAL,
    },
}
POLICIES = ('depth', *CHOICES)
BELOW = ('/clock.', '/parameter_events.', '/rosout.')  # topics that rclpy opens


def qos_of(
    node: Node, role: str, topic: str, qos: QoSProfile, policies: Collection[str] = POLICIES
) -> QoSProfile:
    """The profile of a topic with the overrides of the node; declares them as parameters.

    Args:
        node: that is going to open the topic.
        role: `PUBLISHER` or `SUBSCRIPTION`.
        topic: its name, relative to the node; overrides use the resolved one.
        qos: without overrides.
        policies: that may be overridden.

    Raises:
        ValueError: for a policy or a value that cannot be.
    """
    profile, prefix = copy.copy(qos), f'{PREFIX}{node.resolve_topic_name(topic)}.{role}.'
    for name in _given(node):
        if name.startswith(prefix) and name.removeprefix(prefix) not in policies:
            raise ValueError(f"'{name}' cannot be set; choose from {sorted(policies)}")
    for policy in policies:
        name = f'{prefix}{policy}'
        if not node.has_parameter(name):
            default = getattr(qos, policy)
            shown = default if policy == 'depth' else default.name.lower()
            text = f'{policy} of the {role} of {topic}'
            about = ParameterDescriptor(description=text, read_only=True, dynamic_typing=True)
            node.declare_parameter(name, shown, about)
        setattr(profile, policy, _policy(name, policy, node.get_parameter(name).value))
    return profile


def require_used(node: Node, named: Collection[str]) -> None:
    """Refuses overrides without effect, after all topics have asked for theirs.

    Args:
        node: whose overrides they are.
        named: parameters given to this node alone; others may be for other nodes.

    Raises:
        ValueError: if one is for a topic that the node does not have.
    """
    for name in _given(node):
        if name not in named or node.has_parameter(name) or any(b in name for b in BELOW):
            continue
        known = [n for n in node.list_parameters([], 0).names if n.startswith(PREFIX)]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f'choose from {known}'
        raise ValueError(f"'{name}' has no effect here; {hint}")


def _given(node: Node) -> Iterator[str]:
    return (name for name in sorted(node._parameter_overrides) if name.startswith(PREFIX))


def _policy(name: str, policy: str, value: Any) -> Any:
    if policy == 'depth':
        if type(value) is int and 1 <= value <= DEEPEST:
            return value
        raise ValueError(f"'{name}' is {value!r}; choose a whole number from 1 to {DEEPEST}")
    choices = CHOICES[policy]
    if value not in choices:
        raise ValueError(f"'{name}' is {value!r}; choose from {list(choices)}")
    return choices[value]
