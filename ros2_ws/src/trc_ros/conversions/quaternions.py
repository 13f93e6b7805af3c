"""Quaternions (x, y, z, w) that turn a body's frame into the fixed one."""

from __future__ import annotations

import math

from trc_core.systems.shipped import Vector
from trc_ros.conversions.directions import ROTATIONS
from trc_ros.conversions.rejection import RejectedInput

UNIT_TOLERANCE = 0.01  # of a quaternion's length, as it may be typed by hand
MAX_LEAN = 0.5  # [rad] by which a rotation may leave the plane of the plant

Quaternion = tuple[float, float, float, float]  # x, y, z, w
IDENTITY: Quaternion = (0.0, 0.0, 0.0, 1.0)


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


def opposite(orientation: Quaternion) -> Quaternion:
    """The other quaternion of the same orientation."""
    x, y, z, w = orientation
    return -x, -y, -z, -w


def dot(one: Quaternion, other: Quaternion) -> float:
    """Cosine of half the angle between two quaternions of length 1."""
    return sum(a * b for a, b in zip(one, other, strict=True))
