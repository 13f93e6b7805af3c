"""Actions that send a plant to a goal, of the packages that are installed."""

from __future__ import annotations

import importlib
import importlib.util
import math
from typing import Any, Protocol

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from trc_core.flight.progress import Progress
from trc_core.flight.reference import Goal
from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.conversions.axes import axes_of
from trc_ros.conversions.pose_readers import PoseReader
from trc_ros.conversions.poses import BodyFrame, Placement, pose_axes_of
from trc_ros.conversions.readers import JointStateReader
from trc_ros.conversions.reference_readers import JointTrajectoryReader
from trc_ros.conversions.stamps import duration

AUTO, NONE = 'auto', 'none'
REACHED, REFUSED, FAILED = 'reached', 'refused', 'failed'


class Action(Protocol):
    """Converts goals, feedback and results of one type of action."""

    kind: type

    def message_of(self, goal: Any) -> Any:
        """The pose or trajectory in the goal of an action."""

    def read(self, message: Any, now: float) -> Goal:
        """The goal in such a message; raises `RejectedInput` for one that must not be used."""

    def feedback(self, x: Array, progress: Progress, elapsed: float, stamp: Time) -> Any:
        """The feedback in state x (n_x,), so many seconds after the goal was sent."""

    def result(self, outcome: str, text: str) -> Any:
        """The result: 'reached', 'refused' or 'failed', and why."""


class PoseAction:
    """Converts for nav2_msgs/NavigateToPose.

    Args:
        kind: its class.
        system: what goes there.
        placement: which axis is which joint's, and the frame of the poses.
    """

    def __init__(self, kind: Any, system: System, placement: Placement) -> None:
        self.kind = kind
        self._frame = BodyFrame(system, placement.axes)
        self._read = PoseReader(system, Placement(placement.axes))
        self._frame_id = placement.frame_id

    def message_of(self, goal: Any) -> PoseStamped:
        """The pose in a goal."""
        return goal.pose

    def read(self, message: PoseStamped, now: float) -> Array:
        """The state (n_x,) at rest in a pose; raises as `PoseReader`."""
        return self._read(message)

    def feedback(self, x: Array, progress: Progress, elapsed: float, stamp: Time) -> Any:
        """The pose, the distance and the times."""
        feedback = self.kind.Feedback()
        (a, b, c), (i, j, k, w) = self._frame.pose(x)
        there = feedback.current_pose
        there.header.frame_id, there.header.stamp = self._frame_id, stamp
        p, q = there.pose.position, there.pose.orientation
        p.x, p.y, p.z = float(a), float(b), float(c)
        q.x, q.y, q.z, q.w = float(i), float(j), float(k), float(w)
        feedback.navigation_time = duration(elapsed)
        feedback.distance_remaining = progress.distance
        if math.isfinite(progress.time_to_go):
            feedback.estimated_time_remaining = duration(progress.time_to_go)
        return feedback

    def result(self, outcome: str, text: str) -> Any:
        """The error code, and the text where this release has a field for it."""
        result = self.kind.Result()
        _fill(result, 'error_code', {REACHED: 0}.get(outcome, getattr(result, 'UNKNOWN', 9000)))
        _fill(result, 'error_msg', text)
        return result


TRAJECTORY_CODES = {REACHED: 0, REFUSED: -1, FAILED: -5}
"""SUCCESSFUL, INVALID_GOAL and GOAL_TOLERANCE_VIOLATED of FollowJointTrajectory."""


class TrajectoryAction:
    """Converts for control_msgs/FollowJointTrajectory; a single point is a goal.

    Args:
        kind: its class.
        system: what goes there.
    """

    def __init__(self, kind: Any, system: System) -> None:
        self.kind = kind
        self._axes = axes_of(system)
        self._read_state = JointStateReader(system, complete=False)
        self._read_track = JointTrajectoryReader(system)

    def message_of(self, goal: Any) -> JointTrajectory:
        """The trajectory in a goal."""
        return goal.trajectory

    def read(self, message: JointTrajectory, now: float) -> Goal:
        """The state of a single point, or the track through several; raises as their readers."""
        if len(message.points) != 1:
            return self._read_track(message, now)
        [point] = message.points
        names, positions, velocities = message.joint_names, point.positions, point.velocities
        state = JointState(name=names, position=positions, velocity=velocities)
        return self._read_state(state)

    def feedback(self, x: Array, progress: Progress, elapsed: float, stamp: Time) -> Any:
        """Where to end, where the plant is, and the difference."""
        feedback = self.kind.Feedback()
        feedback.header.stamp = stamp
        feedback.joint_names = [axis.name for axis in self._axes]
        feedback.actual = self._point(x, elapsed)
        if progress.goal is not None:
            feedback.desired = self._point(progress.goal, elapsed)
            feedback.error = self._point(progress.goal - x, elapsed)
        return feedback

    def result(self, outcome: str, text: str) -> Any:
        """The error code and the text."""
        result = self.kind.Result()
        result.error_code, result.error_string = TRAJECTORY_CODES[outcome], text
        return result

    def _point(self, x: Array, elapsed: float) -> JointTrajectoryPoint:
        return JointTrajectoryPoint(
            positions=_entries(x, [axis.position for axis in self._axes]),
            velocities=_entries(x, [axis.velocity for axis in self._axes]),
            time_from_start=duration(elapsed),
        )


PACKAGES = {'NavigateToPose': 'nav2_msgs', 'FollowJointTrajectory': 'control_msgs'}
"""The package of every type of action, the one to be preferred first."""


def find_action(name: str, system: System, placement: Placement) -> Action | None:
    """The action that the parameter `action_type` names.

    With 'auto' it is the first one that is installed and fits the system; None if there is none.

    Raises:
        ValueError: if the package of the one that is named is not installed, or a pose does not
            say where the system is.
    """
    if name == NONE:
        return None
    if name != AUTO:
        return _made(name, system, placement)
    placed = bool(placement.axes or pose_axes_of(system))
    for candidate in PACKAGES:
        if candidate == 'NavigateToPose' and not placed:
            continue
        if importlib.util.find_spec(PACKAGES[candidate]) is not None:
            return _made(candidate, system, placement)
    return None


def _made(name: str, system: System, placement: Placement) -> Action:
    package = PACKAGES[name]
    try:
        kind = getattr(importlib.import_module(f'{package}.action'), name)
    except ImportError as error:
        deb = package.replace('_', '-')
        raise ValueError(
            f"parameter 'action_type' is '{name}', which needs {package}: "
            f"sudo apt install ros-$ROS_DISTRO-{deb}, or choose 'none'"
        ) from error
    if name == 'NavigateToPose':
        return PoseAction(kind, system, placement)
    return TrajectoryAction(kind, system)


def _fill(message: Any, field: str, value: Any) -> None:
    """Fills a field that not every release has."""
    if hasattr(message, field):
        setattr(message, field, value)


def _entries(x: Array, places: list[int | None]) -> list[float]:
    return [0.0 if place is None else float(x[place]) for place in places]
