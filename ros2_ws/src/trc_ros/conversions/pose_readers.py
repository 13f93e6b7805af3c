"""Readers of messages with a pose."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Pose, PoseStamped, Vector3
from nav_msgs.msg import Odometry
from std_msgs.msg import Header

from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.conversions.poses import ANYWHERE, BodyFrame, Placement, Vector
from trc_ros.conversions.quaternions import Quaternion, rotated, unit
from trc_ros.conversions.rejection import RejectedInput, require_finite


class PoseReader:
    """Reads a goal at rest from a PoseStamped.

    Args:
        system: whose goal it is.
        placement: which axis is which joint's, and the frame that messages must be in.

    Raises:
        ValueError: if a pose does not say where the system is.
    """

    def __init__(self, system: System, placement: Placement = ANYWHERE) -> None:
        self._frame = BodyFrame(system, placement.axes)
        self._frame_id = placement.frame_id
        self._n_x = system.n_x

    def __call__(self, message: PoseStamped) -> Array:
        """The state (n_x,).

        Raises:
            RejectedInput: if it is in another frame, its orientation is none, or leans out of
                the plane of the plant, or a number that counts is not finite.
        """
        x, _ = self._placed(message.header, message.pose)
        return require_finite(x)

    def _placed(self, header: Header, pose: Pose) -> tuple[Array, Quaternion]:
        """A state at rest in that pose, and its orientation with length 1."""
        if self._frame_id and header.frame_id != self._frame_id:
            raise RejectedInput('frame', f"'{header.frame_id}', expected '{self._frame_id}'")
        p, q = pose.position, pose.orientation
        orientation = unit((q.x, q.y, q.z, q.w))
        x = np.zeros(self._n_x)
        self._frame.place(x, (p.x, p.y, p.z), orientation)
        return x, orientation


class OdometryReader(PoseReader):
    """Reads a state from an Odometry, whose twist is in the frame of the body.

    A full attitude goes on from that of the last message, without a jump at half a turn.
    """

    def __init__(self, system: System, placement: Placement = ANYWHERE) -> None:
        super().__init__(system, placement)
        self._last: Array | None = None

    def __call__(self, message: Odometry) -> Array:
        """The state (n_x,); raises as `PoseReader`."""
        x, orientation = self._placed(message.header, message.pose.pose)
        if self._last is not None:
            x = self._frame.attitude.towards(x, self._last)
        twist = message.twist.twist
        linear = rotated(_vector(twist.linear), orientation)
        self._frame.move(x, linear, _vector(twist.angular))
        self._last = require_finite(x)
        return x


def _vector(message: Vector3) -> Vector:
    return message.x, message.y, message.z
