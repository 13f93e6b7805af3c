"""Where the bodies of a tree are, and points on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from trc_core.problem.rigid_body.tree import Point, Tree, clean
from trc_core.problem.rigid_body.vectors import Turn, Vector, columns_turned, turned


class Placed(NamedTuple):
    """Where the bodies of a tree are, in the frame of the base."""

    rotations: list[Vector]
    """Of the short frames (3, 3)."""
    origins: list[Vector]
    """Of the bodies' frames (3,)."""


def placed(tree: Tree, q: Sequence[Any]) -> Placed:
    """The bodies at joint positions q (n,)."""
    rotations: list[Vector] = []
    origins: list[Vector] = []
    for i, parent in enumerate(tree.parents):
        rotation = np.eye(3).astype(object) if parent < 0 else rotations[parent]
        origin = np.zeros(3).astype(object) if parent < 0 else origins[parent]
        origin = origin + rotation @ tree.frames.offsets[i]
        for axis, c, s in turns_of(tree, i, q[i]):
            rotation = columns_turned(rotation, axis, c, s)
        if tree.sliding[i]:
            origin = origin + rotation[:, 2] * q[i]
        rotations.append(rotation)
        origins.append(origin)
    return Placed(rotations, origins)


def position(tree: Tree, q: Sequence[Any], point: Point) -> Vector:
    """The position (3,) of a point in the frame of the base, at joint positions q (n,)."""
    if point.body < 0:
        return np.array(point.offset, dtype=object)
    places, turn = placed(tree, q), tree.frames.turns[point.body]
    offset = clean(turn.T @ np.array(point.offset, dtype=np.float64))
    return places.origins[point.body] + places.rotations[point.body] @ offset


def orientation(tree: Tree, q: Sequence[Any], body: int) -> Vector:
    """The rotation (3, 3) of a body's frame in the frame of the base."""
    if body < 0:
        return np.eye(3).astype(object)
    return placed(tree, q).rotations[body] @ tree.frames.turns[body].T.astype(object)


def turns_of(tree: Tree, i: int, angle: Any) -> list[Turn]:
    """The turns from the frame of a body's parent to its own."""
    home = float(tree.frames.homes[i])
    turn = home if tree.sliding[i] else angle + home
    swing, bend = tree.frames.swings[i].tolist(), tree.frames.bends[i].tolist()
    return [(2, *swing), (0, *bend), (2, np.cos(turn), np.sin(turn))]


def move_of(tree: Tree, i: int, q: Any) -> Vector:
    """The origin (3,) of a body's frame in that of its parent."""
    offset = tree.frames.offsets[i].astype(object)
    if not tree.sliding[i]:
        return offset
    along = np.array([0.0, 0.0, 1.0], dtype=object)
    for axis, c, s in reversed(turns_of(tree, i, q)[:2]):
        along = turned(along, axis, c, s)
    return offset + along * q
