"""Faults of a sensor, injected into the stream of state messages."""

from __future__ import annotations

import copy
import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trc_core.numerics.cost import TURN
from trc_core.planner.turns import turning_places
from trc_core.systems import System
from trc_ros.conversions import axes_of

JUMP = 5  # [s] that a clock jumps back
LATENESS = 0.5  # [s] from the stamp of a late state to its publication
FOREIGN = (
    'foreign_wheel',
    'a_foreign_finger',
)  # joints of the robot that the system does not have

Fault = Callable[[Any], list[Any]]  # a JointState -> the messages that go out in its place


def dropout(message: Any) -> list[Any]:
    """Silence."""
    return []


def not_a_number(message: Any) -> list[Any]:
    """One position is NaN."""
    faulty = copy.deepcopy(message)
    faulty.position[0] = math.nan
    return [faulty]


def wrong_size(message: Any) -> list[Any]:
    """The last position and velocity are missing; all names are there."""
    faulty = copy.deepcopy(message)
    faulty.position, faulty.velocity = message.position[:-1], message.velocity[:-1]
    return [faulty]


def duplicated_names(message: Any) -> list[Any]:
    """The first joint is there twice."""
    faulty = copy.deepcopy(message)
    faulty.name = [*message.name, message.name[0]]
    faulty.position = message.position + message.position[:1]
    faulty.velocity = message.velocity + message.velocity[:1]
    return [faulty]


def clock_jump_back(message: Any) -> list[Any]:
    """Stamps lie `JUMP` seconds back."""
    faulty = copy.deepcopy(message)
    faulty.header.stamp.sec -= JUMP
    return [faulty]


class Frozen:
    """The first state again and again, under new stamps."""

    def __init__(self) -> None:
        self._first: Any = None

    def __call__(self, message: Any) -> list[Any]:
        if self._first is None:
            self._first = copy.deepcopy(message)
        self._first.header.stamp = message.header.stamp
        return [self._first]


class Late:
    """Every state, `LATENESS` seconds after its stamp."""

    def __init__(self) -> None:
        self._waiting: deque[Any] = deque()

    def __call__(self, message: Any) -> list[Any]:
        self._waiting.append(copy.deepcopy(message))
        due = seconds(message) - LATENESS
        late = []
        while seconds(self._waiting[0]) <= due:
            late.append(self._waiting.popleft())
        return late


class Wrapped:
    """Angles of joints within half a turn of zero, as many encoders give them.

    Args:
        system: names the joints and their units.
    """

    def __init__(self, system: System) -> None:
        places = turning_places(system)
        self._names = {axis.name for axis in axes_of(system) if axis.position in places}

    def __call__(self, message: Any) -> list[Any]:
        wrapped = copy.deepcopy(message)
        for i, name in enumerate(message.name):
            if name in self._names:
                wrapped.position[i] = math.remainder(message.position[i], TURN)
        return [wrapped]


def partial_joint_states(message: Any) -> list[Any]:
    """A message for each joint, and foreign ones in between; one joint alone is among those."""
    if len(message.name) == 1:
        return [_joints(message, [FOREIGN[0], 0, FOREIGN[1]])]
    parts = [part for i in range(len(message.name)) for part in ([i], list(FOREIGN))]
    return [_joints(message, part) for part in parts]


def _joints(message: Any, chosen: list[int | str]) -> Any:
    """A message with some joints of another one, by their places, and foreign ones, by names."""
    part = copy.deepcopy(message)
    part.name = [c if isinstance(c, str) else message.name[c] for c in chosen]
    part.position, part.velocity = (
        [0.0 if isinstance(c, str) else values[c] for c in chosen]
        for values in (message.position, message.velocity)
    )
    return part


FAULTS: dict[str, Callable[[System], Fault]] = {
    'dropout': lambda system: dropout,
    'nan': lambda system: not_a_number,
    'wrong_size': lambda system: wrong_size,
    'duplicated_names': lambda system: duplicated_names,
    'clock_jump_back': lambda system: clock_jump_back,
    'frozen': lambda system: Frozen(),
    'late': lambda system: Late(),
    'wrapped_angle': Wrapped,
    'partial_joint_states': lambda system: partial_joint_states,
}
"""For every value of the parameter `fault`: what makes a fresh one."""


def seconds(message: Any) -> float:
    """The stamp of a message."""
    return message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec


@dataclass
class Injection:
    """Fault in progress."""

    name: str
    fault: Fault
    duration: float  # [s]; 0: until cleared
    began: float | None = None  # [s] stamp of the first message that it met


class FaultInjector:
    """Injects a fault into messages while there is one; time is that of their stamps.

    Args:
        system: whose states the messages hold.
        log: called with one line when a fault begins and one when it ends.
    """

    def __init__(self, system: System, log: Callable[[str], Any]) -> None:
        self._system = system
        self._log = log
        self._lock = threading.RLock()  # services start faults while the plant publishes
        self._injection: Injection | None = None

    def start(self, name: str, duration: float) -> None:
        """Begins a fault in place of any other.

        Args:
            name: a key of `FAULTS`.
            duration: [s]; 0: until cleared.
        """
        with self._lock:
            self.clear()
            self._injection = Injection(name, FAULTS[name](self._system), duration)
            span = f'for {duration:g} s' if duration else 'until cleared'
            self._log(f"fault '{name}' begins, {span}")

    def clear(self) -> None:
        """Ends the fault, if there is one."""
        with self._lock:
            if self._injection is not None:
                self._log(f"fault '{self._injection.name}' ends")
            self._injection = None

    def __call__(self, message: Any) -> list[Any]:
        """The messages to publish in place of a JointState; it is not changed."""
        with self._lock:
            injection = self._injection
            if injection is None:
                return [message]
            now = seconds(message)
            if injection.began is None:
                injection.began = now
            if injection.duration and now - injection.began >= injection.duration:
                self.clear()
                return [message]
            return injection.fault(message)
