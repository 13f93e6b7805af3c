"""Writers of plans and controls as trajectories, in bytes that are ready to be sent."""

from __future__ import annotations

import array

from builtin_interfaces.msg import Time
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from trc_core.numerics.plan import Plan, step_of
from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.conversions.axes import actuators_of, axes_of, indices, is_one_to_one, joints_of
from trc_ros.conversions.serialized import SerializedTrajectory, placeholders
from trc_ros.conversions.stamps import duration

Places = list[tuple[int, int]]


class HorizonWriter:
    """Writes plans as JointTrajectory.

    T + 1 points; `effort` of point k holds the control until point k + 1, so that the last point
    has none. Where controls and joints do not map one to one there is no effort at all. Points are
    a dt apart, or a T-th of the plan's duration where that is free: `time_from_start` says so.
    """

    def __init__(self, system: System, frame_id: str = '') -> None:
        axes = axes_of(system)
        positions = indices(axis.position for axis in axes)
        velocities = indices(axis.velocity for axis in axes)
        efforts = indices(axis.effort for axis in axes)
        states, controls = _plan_placeholders(system)
        points = [
            JointTrajectoryPoint(
                positions=_placed(len(axes), positions, x),
                velocities=_placed(len(axes), velocities, x),
                time_from_start=duration(k * system.dt),
            )
            for k, x in enumerate(states)
        ]
        if is_one_to_one(system):
            for point, u in zip(points, controls, strict=False):
                point.effort = _placed(len(axes), efforts, u)
        self._message = _serialized([axis.name for axis in axes], frame_id, points)
        self._system = system

    def __call__(self, plan: Plan, stamp: Time) -> bytes:
        """The message for a plan from a state measured at `stamp`."""
        seconds = free_times(plan, self._system)
        return self._message.filled(stamp, plan.states, plan.controls, seconds=seconds)


class ControlHorizonWriter:
    """Writes the controls of plans as JointTrajectory, under their own names.

    T points; `effort` of point k holds the controls until point k + 1.
    """

    def __init__(self, system: System, frame_id: str = '') -> None:
        points = [
            JointTrajectoryPoint(effort=_array(u), time_from_start=duration(k * system.dt))
            for k, u in enumerate(placeholders((system.horizon, system.n_u)))
        ]
        self._message = _serialized(list(system.control_names), frame_id, points)
        self._system = system

    def __call__(self, plan: Plan, stamp: Time) -> bytes:
        """The message for a plan from a state measured at `stamp`."""
        seconds = free_times(plan, self._system)
        return self._message.filled(stamp, plan.controls, seconds=seconds)


class JointTrajectoryWriter:
    """Writes plans as a stock joint_trajectory_controller accepts them.

    T points, the first one a step after the stamp: positions and, if every joint has one,
    velocities. No effort, which it refuses where it does not command efforts.

    Args:
        system: whose plans are written.
        stops: whether the last velocities are zero, whatever the plan says.
        frame_id: of the header.
    """

    def __init__(self, system: System, stops: bool, frame_id: str = '') -> None:
        joints = joints_of(system)
        moving = all(joint.velocity is not None for joint in joints)
        positions = indices(joint.position for joint in joints)
        velocities = indices(joint.velocity for joint in joints) if moving else []
        states, _ = _plan_placeholders(system)
        points = [
            JointTrajectoryPoint(
                positions=_placed(len(joints), positions, x),
                velocities=_placed(len(joints) * moving, velocities, x),
                time_from_start=duration(k * system.dt),
            )
            for k, x in enumerate(states[1:], 1)
        ]
        if stops:
            points[-1].velocities = _placed(len(joints) * moving, [], states[-1])
        self._message = _serialized([joint.name for joint in joints], frame_id, points)
        self._system = system

    def __call__(self, plan: Plan, stamp: Time) -> bytes:
        """The message for a plan from a state measured at `stamp`."""
        seconds = free_times(plan, self._system)[1:]
        return self._message.filled(stamp, plan.states, seconds=seconds)


class StampedCommandWriter:
    """Writes commands as JointTrajectory of one point.

    Args:
        system: whose controls are commanded.
        frame_id: of the header.
        time_from_start: of the point [s].
    """

    def __init__(self, system: System, frame_id: str = '', time_from_start: float = 0.0) -> None:
        effort = _array(placeholders((system.n_u,)))
        point = JointTrajectoryPoint(effort=effort, time_from_start=duration(time_from_start))
        self._message = _serialized(actuators_of(system), frame_id, [point])

    def __call__(self, control: Array, stamp: Time) -> bytes:
        """The message for a control (n_u,) that holds from `stamp`."""
        return self._message.filled(stamp, control)


def free_times(plan: Plan, system: System) -> list[float]:
    """Seconds of the states of a plan (T + 1,) since it began, where its duration is free.

    They are the same for all plans of a system otherwise, and the list is empty.
    """
    if system.final_time is None:
        return []
    step = step_of(plan, system)
    return [k * step for k in range(len(plan.states))]


def _plan_placeholders(system: System) -> tuple[Array, Array]:
    """Placeholders for states (T + 1, n_x), and behind them controls (T, n_u)."""
    states = placeholders((system.horizon + 1, system.n_x))
    return states, placeholders((system.horizon, system.n_u), before=states.size)


def _serialized(
    names: list[str], frame_id: str, points: list[JointTrajectoryPoint]
) -> SerializedTrajectory:
    message = JointTrajectory(joint_names=names, points=points)
    message.header.frame_id = frame_id
    return SerializedTrajectory(message)


def _placed(n: int, places: Places, values: Array) -> array.array[float]:
    """n zeros, but for the coordinates of `values` that have a place."""
    found = _array([0.0] * n)
    for i, j in places:
        found[i] = values[j]
    return found


def _array(values: Array | list[float]) -> array.array[float]:
    return array.array('d', values)
