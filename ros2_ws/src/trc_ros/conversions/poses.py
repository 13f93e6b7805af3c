"""Poses: the coordinate of a plant behind every component of a pose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trc_core.problem.system import Array
from trc_core.systems import System
from trc_core.systems.registry import SHIPPED
from trc_core.systems.shipped import Vector
from trc_ros.conversions.directions import DIRECTIONS, ROTATIONS, TRANSLATIONS, require_axes
from trc_ros.conversions.rejection import RejectedInput

POSE_AXES: dict[str, tuple[str, ...]] = {
    name: shipped.pose_axes for name, shipped in SHIPPED.items() if shipped.pose_axes
}
"""For systems by name: the axis of every joint, in the order of `System.joints`."""
UNIT_TOLERANCE = 0.01  # of a quaternion's length, as it may be typed by hand
MAX_LEAN = 0.5  # [rad] by which a rotation may leave the plane of the plant

Quaternion = tuple[float, float, float, float]  # x, y, z, w
IDENTITY: Quaternion = (0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Placement:
    """Axes and frame of a system in space; empty: those of `POSE_AXES`, in any frame."""

    axes: tuple[str, ...] = ()
    frame_id: str = ''


ANYWHERE = Placement()


class BodyFrame:
    """Converts between coordinates of a plant and pose and twist of its body.

    Translations are in the fixed frame. A rotation is an angle [rad] about one
    axis, in (-pi, pi].

    Args:
        system: the plant.
        axes: of every joint, in order; by default those in `POSE_AXES`.

    Raises:
        ValueError: if there is no such default, or the axes do not fit the joints.
    """

    def __init__(self, system: System, axes: Sequence[str] = ()) -> None:
        axes = tuple(axes) or POSE_AXES.get(system.name, ())
        _require_axes(system, axes)
        places = [
            (axis, joint.position, joint.velocity)
            for axis, joint in zip(axes, system.joints, strict=True)
        ]
        self._translations = [
            (TRANSLATIONS.index(axis), p, v) for axis, p, v in places if axis in TRANSLATIONS
        ]
        rotations = [(ROTATIONS.index(axis), p, v) for axis, p, v in places if axis in ROTATIONS]
        self._rotation = rotations[0] if rotations else None

    @property
    def rotation(self) -> int | None:
        """The place of the angle of the rotation in x; None where there is none."""
        return None if self._rotation is None else self._rotation[1]

    def pose(self, x: Sequence[float]) -> tuple[Vector, Quaternion]:
        """Position and orientation in state x (n_x,)."""
        position = [0.0, 0.0, 0.0]
        for i, place, _ in self._translations:
            position[i] = x[place]
        return (position[0], position[1], position[2]), self._orientation(x)

    def _orientation(self, x: Sequence[float]) -> Quaternion:
        if self._rotation is None:
            return IDENTITY
        axis, place, _ = self._rotation
        half = [0.0, 0.0, 0.0]
        half[axis] = math.sin(x[place] / 2)
        return (half[0], half[1], half[2], math.cos(x[place] / 2))

    def place(self, x: Array, position: Vector, orientation: Quaternion) -> None:
        """Writes a pose into x (n_x,).

        Args:
            x: is changed.
            position: [m].
            orientation: of length 1.

        Raises:
            RejectedInput: if the orientation leans out of the plane of the rotation.
        """
        for i, place, _ in self._translations:
            x[place] = position[i]
        if self._rotation is not None:
            x[self._rotation[1]] = angle_about(self._rotation[0], orientation)

    def move(self, x: Array, linear: Vector, angular: Vector) -> None:
        """Writes a twist into x (n_x,): `linear` in the fixed frame, `angular` in the body's."""
        for i, _, place in self._translations:
            if place is not None:
                x[place] = linear[i]
        if self._rotation is not None and self._rotation[2] is not None:
            x[self._rotation[2]] = angular[self._rotation[0]]


def _require_axes(system: System, axes: tuple[str, ...]) -> None:
    names = [joint.name for joint in system.joints]
    if not axes:
        raise ValueError(
            f"a pose does not say where '{system.name}' is: set pose_axes, "
            f'one of {list(DIRECTIONS)} for each of {names}'
        )
    require_axes('pose_axes', axes, names, DIRECTIONS)
    if len(set(axes)) < len(axes) or len(set(axes) & set(ROTATIONS)) > 1:
        raise ValueError(
            f'pose_axes is {list(axes)}; no axis twice and at most one of {ROTATIONS}'
        )
    carried = {place for joint in system.joints for place in (joint.position, joint.velocity)}
    missing = [name for i, name in enumerate(system.state_names) if i not in carried]
    if missing or any(joint.position is None for joint in system.joints):
        raise ValueError(f"a pose cannot carry all of '{system.name}': {missing or names}")


def unit(orientation: Quaternion) -> Quaternion:
    """The orientation with length 1.

    Raises:
        RejectedInput: if it is not finite, or too far from length 1 to be one.
    """
    x, y, z, w = orientation
    length = math.sqrt(x * x + y * y + z * z + w * w)
    if not math.isfinite(length):
        raise RejectedInput('not_finite', f'orientation {orientation}')
    if abs(length - 1.0) > UNIT_TOLERANCE:
        raise RejectedInput('not_unit', f'orientation {orientation} has length {length:.6g}')
    return (x / length, y / length, z / length, w / length)


def angle_about(axis: int, orientation: Quaternion) -> float:
    """Angle [rad] about x, y or z (0, 1, 2), in (-pi, pi], of a quaternion of length 1.

    Raises:
        RejectedInput: if it leans that axis by more than `MAX_LEAN`.
    """
    w, q = orientation[3], orientation[axis]
    upright = 2.0 * (w * w + q * q) - 1.0  # cosine between the axis before and after the turn
    if upright < math.cos(MAX_LEAN):
        lean = math.acos(max(upright, -1.0))
        raise RejectedInput('off_plane', f'{ROTATIONS[axis]} axis leans by {lean:.3g} rad')
    return 2.0 * (math.atan2(-q, -w) if w < 0.0 else math.atan2(q, w))


def rotated(vector: Vector, orientation: Quaternion) -> Vector:
    """A vector of the body's frame in the fixed one, for an orientation of length 1."""
    x, y, z, w = orientation
    a, b, c = vector
    # v + w t + q x t with t = 2 q x v
    t, u, v = 2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)
    return (a + w * t + y * v - z * u, b + w * u + z * t - x * v, c + w * v + x * u - y * t)
