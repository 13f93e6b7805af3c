"""Vectors and tensors of mechanics, as object arrays whose entries are of any algebra.

Spatial motions are (angular, linear) and spatial forces (torque, force), both (6,). Source:
Featherstone, Rigid Body Dynamics Algorithms (2008), chapter 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[Any]
Turn = tuple[int, Any, Any]  # about which axis, with which cosine and sine


def turned(vector: Vector, axis: int, c: Any, s: Any) -> Vector:
    """A vector (3,) turned about an axis."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    found = vector.copy()
    found[i] = c * vector[i] - s * vector[j]
    found[j] = s * vector[i] + c * vector[j]
    return found


def to_child(vector: Vector, turns: Sequence[Turn]) -> Vector:
    """A vector (3,) of a parent's frame in the directions of a body's."""
    for axis, c, s in turns:
        vector = turned(vector, axis, c, -s)
    return vector


def to_parent(vector: Vector, turns: Sequence[Turn]) -> Vector:
    """A vector (3,) of a body's frame in the directions of its parent's."""
    for axis, c, s in reversed(turns):
        vector = turned(vector, axis, c, s)
    return vector


def columns_turned(rotation: Vector, axis: int, c: Any, s: Any) -> Vector:
    """A rotation (3, 3) followed by a turn about one of the new axes."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    found = rotation.copy()
    found[:, i] = c * rotation[:, i] + s * rotation[:, j]
    found[:, j] = c * rotation[:, j] - s * rotation[:, i]
    return found


def matrix_turned(matrix: Vector, axis: int, c: Any, s: Any) -> Vector:
    """A tensor (3, 3) turned about an axis, with half of the products of R A R'."""
    i, j, k = (axis + 1) % 3, (axis + 2) % 3, axis
    found = matrix.copy()
    mixed = s * (matrix[i, i] - matrix[j, j]) + c * (matrix[i, j] + matrix[j, i])
    found[i, i] = matrix[i, i] - s * mixed
    found[j, j] = matrix[j, j] + s * mixed
    found[i, j] = c * mixed - matrix[j, i]
    found[j, i] = c * mixed - matrix[i, j]
    found[i, k] = c * matrix[i, k] - s * matrix[j, k]
    found[j, k] = s * matrix[i, k] + c * matrix[j, k]
    found[k, i] = c * matrix[k, i] - s * matrix[k, j]
    found[k, j] = s * matrix[k, i] + c * matrix[k, j]
    return found


def matrix_to_parent(matrix: Vector, turns: Sequence[Turn]) -> Vector:
    """A tensor (3, 3) of a body's frame in the directions of its parent's."""
    for axis, c, s in reversed(turns):
        matrix = matrix_turned(matrix, axis, c, s)
    return matrix


def symmetric(matrix: Vector) -> Vector:
    """A symmetric matrix (3, 3) with one expression for both of equal entries."""
    found = matrix.copy()
    for i, j in ((1, 0), (2, 0), (2, 1)):
        found[i, j] = matrix[j, i]
    return found


def cross(a: Vector, b: Vector) -> Vector:
    """The cross product (3,)."""
    return np.array(
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]],
        dtype=object,
    )


def matrix_of_cross(a: Vector) -> Vector:
    """The matrix (3, 3) that multiplies as a x."""
    return np.array(
        [[0.0, -a[2], a[1]], [a[2], 0.0, -a[0]], [-a[1], a[0], 0.0]],
        dtype=object,
    )


def motion_cross(a: Vector, b: Vector) -> Vector:
    """The spatial product a x b of motions (6,)."""
    return np.concatenate([cross(a[:3], b[:3]), cross(a[:3], b[3:]) + cross(a[3:], b[:3])])


def force_cross(a: Vector, f: Vector) -> Vector:
    """The spatial product a x* f of a motion and a force (6,)."""
    return np.concatenate([cross(a[:3], f[:3]) + cross(a[3:], f[3:]), cross(a[:3], f[3:])])


def nothing() -> Vector:
    """Zeros (3,)."""
    return np.zeros(3).astype(object)


def still() -> Vector:
    """A motion that is none (6,)."""
    return np.zeros(6).astype(object)
