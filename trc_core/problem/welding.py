"""Links that cannot move against each other are one body."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.problem.rigid_body import Tree

Array = NDArray[np.float64]
MOVABLE = ('revolute', 'continuous', 'prismatic')


class Place(NamedTuple):
    """A frame in another one."""

    rotation: Array
    """(3, 3)."""
    offset: Array
    """(3,) [m]."""

    def __matmul__(self, inner: Place) -> Place:
        """A frame that is given in this one, in the outer frame."""
        return Place(self.rotation @ inner.rotation, self.offset + self.rotation @ inner.offset)


HERE = Place(np.eye(3), np.zeros(3))


class Lump(NamedTuple):
    """A rigid body: mass [kg], moment of mass [kg m], and second moments of mass [kg m^2]."""

    mass: float
    first: Array
    second: Array

    def moved(self, place: Place) -> Lump:
        """The same body, in the frame that its own is placed in."""
        R, o = place
        first = R @ self.first
        second = R @ self.second @ R.T + np.outer(o, first) + np.outer(first, o)
        return Lump(self.mass, first + self.mass * o, second + self.mass * np.outer(o, o))

    @property
    def centre(self) -> Array:
        """The centre of mass (3,); the origin where there is no mass."""
        return self.first / self.mass if self.mass else np.zeros(3)

    @property
    def inertia(self) -> Array:
        """The moments of inertia (3, 3) about the centre of mass [kg m^2]."""
        second = self.second - self.mass * np.outer(self.centre, self.centre)
        return np.asarray(np.trace(second) * np.eye(3) - second)

    @classmethod
    def nothing(cls) -> Lump:
        """That of a link without inertia."""
        return cls(0.0, np.zeros(3), np.zeros((3, 3)))

    def __add__(self, other: Any) -> Lump:
        return Lump(*(a + b for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True)
class LinkJoint:
    """A joint as the file states it."""

    name: str
    kind: str
    parent: str
    child: str
    place: Place
    axis: Array
    limits: Mapping[str, float]
    damping: float
    friction: float
    mimics: str | None


def about(axis: Array, angle: float) -> Array:
    """The rotation (3, 3) about an axis of length 1."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * cross @ cross


class Welded(NamedTuple):
    """A robot whose links are bodies."""

    tree: Tree
    bodies: dict[str, int]
    """The body of each link; -1 for the base."""
    places: dict[str, Place]
    """Where each link is in the frame of its body."""


def welded(
    base: str,
    ordered: Sequence[LinkJoint],
    moving: Mapping[str, LinkJoint],
    locked: Mapping[str, float],
    lumps: Mapping[str, Lump],
    gravity: Array,
) -> Welded:
    """The bodies of a robot: the links that move together.

    Args:
        base: the link that does not move.
        ordered: all joints, parents before children.
        moving: those that move, by name, in the same order.
        locked: positions of some that do not move, by name.
        lumps: what every link weighs.
        gravity: its acceleration in the frame of the base (3,).

    Raises:
        ValueError: if a joint moves nothing that has a mass, or what no body weighs.
    """
    bodies, places = {base: -1}, {base: HERE}
    carried: list[Lump] = []
    parents: list[int] = []
    frames: list[Place] = []
    for joint in ordered:
        carrier, here = bodies[joint.parent], places[joint.parent] @ joint.place
        if joint.name in moving:
            bodies[joint.child], places[joint.child] = len(carried), HERE
            carried.append(lumps[joint.child])
            parents.append(carrier)
            frames.append(here)
            continue
        here = here @ _held(joint, locked.get(joint.name, 0.0))
        bodies[joint.child], places[joint.child] = carrier, here
        if carrier >= 0:
            carried[carrier] += lumps[joint.child].moved(here)
    joints = list(moving.values())
    for joint, lump in zip(joints, carried, strict=True):
        _require_body(joint, lump)
    return Welded(_tree(joints, parents, frames, carried, gravity), bodies, places)


def _require_body(joint: LinkJoint, lump: Lump) -> None:
    """Refuses a body without mass or with negative inertia; links of the base may weigh anything.

    It is what moves together that counts: the inertia of an antenna of 1 mg is often made up.
    """
    if lump.mass <= 0.0:
        raise ValueError(
            f"joint '{joint.name}' moves the link '{joint.child}', which has no mass; write its "
            f"<inertial>, or weld it with locked={{'{joint.name}': 0.0}}"
        )
    inertia = lump.inertia
    if np.linalg.eigvalsh(inertia).min() < -1e-9 * max(np.abs(inertia).max(), 1e-9):
        raise ValueError(
            f"the inertia of link '{joint.child}', with all that is fixed to it, is negative "
            'about an axis; no body has that: correct its <inertia>'
        )


def _tree(
    joints: Sequence[LinkJoint],
    parents: Sequence[int],
    frames: Sequence[Place],
    bodies: Sequence[Lump],
    gravity: Array,
) -> Tree:
    return Tree(
        tuple(parents),
        tuple(joint.kind == 'prismatic' for joint in joints),
        np.array([frame.rotation for frame in frames]),
        np.array([frame.offset for frame in frames]),
        np.array([joint.axis for joint in joints]),
        np.array([lump.mass for lump in bodies]),
        np.array([lump.centre for lump in bodies]),
        np.array([lump.inertia for lump in bodies]),
        gravity,
    )


def _held(joint: LinkJoint, position: float) -> Place:
    """The place of a joint that does not move."""
    if joint.kind not in MOVABLE:
        return HERE
    if joint.kind == 'prismatic':
        return Place(np.eye(3), position * joint.axis)
    return Place(about(joint.axis, position), np.zeros(3))
