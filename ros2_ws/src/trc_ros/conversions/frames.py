"""Frames of goals: which one a message is in, and its poses moved to another one."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from geometry_msgs.msg import Pose, PoseStamped, TransformStamped
from nav_msgs.msg import Path

from trc_ros.conversions.quaternions import Quaternion, rotated, unit
from trc_ros.conversions.rejection import RejectedInput


def frame_id_of(message: Any) -> str:
    """The frame that a message names; '' where it names none or has no header.

    Raises:
        RejectedInput: if the poses of a path are in several.
    """
    header = getattr(message, 'header', None)
    if header is None:
        return ''
    if not isinstance(message, Path):
        return str(header.frame_id)
    named = {header.frame_id, *(pose.header.frame_id for pose in message.poses)} - {''}
    if len(named) > 1:
        raise RejectedInput('frame', f'{sorted(named)} in one path; write one frame')
    return str(named.pop()) if named else ''


def has_poses(message: Any) -> bool:
    """Whether a message holds poses, which can be moved to another frame; joints cannot."""
    return isinstance(message, (PoseStamped, Path))


def moved(message: Any, transform: TransformStamped) -> Any:
    """A copy of a message with its poses in the frame of the transform's header.

    Raises:
        RejectedInput: if the rotation of the transform is none.
    """
    t, q = transform.transform.translation, transform.transform.rotation
    shift, turn = (t.x, t.y, t.z), unit((q.x, q.y, q.z, q.w))
    copied = copy.deepcopy(message)
    copied.header.frame_id = transform.header.frame_id
    for pose in _poses(copied):
        _move(pose, shift, turn)
    return copied


def _poses(message: Any) -> Iterator[Pose]:
    if not isinstance(message, Path):
        yield message.pose
        return
    for stamped in message.poses:
        stamped.header.frame_id = message.header.frame_id
        yield stamped.pose


def _move(pose: Pose, shift: tuple[float, float, float], turn: Quaternion) -> None:
    p, q = pose.position, pose.orientation
    turned = rotated((p.x, p.y, p.z), turn)
    p.x = turned[0] + shift[0]
    p.y = turned[1] + shift[1]
    p.z = turned[2] + shift[2]
    q.x, q.y, q.z, q.w = _product(turn, (q.x, q.y, q.z, q.w))


def _product(a: Quaternion, b: Quaternion) -> Quaternion:
    """The rotation b, then a."""
    return (
        a[3] * b[0] + a[0] * b[3] + a[1] * b[2] - a[2] * b[1],
        a[3] * b[1] - a[0] * b[2] + a[1] * b[3] + a[2] * b[0],
        a[3] * b[2] + a[0] * b[1] - a[1] * b[0] + a[2] * b[3],
        a[3] * b[3] - a[0] * b[0] - a[1] * b[1] - a[2] * b[2],
    )
