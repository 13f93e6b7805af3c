"""Frames and bodies of systems, as RViz shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trc_core.systems import System
from trc_core.systems.catalogue import shipped_as
from trc_core.systems.shipped import POINT, Body, Vector
from trc_ros.conversions.attitudes import Attitude, NoTurn
from trc_ros.conversions.poses import BodyFrame, Placement, pose_axes_of
from trc_ros.conversions.quaternions import IDENTITY, Quaternion, rotated


class Frame(Protocol):
    """Places a plant in space."""

    attitude: Attitude
    """The coordinates that say how it is turned."""

    def pose(self, x: Sequence[float]) -> tuple[Vector, Quaternion]:
        """Position and orientation in state x (n_x,)."""


class PhasePlane:
    """Shows a plant without a pose: its first two coordinates as x and y."""

    def __init__(self, n_x: int) -> None:
        self._is_plane = n_x > 1
        self.attitude: Attitude = NoTurn()

    def pose(self, x: Sequence[float]) -> tuple[Vector, Quaternion]:
        """Position and orientation in state x (n_x,)."""
        return (x[0], x[1] if self._is_plane else 0.0, 0.0), IDENTITY


def frame_of(system: System, placement: Placement) -> Frame:
    """Frame of a system in space; the phase plane where it has no pose.

    Raises:
        ValueError: if the axes do not fit the joints.
    """
    if placement.axes or pose_axes_of(system):
        return BodyFrame(system, placement.axes)
    return PhasePlane(system.n_x)


def body_of(system: System) -> Body:
    """The body of a system, `POINT` where none is given."""
    known = shipped_as(system)
    return POINT if known is None else known.body


def point_at(point: Vector, pose: tuple[Vector, Quaternion]) -> Vector:
    """A point of the body's frame in the fixed one."""
    (a, b, c), orientation = pose
    x, y, z = rotated(point, orientation)
    return a + x, b + y, c + z
