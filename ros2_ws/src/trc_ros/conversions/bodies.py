"""Bodies of the shipped systems for RViz: a few boxes, and the point whose path is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trc_core.systems import System
from trc_ros.conversions.poses import (
    IDENTITY,
    POSE_AXES,
    BodyFrame,
    Placement,
    Quaternion,
    Vector,
    rotated,
)

ORIGIN: Vector = (0.0, 0.0, 0.0)


class Frame(Protocol):
    """Places a plant in space."""

    def pose(self, x: Sequence[float]) -> tuple[Vector, Quaternion]:
        """Position and orientation in state x (n_x,)."""


class PhasePlane:
    """Shows a plant without a pose: its first two coordinates as x and y."""

    def __init__(self, n_x: int) -> None:
        self._is_plane = n_x > 1

    def pose(self, x: Sequence[float]) -> tuple[Vector, Quaternion]:
        """Position and orientation in state x (n_x,)."""
        return (x[0], x[1] if self._is_plane else 0.0, 0.0), IDENTITY


def frame_of(system: System, placement: Placement) -> Frame:
    """Frame of a system in space; the phase plane where it has no pose.

    Raises:
        ValueError: if the axes do not fit the joints.
    """
    if placement.axes or system.name in POSE_AXES:
        return BodyFrame(system, placement.axes)
    return PhasePlane(system.n_x)


@dataclass(frozen=True)
class Part:
    """A box of a body; lengths in metres."""

    size: Vector
    centre: Vector = ORIGIN
    """In the frame of the body."""
    turns: bool = True
    """Whether it turns with that frame, or only goes along."""


@dataclass(frozen=True)
class Body:
    """Boxes of a plant, and the point whose path is drawn."""

    parts: tuple[Part, ...]
    tip: Vector = ORIGIN
    """The point whose path is drawn, in the frame of the body."""


POINT = Body((Part((0.1, 0.1, 0.1)),))
POLE = Part((0.04, 0.04, 1.0), centre=(0.0, 0.0, 0.5))
CART_AND_POLE = Body((Part((0.4, 0.2, 0.15), turns=False), POLE), tip=(0.0, 0.0, 1.0))
BODIES: dict[str, Body] = {
    'cartpole': CART_AND_POLE,
    'cartpole_swingup': CART_AND_POLE,
    'pendulum': Body((POLE,), tip=(0.0, 0.0, 1.0)),
    'quadrotor_2d': Body((Part((0.1, 0.4, 0.04)), Part((0.1, 0.1, 0.1)))),
}
"""By the name of the system; every other one is a `POINT`."""


def body_of(system: System) -> Body:
    """Body of a system, `POINT` where none is given."""
    return BODIES.get(system.name, POINT)


def point_at(point: Vector, pose: tuple[Vector, Quaternion]) -> Vector:
    """A point of the body's frame in the fixed one."""
    (a, b, c), orientation = pose
    x, y, z = rotated(point, orientation)
    return a + x, b + y, c + z
