"""Between messages and state vectors: the only place that knows the layout of a message."""

from __future__ import annotations

import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from trc_core.plan import Plan
from trc_core.systems import System
from trc_core.systems.base import Array


class RejectedInput(ValueError):  # noqa: N818  (a verdict on a message, not a fault of ours)
    """A message that must not be used.

    Attributes:
        reason: one of 'not_finite', 'wrong_size', 'duplicate_name', 'unknown_name',
            'missing_name', 'stamp' and 'stale'; what counters are named after.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f'{reason}: {detail}')
        self.reason = reason


@dataclass(frozen=True)
class Axis:
    """One name in a joint message and where its position, velocity and effort stand."""

    name: str
    position: int | None
    velocity: int | None = None
    effort: int | None = None


def axes_of(system: System) -> tuple[Axis, ...]:
    """The joints, then the coordinates of no joint, under their own names, as positions."""
    used = {i for joint in system.joints for i in (joint.position, joint.velocity)}
    others = (Axis(n, i) for i, n in enumerate(system.state_names) if i not in used)
    return (*(Axis(*joint) for joint in system.joints), *others)


class JointStateReader:
    """Reads a state from a JointState, names in any order.

    Args:
        system: whose state it is.
        complete: refuse a message without velocities; otherwise those are zero, as in a goal.
    """

    def __init__(self, system: System, complete: bool = True) -> None:
        self._axes = {axis.name: axis for axis in axes_of(system)}
        moving = any(axis.velocity is not None for axis in self._axes.values())
        self._sizes = (len(self._axes),) if complete and moving else (0, len(self._axes))
        self._n_x = system.n_x

    def __call__(self, message: JointState) -> Array:
        """The state (n_x,).

        Raises:
            RejectedInput: if a name is unknown, missing or there twice, if the numbers are not
                as many as the names, or if one of them is not finite.
        """
        self._check_names(message.name)
        positions, velocities = message.position, message.velocity
        if len(positions) != len(self._axes) or len(velocities) not in self._sizes:
            raise RejectedInput(
                'wrong_size',
                f'{len(message.name)} names, {len(positions)} positions and '
                f'{len(velocities)} velocities',
            )
        x = np.zeros(self._n_x)
        for i, name in enumerate(message.name):
            axis = self._axes[name]
            if axis.position is not None:
                x[axis.position] = positions[i]
            if axis.velocity is not None and velocities:
                x[axis.velocity] = velocities[i]
        return require_finite(x)

    def _check_names(self, names: Sequence[str]) -> None:
        given, known = set(names), set(self._axes)
        if len(given) != len(names):
            raise RejectedInput('duplicate_name', f'names {list(names)}')
        if given - known:
            unknown = sorted(given - known)
            raise RejectedInput('unknown_name', f'{unknown}; expected {sorted(known)}')
        if known - given:
            raise RejectedInput('missing_name', f'{sorted(known - given)} not among {list(names)}')


class ArrayReader:
    """Reads a vector from a Float64MultiArray, in the order of `names`."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)

    def __call__(self, message: Float64MultiArray) -> Array:
        """The vector (n,).

        Raises:
            RejectedInput: if it has another length or is not finite.
        """
        if len(message.data) != len(self._names):
            expected = f'{len(message.data)} values, expected {list(self._names)}'
            raise RejectedInput('wrong_size', expected)
        return require_finite(np.array(message.data, dtype=np.float64))


def require_finite(x: Array) -> Array:
    """Passes x on.

    Raises:
        RejectedInput: if it holds a NaN or an infinity.
    """
    if not np.isfinite(x).all():
        raise RejectedInput('not_finite', f'{x.tolist()}')
    return x


Reader = Callable[[Any], Array]
STATE_TYPES: dict[str, tuple[type, Callable[[System], Reader]]] = {
    'JointState': (JointState, JointStateReader),
    'Float64MultiArray': (Float64MultiArray, lambda system: ArrayReader(system.state_names)),
}
"""For every value of `state_type`: the message type and what reads it."""
GOAL_TYPES: dict[str, tuple[type, Callable[[System], Reader]]] = {
    'JointState': (JointState, lambda system: JointStateReader(system, complete=False)),
    'Float64MultiArray': STATE_TYPES['Float64MultiArray'],
}
"""For every value of `goal_type`: the message type and what reads it."""


def own_stamp(message: Any) -> Time | None:
    """When the content was measured, as the message says it; None if it does not."""
    header = getattr(message, 'header', None)
    if header is None or (header.stamp.sec == 0 and header.stamp.nanosec == 0):
        return None
    return header.stamp


def seconds_of(stamp: Time) -> float:
    """A stamp in seconds."""
    return stamp.sec + 1e-9 * stamp.nanosec


def later(stamp: Time, seconds: float) -> Time:
    """The stamp `seconds` later, exact to the nanosecond."""
    nanoseconds = 10**9 * stamp.sec + stamp.nanosec + round(1e9 * seconds)
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


class JointStateWriter:
    """Fills one JointState again and again."""

    def __init__(self, system: System, frame_id: str = '') -> None:
        self._axes = axes_of(system)
        zeros = array.array('d', [0.0] * len(self._axes))
        self._message = JointState(name=[axis.name for axis in self._axes])
        self._message.header.frame_id = frame_id
        self._message.position, self._message.velocity = zeros[:], zeros[:]

    def __call__(self, x: Array, stamp: Time) -> JointState:
        """The message for state x (n_x,); valid until the next call."""
        message = self._message
        message.header.stamp = stamp
        for i, axis in enumerate(self._axes):
            if axis.position is not None:
                message.position[i] = x[axis.position]
            if axis.velocity is not None:
                message.velocity[i] = x[axis.velocity]
        return message


class CommandWriter:
    """Fills one Float64MultiArray again and again."""

    def __init__(self, n_u: int) -> None:
        self._message = Float64MultiArray(data=array.array('d', [0.0] * n_u))

    def __call__(self, control: Array) -> Float64MultiArray:
        """The message for a control (n_u,); valid until the next call."""
        for i, value in enumerate(control.tolist()):
            self._message.data[i] = value
        return self._message


class HorizonWriter:
    """Fills one JointTrajectory with plan after plan.

    T + 1 points; `effort` of point k holds the control from k dt to (k + 1) dt, so that the last
    point has none. Where controls and joints do not map one to one there is no effort at all.
    """

    def __init__(self, system: System, frame_id: str = '') -> None:
        self._axes = axes_of(system)
        efforts = _indices(axis.effort for axis in self._axes)
        one_to_one = sorted(j for _, j in efforts) == list(range(system.n_u))
        self._positions = _indices(axis.position for axis in self._axes)
        self._velocities = _indices(axis.velocity for axis in self._axes)
        self._efforts = efforts if one_to_one else []
        self._message = JointTrajectory(joint_names=[axis.name for axis in self._axes])
        self._message.header.frame_id = frame_id
        self._message.points = [
            self._point(k * system.dt, one_to_one and k < system.horizon)
            for k in range(system.horizon + 1)
        ]

    def _point(self, time: float, effort: bool) -> JointTrajectoryPoint:
        zeros = array.array('d', [0.0] * len(self._axes))
        nanoseconds = round(time * 1e9)
        return JointTrajectoryPoint(
            positions=zeros[:],
            velocities=zeros[:],
            effort=zeros[:] if effort else zeros[:0],
            time_from_start=Duration(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9),
        )

    def __call__(self, plan: Plan, stamp: Time) -> JointTrajectory:
        """The message for a plan from a state measured at `stamp`; valid until the next call."""
        self._message.header.stamp = stamp
        points = self._message.points
        # Plain lists and item assignment: several times faster than NumPy slices of this size.
        for point, x in zip(points, plan.states.tolist(), strict=True):
            for i, j in self._positions:
                point.positions[i] = x[j]
            for i, j in self._velocities:
                point.velocities[i] = x[j]
        for point, u in zip(points, plan.controls.tolist(), strict=False):
            for i, j in self._efforts:
                point.effort[i] = u[j]
        return self._message


def _indices(sources: Iterable[int | None]) -> list[tuple[int, int]]:
    """(place in the message, place in the vector) of every coordinate that exists."""
    return [(i, j) for i, j in enumerate(sources) if j is not None]


@dataclass(frozen=True)
class Status:
    """One line of diagnostics before it becomes a message."""

    name: str
    level: int  # 0 ok, 1 warning, 2 error, 3 stale
    message: str
    values: Mapping[str, object] = field(default_factory=dict)


def diagnostic_array(statuses: Sequence[Status], node: str, stamp: Time) -> DiagnosticArray:
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
