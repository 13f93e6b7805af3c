"""Readers of messages with one number per coordinate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.conversions.axes import axes_of
from trc_ros.conversions.joint_parts import JointPartReader
from trc_ros.conversions.rejection import RejectedInput, require_finite


def require_names(names: Sequence[str], expected: Iterable[str], complete: bool = True) -> None:
    """Checks the names of a message.

    Args:
        names: in the message.
        expected: those that there are.
        complete: whether all of them have to be there.

    Raises:
        RejectedInput: if a name is unknown, there twice, or missing.
    """
    given, known = set(names), set(expected)
    if len(given) != len(names):
        raise RejectedInput('duplicate_name', f'names {list(names)}')
    if given - known:
        unknown = sorted(given - known)
        raise RejectedInput('unknown_name', f'{unknown}; expected {sorted(known)}')
    if complete and known - given:
        raise RejectedInput('missing_name', f'{sorted(known - given)} not among {list(names)}')


class JointStateReader:
    """Reads a state from a JointState that holds it all and nothing else, names in any order.

    Args:
        system: whose state it is.
        complete: refuse a message without velocities; otherwise those are zero, as in a goal.
    """

    def __init__(self, system: System, complete: bool = True) -> None:
        self._names = [axis.name for axis in axes_of(system)]
        self._read = JointPartReader(system, differentiates=not complete)

    def __call__(self, message: JointState) -> Array:
        """The state (n_x,).

        Raises:
            RejectedInput: if a name is unknown, missing or there twice, if the numbers are not
                as many as the names, or if one of them is not finite.
        """
        require_names(message.name, self._names)
        part = self._read(message)
        if part.unmeasured and message.velocity:
            raise RejectedInput('not_finite', f'velocities {list(message.velocity)}')
        return part.x


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
