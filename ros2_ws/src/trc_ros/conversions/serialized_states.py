"""States as bytes: a JointState is read from where the one before had its numbers.

rclpy converts field by field, which takes as long as a plan where the code has left the caches of
the processor, as it has after a period.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from trc_ros.conversions.serialized import DOUBLE, ENCAPSULATION, STAMP, padded

PLAIN = b'\x00\x01'  # the encapsulation of little-endian CDR, in its first version
COUNT = struct.Struct('<I')
MOST_HEADS = 32  # that are remembered: a robot has a few


class Header(NamedTuple):
    """The header of a state."""

    stamp: Time
    frame_id: str


class Joints(NamedTuple):
    """What a JointState says, under the names of its fields."""

    header: Header
    name: tuple[str, ...]
    position: tuple[float, ...]
    velocity: tuple[float, ...]
    effort: tuple[float, ...]


class Head(NamedTuple):
    """The texts of a JointState."""

    content: bytes
    frame_id: str
    name: tuple[str, ...]


class JointStateDeserializer:
    """Reads JointStates; one with the texts of an earlier one without rclpy."""

    def __init__(self) -> None:
        self._heads: list[Head] = []  # the newest first

    def __call__(self, content: bytes) -> Joints | JointState:
        """The message, or what has the same fields.

        Raises:
            RMWError: if it is none.
        """
        begin = ENCAPSULATION + STAMP.size
        for head in self._heads:
            if content.startswith(head.content, begin) and content.startswith(PLAIN):
                joints = _joints(content, head)
                if joints is not None:
                    return joints
        message = deserialize_message(content, JointState)
        self._learn(content, message)
        return message

    def _learn(self, content: bytes, message: JointState) -> None:
        """Remembers the texts of a message, if its numbers are where they are expected."""
        begin, end = ENCAPSULATION + STAMP.size, _end_of_texts(message)
        head = Head(content[begin:end], message.header.frame_id, tuple(message.name))
        found = _joints(content, head) if content.startswith(PLAIN) else None
        if found is not None and all(
            list(getattr(found, field)) == list(getattr(message, field))
            for field in ('name', 'position', 'velocity', 'effort')
        ):
            self._heads = [head, *self._heads[: MOST_HEADS - 1]]


def deserializer(kind: type) -> Callable[[bytes], Any]:
    """What makes messages of a type out of bytes."""
    if kind is JointState:
        return JointStateDeserializer()
    return functools.partial(_deserialize, kind)


def _deserialize(kind: type, content: bytes) -> Any:
    return deserialize_message(content, kind)


def _joints(content: bytes, head: Head) -> Joints | None:
    """A message with these texts; None if it ends too early."""
    end = ENCAPSULATION + STAMP.size + len(head.content)
    fields = []
    for _ in range(3):
        begin = padded(end, COUNT.size)
        if begin + COUNT.size > len(content):
            return None
        (count,) = COUNT.unpack_from(content, begin)
        end = begin + COUNT.size
        if count:
            begin = padded(end, DOUBLE)
            end = begin + DOUBLE * count
            if end > len(content):
                return None
            fields.append(struct.unpack_from(f'<{count}d', content, begin))
        else:
            fields.append(())
    seconds, nanoseconds = STAMP.unpack_from(content, ENCAPSULATION)
    header = Header(Time(sec=seconds, nanosec=nanoseconds), head.frame_id)
    return Joints(header, head.name, *fields)


def _end_of_texts(message: JointState) -> int:
    """The place behind the last name."""
    end = ENCAPSULATION + STAMP.size
    end += COUNT.size + len(message.header.frame_id.encode()) + 1
    end = padded(end, COUNT.size) + COUNT.size
    for name in message.name:
        end = padded(end, COUNT.size) + COUNT.size + len(name.encode()) + 1
    return end
