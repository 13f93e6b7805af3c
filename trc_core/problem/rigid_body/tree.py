"""The tree of joints and bodies, and the frames in which its formulas are shortest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
GRAVITY = (0.0, 0.0, -9.81)  # [m/s^2]
ROUNDING = 1e-15  # entries of rotations below it are zeros


@dataclass(frozen=True, eq=False)
class Tree:
    """A tree of n joints on a fixed base, parents before children; body i moves with joint i.

    Joint i turns about, or slides along, its axis through the origin of its frame. The frame of
    body i is that of joint i, moved by it. All numbers are in SI units.
    """

    parents: tuple[int, ...]
    """The body that each joint stands on; -1 for the base."""
    sliding: tuple[bool, ...]
    """Whether each joint is prismatic."""
    rotations: Array
    """Of the joint frames in the frames of their parents (n, 3, 3)."""
    offsets: Array
    """Origins of the joint frames in the frames of their parents (n, 3)."""
    axes: Array
    """Axes of the joints in their frames (n, 3), of length 1."""
    masses: Array
    """Masses of the bodies (n,)."""
    centres: Array
    """Centres of mass in the bodies' frames (n, 3)."""
    inertias: Array
    """Inertias about the centres of mass, in the directions of the bodies' frames (n, 3, 3)."""
    gravity: Array
    """Acceleration of gravity in the frame of the base (3,)."""

    def __len__(self) -> int:
        return len(self.parents)

    @cached_property
    def above(self) -> tuple[tuple[int, ...], ...]:
        """The joints between each joint and the base, from its parent downwards."""
        found: list[tuple[int, ...]] = []
        for parent in self.parents:
            found.append((parent, *found[parent]) if parent >= 0 else ())
        return tuple(found)

    @cached_property
    def frames(self) -> Frames:
        """The same tree in frames that give the shortest formulas."""
        return frames_of(self)


class Point(NamedTuple):
    """A point of a body, with or without a mass of its own."""

    body: int
    """-1 for the base."""
    offset: Sequence[Any]
    """In the frame of the body (3,)."""
    mass: Any = 0.0


class Frames(NamedTuple):
    """A tree in frames whose z axis is that of the joint, as Denavit and Hartenberg chose them.

    A body's frame is that of its parent, moved by an offset, turned about z by `swing`, about x by
    `bend`, then about z by `home` and the angle of the joint. The swings of most joints are 0.
    """

    turns: Array
    """Of these frames in the bodies' own (n, 3, 3)."""
    swings: Array
    """Cosines and sines (n, 2)."""
    bends: Array
    """Cosines and sines (n, 2)."""
    homes: Array
    """Angles (n,)."""
    offsets: Array
    """In the frames of the parents (n, 3)."""
    centres: Array
    """Centres of mass (n, 3)."""
    seconds: Array
    """Second moments of mass about the centres, the integral of r r' (n, 3, 3)."""


def frames_of(tree: Tree) -> Frames:
    """The frames of a tree: each x axis points along a joint that stands on the body."""
    n = len(tree)
    turns = np.array([_turn_to(axis) for axis in tree.axes]).reshape(n, 3, 3)
    rotations = np.zeros((n, 3, 3))
    swings, bends, homes = np.zeros(n), np.zeros((n, 2)), np.zeros(n)
    for i in reversed(range(n)):  # a body's frame is final once its first child has turned it
        parent = tree.parents[i]
        before = np.eye(3) if parent < 0 else turns[parent]
        rotations[i] = before.T @ tree.rotations[i] @ turns[i]
        if parent >= 0 and i == tree.parents.index(parent):
            swing = _swing(rotations[i])
            turns[parent] = turns[parent] @ _about_z(swing)
    offsets = np.zeros((n, 3))
    for i, parent in enumerate(tree.parents):
        before = np.eye(3) if parent < 0 else turns[parent]
        rotation = before.T @ tree.rotations[i] @ turns[i]
        swings[i] = 0.0 if i == _first_on(tree, parent) else _swing(rotation)
        rest = _about_z(swings[i]).T @ rotation
        bends[i] = rest[2, 2], -rest[1, 2]
        homes[i] = np.arctan2(-rest[0, 1], rest[0, 0])
        offsets[i] = before.T @ tree.offsets[i]
    inertias = turns.transpose(0, 2, 1) @ tree.inertias @ turns
    traces = np.trace(inertias, axis1=1, axis2=2)[:, None, None]
    return Frames(
        turns,
        clean(np.stack([np.cos(swings), np.sin(swings)], axis=1)),
        clean(bends),
        homes,
        clean(offsets),
        clean(np.einsum('nji,nj->ni', turns, tree.centres)),
        0.5 * traces * np.eye(3) - inertias,
    )


def _first_on(tree: Tree, parent: int) -> int:
    """The joint along which the x axis of a body points; none for the base."""
    return tree.parents.index(parent) if parent >= 0 else -1


def _turn_to(axis: Array) -> Array:
    """A rotation (3, 3) whose third column is an axis; none where that is z."""
    z = axis / np.linalg.norm(axis)
    if z[2] == 1.0:
        return np.eye(3)
    least = np.eye(3)[np.argmin(np.abs(z))]
    x = np.cross(least, z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)


def _swing(rotation: Array) -> float:
    """The first of the angles about z, x and z that make a rotation; 0 where z stays."""
    if np.hypot(rotation[0, 2], rotation[1, 2]) <= ROUNDING:
        return 0.0
    return float(np.arctan2(rotation[0, 2], -rotation[1, 2]))


def _about_z(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def clean(values: Array) -> Array:
    """Values without what is only rounding, so that zeros and ones shorten formulas."""
    whole = np.round(values)
    return np.where(np.abs(values - whole) <= ROUNDING, whole, values)
