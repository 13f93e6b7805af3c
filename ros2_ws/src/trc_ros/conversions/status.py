"""Diagnostics of a node as messages for `/diagnostics`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue


@dataclass(frozen=True)
class Status:
    """One line of diagnostics before it becomes a message."""

    name: str
    level: int  # 0 ok, 1 warning, 2 error, 3 stale
    message: str
    values: Mapping[str, object] = field(default_factory=dict)


def diagnostic_array(statuses: Iterable[Status], node: str, stamp: Time) -> DiagnosticArray:
    """The message for the statuses of a node, given by its fully qualified name."""
    message = DiagnosticArray()
    message.header.stamp = stamp
    for status in statuses:
        values = [KeyValue(key=key, value=_text(value)) for key, value in status.values.items()]
        message.status.append(
            DiagnosticStatus(
                level=bytes([status.level]),
                name=f'{node.lstrip("/")}: {status.name}',
                message=status.message,
                hardware_id=node,
                values=values,
            )
        )
    return message


def _text(value: object) -> str:
    return f'{value:.6g}' if isinstance(value, float) else str(value)
