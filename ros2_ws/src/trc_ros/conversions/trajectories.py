"""From plans to trajectories that are filled again and again."""

from __future__ import annotations

import array

from builtin_interfaces.msg import Time
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from trc_core.plan import Plan
from trc_core.systems import System
from trc_ros.conversions.axes import axes_of, indices, is_one_to_one, joints_of
from trc_ros.conversions.stamps import duration


class HorizonWriter:
    """Fills one JointTrajectory with plan after plan.

    T + 1 points; `effort` of point k holds the control from k dt to (k + 1) dt, so that the last
    point has none. Where controls and joints do not map one to one there is no effort at all.
    """

    def __init__(self, system: System, frame_id: str = '') -> None:
        self._axes = axes_of(system)
        one_to_one = is_one_to_one(system)
        self._positions = indices(axis.position for axis in self._axes)
        self._velocities = indices(axis.velocity for axis in self._axes)
        self._efforts = indices(axis.effort for axis in self._axes) if one_to_one else []
        self._message = JointTrajectory(joint_names=[axis.name for axis in self._axes])
        self._message.header.frame_id = frame_id
        self._message.points = [
            self._point(k * system.dt, one_to_one and k < system.horizon)
            for k in range(system.horizon + 1)
        ]

    def _point(self, time: float, effort: bool) -> JointTrajectoryPoint:
        zeros = _zeros(len(self._axes))
        return JointTrajectoryPoint(
            positions=zeros[:],
            velocities=zeros[:],
            effort=zeros[:] if effort else zeros[:0],
            time_from_start=duration(time),
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


class ControlHorizonWriter:
    """Fills one JointTrajectory with the controls of plan after plan, under their own names.

    T points; `effort` of point k holds the controls from k dt to (k + 1) dt.
    """

    def __init__(self, system: System, frame_id: str = '') -> None:
        self._message = JointTrajectory(joint_names=list(system.control_names))
        self._message.header.frame_id = frame_id
        self._message.points = [
            JointTrajectoryPoint(
                effort=_zeros(system.n_u), time_from_start=duration(k * system.dt)
            )
            for k in range(system.horizon)
        ]

    def __call__(self, plan: Plan, stamp: Time) -> JointTrajectory:
        """The message for a plan from a state measured at `stamp`; valid until the next call."""
        self._message.header.stamp = stamp
        for point, u in zip(self._message.points, plan.controls.tolist(), strict=True):
            for j, value in enumerate(u):
                point.effort[j] = value
        return self._message


class JointTrajectoryWriter:
    """Fills one JointTrajectory as a stock joint_trajectory_controller accepts it.

    T points, the first one dt after the stamp: positions and, if every joint has one, velocities.
    No effort, which it refuses where it does not command efforts.

    Args:
        system: whose plans are written.
        stops: whether the last velocities are zero, whatever the plan says.
        frame_id: of the header.
    """

    def __init__(self, system: System, stops: bool, frame_id: str = '') -> None:
        joints = joints_of(system)
        moving = all(joint.velocity is not None for joint in joints)
        self._positions = indices(joint.position for joint in joints)
        self._velocities = indices(joint.velocity for joint in joints) if moving else []
        self._moving = slice(0, -1 if stops else None)
        self._message = JointTrajectory(joint_names=[joint.name for joint in joints])
        self._message.header.frame_id = frame_id
        self._message.points = [
            JointTrajectoryPoint(
                positions=_zeros(len(joints)),
                velocities=_zeros(len(joints) * moving),
                time_from_start=duration(k * system.dt),
            )
            for k in range(1, system.horizon + 1)
        ]

    def __call__(self, plan: Plan, stamp: Time) -> JointTrajectory:
        """The message for a plan from a state measured at `stamp`; valid until the next call."""
        self._message.header.stamp = stamp
        states, points = plan.states[1:].tolist(), self._message.points
        for point, x in zip(points, states, strict=True):
            for i, j in self._positions:
                point.positions[i] = x[j]
        for point, x in zip(points[self._moving], states[self._moving], strict=True):
            for i, j in self._velocities:
                point.velocities[i] = x[j]
        return self._message


def _zeros(n: int) -> array.array[float]:
    return array.array('d', [0.0] * n)
