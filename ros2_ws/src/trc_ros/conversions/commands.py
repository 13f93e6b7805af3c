"""Writers and readers of commands, of every message type on `command`."""

from __future__ import annotations

import array
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from trc_core.problem.system import Array
from trc_ros.conversions.axes import actuators_of
from trc_ros.conversions.command_format import CommandFormat
from trc_ros.conversions.readers import require_names
from trc_ros.conversions.rejection import RejectedInput, require_finite
from trc_ros.conversions.serialized import SerializedNumbers, placeholders
from trc_ros.conversions.trajectories import StampedCommandWriter

Clock = Callable[[], Time]


class SequenceWriter:
    """Fills one message that has a number per control, again and again.

    Args:
        form: of the commands.
        now: the time for its header, if it has one.
        period: how long a command holds [s], if the message says so.
    """

    def __init__(self, form: CommandFormat, now: Clock, period: float) -> None:
        layout, self._form = form.layout, form
        self._message = form.kind()
        self._header = _header_of(self._message, form.frame_id)
        self._now = now
        if layout.names:
            setattr(self._message, layout.names, actuators_of(form.system))
        if layout.duration:
            setattr(self._message, layout.duration, period)
        setattr(self._message, layout.numbers, array.array('d', [0.0] * form.system.n_u))
        self._numbers = getattr(self._message, layout.numbers)

    def __call__(self, control: Array) -> Any:
        """The message for a control (n_u,); valid until the next call."""
        if self._header is not None:
            self._header.stamp = self._now()
        for i, value in enumerate(self._form.published(control).tolist()):
            self._numbers[i] = value
        return self._message


class ArrayWriter:
    """Fills the bytes of one message that holds a number per control, and nothing else.

    rclpy converts a message in every publication, which takes longer than to write numbers.
    """

    def __init__(self, form: CommandFormat, now: Clock, period: float) -> None:
        self._form = form
        places = placeholders((form.system.n_u,)).tolist()
        message = form.kind()
        setattr(message, form.layout.numbers, array.array('d', places))
        self._serialized = SerializedNumbers(message, places)

    def __call__(self, control: Array) -> bytes:
        """The message for a control (n_u,)."""
        return self._serialized.filled(self._form.published(control).tolist())


class FieldWriter:
    """Fills the fields of one message that are the axes of the controls; all others are zero."""

    def __init__(self, form: CommandFormat, now: Clock, period: float) -> None:
        self._form, self._now = form, now
        self._message = form.kind()
        self._header = _header_of(self._message, form.frame_id)
        self._places = []
        for path in form.fields:
            holder, _, name = path.rpartition('.')
            owner = operator.attrgetter(holder)(self._message) if holder else self._message
            self._places.append((owner, name))

    def __call__(self, control: Array) -> Any:
        """The message for a control (n_u,); valid until the next call."""
        if self._header is not None:
            self._header.stamp = self._now()
        numbers = self._form.published(control).tolist()
        for (owner, name), value in zip(self._places, numbers, strict=True):
            setattr(owner, name, value)
        return self._message


class TrajectoryWriter:
    """Writes commands as JointTrajectory of one point, which is reached after a period.

    A joint_trajectory_controller refuses a trajectory that has ended when it arrives, as one whose
    only point is at its stamp has; and after a period comes the next command.
    """

    def __init__(self, form: CommandFormat, now: Clock, period: float) -> None:
        self._form, self._now = form, now
        self._write = StampedCommandWriter(form.system, form.frame_id, period)

    def __call__(self, control: Array) -> bytes:
        """The message for a control (n_u,)."""
        return self._write(self._form.published(control), self._now())


CommandReader = Callable[[Any], Array]


class SequenceReader:
    """Reads a control from a message with a number per control, by name where it has names."""

    def __init__(self, form: CommandFormat) -> None:
        self._form, self._layout = form, form.layout
        self._names = actuators_of(form.system)

    def __call__(self, message: Any) -> Array:
        """The control (n_u,).

        Raises:
            RejectedInput: if a name is unknown, missing or there twice, if there are more or fewer
                numbers than controls, or if one is not finite.
        """
        numbers = getattr(message, self._layout.numbers)
        names = getattr(message, self._layout.names) if self._layout.names else self._names
        return self._control(list(names), numbers)

    def _control(self, names: list[str], numbers: Any) -> Array:
        require_names(names, self._names)
        if len(numbers) != len(self._names):
            expected = list(self._form.system.control_names)
            raise RejectedInput('wrong_size', f'{len(numbers)} values, expected {expected}')
        found = dict(zip(names, numbers, strict=True))
        published = np.array([found[name] for name in self._names], dtype=np.float64)
        return self._form.control(require_finite(published))


class TrajectoryReader(SequenceReader):
    """Reads a control from the effort of a JointTrajectory of one point."""

    def __call__(self, message: JointTrajectory) -> Array:
        """The control (n_u,); raises as `SequenceReader`, or if there is not one point."""
        if len(message.points) != 1:
            detail = f'{len(message.points)} points, expected 1'
            raise RejectedInput('wrong_size', detail)
        return self._control(list(message.joint_names), message.points[0].effort)


class FieldReader:
    """Reads a control from those fields of a message that are the axes of the controls."""

    def __init__(self, form: CommandFormat) -> None:
        self._form = form
        self._fields = [operator.attrgetter(path) for path in form.fields]

    def __call__(self, message: Any) -> Array:
        """The control (n_u,).

        Raises:
            RejectedInput: if a number that counts is not finite.
        """
        published = np.array([take(message) for take in self._fields], dtype=np.float64)
        return self._form.control(require_finite(published))


def command_writer(form: CommandFormat, now: Clock, period: float) -> Callable[[Array], Any]:
    """The writer of commands in a format.

    Args:
        form: of the commands.
        now: the time for their headers.
        period: of the commands [s].
    """
    if form.kind is JointTrajectory:
        return TrajectoryWriter(form, now, period)
    if form.fields:
        return FieldWriter(form, now, period)
    plain = form.kind is Float64MultiArray
    return (ArrayWriter if plain else SequenceWriter)(form, now, period)


def command_reader(form: CommandFormat) -> CommandReader:
    """The reader of commands in a format."""
    if form.kind is JointTrajectory:
        return TrajectoryReader(form)
    return FieldReader(form) if form.fields else SequenceReader(form)


def _header_of(message: Any, frame_id: str) -> Any:
    """The header of a message, with its frame; None if it has none."""
    header = getattr(message, 'header', None)
    if header is not None:
        header.frame_id = frame_id
    return header
