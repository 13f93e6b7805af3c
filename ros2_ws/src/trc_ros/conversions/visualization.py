"""Writers of paths and markers for RViz; messages are filled again and again."""

from __future__ import annotations

from collections.abc import Sequence

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped
from nav_msgs.msg import Path
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array
from trc_core.systems import System
from trc_core.systems.shipped import Part
from trc_ros.conversions.bodies import body_of, frame_of, point_at
from trc_ros.conversions.poses import ANYWHERE, Placement, Vector
from trc_ros.conversions.quaternions import IDENTITY, Quaternion
from trc_ros.conversions.stamps import duration, later
from trc_ros.conversions.trajectories import free_times

FRAME = 'map'  # where no frame is given: RViz's own fixed frame
LINE_WIDTH = 0.02  # [m]
LIFETIME = duration(1.0)  # a picture of an old plan goes away
PLAN_COLOUR = ColorRGBA(r=0.1, g=0.6, b=1.0, a=1.0)
BODY_COLOUR = ColorRGBA(r=0.9, g=0.9, b=0.9, a=1.0)
GOAL_COLOUR = ColorRGBA(r=0.2, g=0.9, b=0.3, a=0.4)


class PathWriter:
    """Fills one Path with the poses of plan after plan, T + 1 of them.

    Raises:
        ValueError: if the axes do not fit the joints.
    """

    def __init__(self, system: System, placement: Placement = ANYWHERE) -> None:
        self._frame = frame_of(system, placement)
        self._system = system
        self._times = [k * system.dt for k in range(system.horizon + 1)]
        self._message = Path()
        self._message.header.frame_id = placement.frame_id or FRAME
        self._message.poses = [PoseStamped() for _ in self._times]
        for pose in self._message.poses:
            pose.header.frame_id = self._message.header.frame_id

    def __call__(self, plan: Plan, stamp: Time) -> Path:
        """The message for a plan from a state measured at `stamp`; valid until the next call."""
        self._message.header.stamp = stamp
        states, times = plan.states.tolist(), free_times(plan, self._system) or self._times
        for pose, x, time in zip(self._message.poses, states, times, strict=True):
            pose.header.stamp = later(stamp, time)
            _set_pose(pose.pose, *self._frame.pose(x))
        return self._message


class MarkersWriter:
    """Fills one MarkerArray with plan after plan: its path, the body where it starts, the goal.

    Raises:
        ValueError: if the axes do not fit the joints.
    """

    def __init__(self, system: System, placement: Placement = ANYWHERE) -> None:
        self._frame = frame_of(system, placement)
        self._parts, self._tip = body_of(system).parts, body_of(system).tip
        frame_id = placement.frame_id or FRAME
        self._path = _marker(frame_id, 'plan', 0, Marker.LINE_STRIP, PLAN_COLOUR)
        self._path.scale.x = LINE_WIDTH
        self._path.points = [Point() for _ in range(system.horizon + 1)]
        self._body = _boxes(frame_id, 'body', self._parts, BODY_COLOUR)
        self._goal = _boxes(frame_id, 'goal', self._parts, GOAL_COLOUR)
        self._message = MarkerArray(markers=[self._path, *self._body, *self._goal])

    def __call__(self, plan: Plan, stamp: Time, goal: Array) -> MarkerArray:
        """The message for a plan to goal (n_x,); valid until the next call."""
        for marker in self._message.markers:
            marker.header.stamp = stamp
        states = plan.states.tolist()
        for point, x in zip(self._path.points, states, strict=True):
            point.x, point.y, point.z = point_at(self._tip, self._frame.pose(x))
        self._place(self._body, states[0])
        self._place(self._goal, goal.tolist())
        return self._message

    def _place(self, boxes: Sequence[Marker], x: Sequence[float]) -> None:
        """Moves the boxes of a body to its pose in state x (n_x,)."""
        position, orientation = self._frame.pose(x)
        for box, part in zip(boxes, self._parts, strict=True):
            turned = orientation if part.turns else IDENTITY
            _set_pose(box.pose, point_at(part.centre, (position, turned)), turned)


def _boxes(
    frame_id: str, namespace: str, parts: Sequence[Part], colour: ColorRGBA
) -> list[Marker]:
    boxes = []
    for i, part in enumerate(parts):
        boxes.append(_marker(frame_id, namespace, i, Marker.CUBE, colour))
        boxes[-1].scale.x, boxes[-1].scale.y, boxes[-1].scale.z = part.size
    return boxes


def _marker(frame_id: str, namespace: str, number: int, kind: int, colour: ColorRGBA) -> Marker:
    marker = Marker(ns=namespace, id=number, type=kind, action=Marker.ADD, color=colour)
    marker.header.frame_id = frame_id
    marker.lifetime = LIFETIME
    return marker


def _set_pose(pose: Pose, position: Vector, orientation: Quaternion) -> None:
    p, q = pose.position, pose.orientation
    p.x, p.y, p.z = position
    q.x, q.y, q.z, q.w = orientation
