"""Writer of states; its message is filled again and again."""

from __future__ import annotations

import array

from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState

from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.conversions.axes import axes_of


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
