"""Format of commands: message type, and axis, scale and offset of every control."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.conversions.directions import DIRECTIONS, TRANSLATIONS, require_axes

LARGEST = float(np.finfo(np.float32).max)  # in a message: some have single precision


def _vectors(holder: str, along: str, about: str) -> dict[str, str]:
    """The fields of two vectors of a message, by direction."""
    fields = [f'{holder}{vector}.{axis}' for vector in (along, about) for axis in TRANSLATIONS]
    return dict(zip(DIRECTIONS, fields, strict=True))


@dataclass(frozen=True)
class CommandType:
    """Layout of a message on `command`."""

    package: str
    """Package of messages that it belongs to."""
    axes: Mapping[str, str] = field(default_factory=dict)
    """Fields of the message by the words of `command_axes`; empty where it needs none."""
    numbers: str = ''
    """The sequence with one number per control, where it has one."""
    names: str = ''
    """The sequence with the names of what is driven, if it has that, too."""
    duration: str = ''
    """Field [s] that says how long the command holds."""


COMMAND_TYPES: dict[str, CommandType] = {
    'Float64MultiArray': CommandType('std_msgs', numbers='data'),
    'TwistStamped': CommandType('geometry_msgs', _vectors('twist.', 'linear', 'angular')),
    'Twist': CommandType('geometry_msgs', _vectors('', 'linear', 'angular')),
    'WrenchStamped': CommandType('geometry_msgs', _vectors('wrench.', 'force', 'torque')),
    'JointTrajectory': CommandType('trajectory_msgs', numbers='points', names='joint_names'),
    'AckermannDriveStamped': CommandType(
        'ackermann_msgs',
        {
            name: f'drive.{name}'
            for name in (
                *('steering_angle', 'steering_angle_velocity'),
                *('speed', 'acceleration', 'jerk'),
            )
        },
    ),
    'MultiDOFCommand': CommandType('control_msgs', numbers='values', names='dof_names'),
    'JointJog': CommandType(
        'control_msgs', numbers='velocities', names='joint_names', duration='duration'
    ),
}
"""For every value of `command_type`."""


class CommandFormat:
    """Message type of commands, and the axis of every control: published = scale u + offset.

    Args:
        system: whose controls are commanded.
        type_name: a key of `COMMAND_TYPES`.
        axes: of every control, where the type has axes.
        scale: one factor per control, none zero; empty: ones.
        offset: one number per control, in the unit that is published; empty: zeros.
        frame_id: of the header, if there is one.

    Raises:
        ValueError: if these do not fit the controls or each other, or if the message type is not
            installed.
    """

    def __init__(
        self,
        system: System,
        type_name: str = 'Float64MultiArray',
        axes: Sequence[str] = (),
        scale: Sequence[float] = (),
        offset: Sequence[float] = (),
        frame_id: str = '',
    ) -> None:
        self.system = system
        self.frame_id = frame_id
        self.layout = COMMAND_TYPES[type_name]
        """Layout of the message type."""
        _require_fitting_axes(system, type_name, list(axes))
        self.fields = [self.layout.axes[axis] for axis in axes]
        """The field of every control, where the type has axes."""
        self._scale = _numbers('command_scale', scale, 1.0, system)
        self._offset = _numbers('command_offset', offset, 0.0, system)
        self._is_plain = (self._scale == 1.0).all() and (self._offset == 0.0).all()
        self._require_finite()
        self.kind = _message_type(type_name, self.layout.package)
        """The message type."""

    @classmethod
    def of(cls, values: Mapping[str, Any], system: System) -> CommandFormat:
        """The format that the parameters of a node name.

        Raises:
            ValueError: as the class.
        """
        names = ('type', 'axes', 'scale', 'offset', 'frame_id')
        return cls(system, *(values[f'command_{name}'] for name in names))

    def published(self, u: Array) -> Array:
        """The numbers (n_u,) that are published for a control u (n_u,)."""
        return u if self._is_plain else self._scale * u + self._offset

    def control(self, numbers: Array) -> Array:
        """The control (n_u,) that is meant by published numbers (n_u,)."""
        return numbers if self._is_plain else (numbers - self._offset) / self._scale

    def _require_finite(self) -> None:
        if not self._scale.all():
            raise ValueError(
                f'command_scale is {self._scale.tolist()}; a control with the factor 0 would '
                'never reach the robot'
            )
        with np.errstate(over='ignore'):
            bounds = [
                self._scale * u + self._offset for u in (self.system.u_min, self.system.u_max)
            ]
        largest = np.abs(bounds).max()
        if not largest <= LARGEST:
            raise ValueError(
                f'command_scale and command_offset make commands as large as {largest:.3g}; at '
                f'most {LARGEST:.3g} fits in a message'
            )


def _require_fitting_axes(system: System, type_name: str, axes: list[str]) -> None:
    choices, names = list(COMMAND_TYPES[type_name].axes), list(system.control_names)
    if not choices and axes:
        raise ValueError(
            f"command_axes is {axes}, but the command_type '{type_name}' lists all controls; "
            'leave command_axes out'
        )
    if choices and not axes:
        raise ValueError(
            f"the command_type '{type_name}' needs command_axes, one of {choices} for each of "
            f'{names}'
        )
    if axes:
        require_axes('command_axes', axes, names, choices)
    if len(set(axes)) < len(axes):
        raise ValueError(f'command_axes is {axes}; no axis twice')


def _numbers(name: str, values: Sequence[float], default: float, system: System) -> Array:
    """One number per control; the default where none are given."""
    names, numbers = list(system.control_names), np.array(values, dtype=np.float64)
    if not len(numbers):
        return np.full(len(names), default)
    if len(numbers) != len(names) or not np.isfinite(numbers).all():
        raise ValueError(
            f'{name} is {numbers.tolist()}; write one finite number for each of {names}'
        )
    return numbers


def _message_type(name: str, package: str) -> type:
    """A message type by its name.

    Raises:
        ValueError: if its package is not installed; the message says how to get it.
    """
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError) as error:
        debian = package.replace('_', '-')
        raise ValueError(
            f"the command_type '{name}' needs {package}, which is not installed: "
            f'sudo apt install ros-$ROS_DISTRO-{debian}'
        ) from error
