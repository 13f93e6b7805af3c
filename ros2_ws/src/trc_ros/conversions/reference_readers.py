"""Readers of references: stamped states along a trajectory or a path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from nav_msgs.msg import Path
from trajectory_msgs.msg import JointTrajectory

from trc_core.flight.reference import BadReference, ReferenceTrack
from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.conversions.axes import axes_of, indices
from trc_ros.conversions.pose_readers import PoseReader
from trc_ros.conversions.poses import ANYWHERE, Placement
from trc_ros.conversions.readers import require_names
from trc_ros.conversions.rejection import RejectedInput
from trc_ros.conversions.stamps import own_stamp, seconds_of

ReferenceReader = Callable[[Any, float], ReferenceTrack]


class JointTrajectoryReader:
    """Reads a reference from a JointTrajectory, names in any order.

    A stamp of zero means: from now on. Without velocities, they are differences of positions.

    Args:
        system: whose reference it is.
        placement: not needed, names say it all.
    """

    def __init__(self, system: System, placement: Placement = ANYWHERE) -> None:
        self._system = system
        self._axes = {axis.name: axis for axis in axes_of(system)}

    def __call__(self, message: JointTrajectory, now: float) -> ReferenceTrack:
        """The track of a message that arrived at the time `now` [s].

        Raises:
            RejectedInput: if a name is unknown, missing or there twice, if a point has not as
                many numbers as there are names, or as `ReferenceTrack.checked` says.
        """
        names, points = list(message.joint_names), message.points
        require_names(names, self._axes)
        begin = own_stamp(message)
        if begin is None and now == 0.0:
            raise RejectedInput('stamp', 'it begins now, but nobody has said what time it is yet')
        start = now if begin is None else seconds_of(begin)
        moving = bool(points) and len(points[0].velocities) > 0
        times = [start + seconds_of(point.time_from_start) for point in points]
        axes = [self._axes[name] for name in names]
        states = np.zeros((len(points), self._system.n_x))
        _fill(states, [p.positions for p in points], [axis.position for axis in axes])
        if moving:
            _fill(states, [p.velocities for p in points], [axis.velocity for axis in axes])
        return _checked(self._system, times, states, now, moving)


class PathReader(PoseReader):
    """Reads a reference from a Path whose poses have stamps; velocities are differences."""

    def __init__(self, system: System, placement: Placement = ANYWHERE) -> None:
        super().__init__(system, placement)
        self._system = system

    def __call__(self, message: Path, now: float) -> ReferenceTrack:  # type: ignore[override]
        """The track of a message that arrived at the time `now` [s].

        Raises:
            RejectedInput: as `PoseReader` about a pose, or as `ReferenceTrack.checked` says.
        """
        times = [seconds_of(pose.header.stamp) for pose in message.poses]
        placed = [self._placed(message.header, pose.pose)[0] for pose in message.poses]
        states = np.array(placed).reshape(len(times), self._system.n_x)
        self._frame.attitude.connect(states)
        track = _checked(self._system, times, states, now, moving=False)
        self._frame.attitude.as_rates(track.states)
        return track


def _fill(states: Array, rows: list[Any], places: list[int | None]) -> None:
    """Fills states (N, n_x) with the numbers of N points, one for each place.

    Raises:
        RejectedInput: if a point has another number of them.
    """
    for k, row in enumerate(rows):
        if len(row) != len(places):
            detail = f'point {k} has {len(row)} numbers for {len(places)} names'
            raise RejectedInput('wrong_size', detail)
    for i, j in indices(places):
        states[:, j] = [row[i] for row in rows]


def _checked(
    system: System, times: list[float], states: Array, now: float, moving: bool
) -> ReferenceTrack:
    try:
        return ReferenceTrack.checked(system, np.array(times), states, now, moving)
    except BadReference as error:
        raise RejectedInput(error.reason, str(error)) from error


REFERENCE_TYPES: dict[str, tuple[type, Callable[..., ReferenceReader]]] = {
    'JointTrajectory': (JointTrajectory, JointTrajectoryReader),
    'Path': (Path, PathReader),
}
"""Message type and reader for every value of `reference_type`."""
