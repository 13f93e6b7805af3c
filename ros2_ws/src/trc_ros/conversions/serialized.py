"""Serialised messages: written once, and filled as bytes from then on."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from trajectory_msgs.msg import JointTrajectory

from trc_core.problem.system import Array

ENCAPSULATION = 4  # bytes before the first field, from where alignment counts
STAMP = struct.Struct('=iI')  # of the header, which is the first field
DURATION = STAMP  # the same fields: seconds and nanoseconds
DOUBLE = 8  # bytes, and their alignment in the first version of XCDR


def padded(place: int, size: int) -> int:
    """The first place from this one on where a value of this size may begin."""
    return ENCAPSULATION - (ENCAPSULATION - place) // size * size


def placeholders(shape: tuple[int, ...], before: int = 0) -> Array:
    """Placeholders for the numbers of an array of this shape, behind `before` others."""
    return 1.0 + before + np.arange(np.prod(shape)).reshape(shape)


class SerializedNumbers:
    """A message as it is sent, whose last field is a sequence of numbers, written in place.

    Args:
        message: as it is sent but for the numbers.
        numbers: in its last field: `placeholders`, as many as later.

    Raises:
        ValueError: if the middleware does not serialise it as plain CDR.
    """

    def __init__(self, message: Any, numbers: Sequence[float]) -> None:
        self._numbers = struct.Struct(f'={len(numbers)}d')
        content, pattern = serialize_message(message), self._numbers.pack(*numbers)
        self._place = content.rfind(pattern)
        if self._place < 0:
            raise ValueError('this ROS 2 middleware does not serialise numbers as plain CDR')
        self._bytes = bytearray(content[: self._place + len(pattern)])

    def filled(self, numbers: Sequence[float]) -> bytes:
        """The message with these numbers."""
        self._numbers.pack_into(self._bytes, self._place, *numbers)
        return bytes(self._bytes)


class SerializedTrajectory:
    """A trajectory as it is sent, whose stamp, numbers and times are written in place.

    To convert a hundred points field by field, as rclpy does in every publication, takes about as
    long as to plan them.

    Args:
        message: its numbers are `placeholders` of what will stand there, 0 where nothing will.

    Raises:
        ValueError: if the middleware does not serialise it as plain CDR.
    """

    def __init__(self, message: JointTrajectory) -> None:
        numbers = np.array(list(chain(*_sequences(message))))
        offsets, times, length = _layout(message)
        places = np.array(offsets, dtype=int) // DOUBLE
        # What follows the last field was reserved in vain, and some readers refuse it.
        self._bytes = bytearray(serialize_message(message)[: ENCAPSULATION + length])
        whole = (len(self._bytes) - ENCAPSULATION) // DOUBLE
        self._doubles = np.frombuffer(self._bytes, float, whole, ENCAPSULATION)
        complete = whole == length // DOUBLE
        if not (complete and np.array_equal(self._doubles[places], numbers)):
            raise ValueError('this ROS 2 middleware does not serialise trajectories as plain CDR')
        self._places = places[numbers > 0]
        self._sources = numbers[numbers > 0].astype(int) - 1
        self._times = [ENCAPSULATION + begin for begin in times]

    def filled(self, stamp: Time, *values: Array, seconds: Sequence[float] = ()) -> bytes:
        """The message with this stamp, and `values`, one after another, for their placeholders.

        Args:
            stamp: of its header.
            values: arrays of any shape.
            seconds: `time_from_start` of every point; if empty, they stay as they are.
        """
        STAMP.pack_into(self._bytes, ENCAPSULATION, stamp.sec, stamp.nanosec)
        for begin, time in zip(self._times, seconds, strict=False):
            DURATION.pack_into(self._bytes, begin, *divmod(round(1e9 * time), 10**9))
        numbers = np.concatenate([array.ravel() for array in values])
        self._doubles[self._places] = numbers[self._sources]
        return bytes(self._bytes)


def _sequences(message: JointTrajectory) -> list[list[float]]:
    """All numbers of all points, in the order of the message."""
    return [
        field
        for p in message.points
        for field in (p.positions, p.velocities, p.accelerations, p.effort)
    ]


def _layout(message: JointTrajectory) -> tuple[list[int], list[int], int]:
    """Offsets of those numbers and of the times, and the length, behind the encapsulation.

    The layout is that of DDS-XTypes 1.3, 7.4.1: a value is aligned to its size, texts and
    sequences begin with their length.
    """
    end, found, times = STAMP.size, list[int](), list[int]()

    def take(size: int, count: int = 1) -> int:
        nonlocal end
        begin = padded(ENCAPSULATION + end, size) - ENCAPSULATION if count else end
        end = begin + size * count
        return begin

    def take_text(text: str) -> None:
        take(4)
        take(1, len(text.encode()) + 1)

    take_text(message.header.frame_id)
    take(4)
    for name in message.joint_names:
        take_text(name)
    take(4)
    for k, sequence in enumerate(_sequences(message), 1):
        take(4)
        begin = take(DOUBLE, len(sequence))
        found += [begin + DOUBLE * i for i in range(len(sequence))]
        if k % 4 == 0:
            times.append(take(4, 2))  # time_from_start
    return found, times, end
