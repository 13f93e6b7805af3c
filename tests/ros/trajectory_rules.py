"""When a stock joint_trajectory_controller (ros2_controllers, Jazzy) takes a message."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rclpy.serialization import deserialize_message
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

ZERO = 2.0**-23  # a final velocity beyond this is one: the machine epsilon of a C++ float


def received(data: bytes) -> JointTrajectory:
    """The message as whoever subscribes gets it."""
    return deserialize_message(data, JointTrajectory)


def refusal(
    message: JointTrajectory, joints: Sequence[str], now: int, moving_end: bool = False
) -> str:
    """Why the controller drops a message; '' if it takes it.

    Args:
        message: what came in.
        joints: of the controller, which commands positions.
        now: [ns].
        moving_end: its parameter `allow_nonzero_velocity_at_trajectory_end`.
    """
    names, points = list(message.joint_names), list(message.points)
    if not names or not points:
        return 'no joints or no points'
    if len(names) != len(joints) or not set(names) <= set(joints):
        return f'joints {names}, expected {list(joints)}'
    if not moving_end and any(abs(v) > ZERO for v in points[-1].velocities):
        return 'the last velocity is not zero'
    start = nanoseconds(message.header.stamp)
    times = [nanoseconds(point.time_from_start) for point in points]
    if start and start + times[-1] < now:
        return 'it ends in the past'
    if any(later <= earlier for earlier, later in pairwise(times)):
        return 'times do not increase'
    faults = (_fault(point, len(names)) for point in points)
    return next(filter(None, faults), '')


def _fault(point: JointTrajectoryPoint, n: int) -> str:
    if len(point.positions) != n:
        return f'{len(point.positions)} positions for {n} joints'
    for name in ('velocities', 'accelerations'):
        if len(getattr(point, name)) not in (0, n):
            return f'{len(getattr(point, name))} {name} for {n} joints'
    return 'effort, which is not commanded' if len(point.effort) else ''


def nanoseconds(time) -> int:
    """A stamp or a duration."""
    return 10**9 * time.sec + time.nanosec
