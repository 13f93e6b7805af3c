"""Inertias and momenta of bodies, by the moments of their mass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from trc_core.problem.rigid_body.tree import Point, Tree, clean
from trc_core.problem.rigid_body.vectors import (
    Vector,
    cross,
    force_cross,
    matrix_of_cross,
    nothing,
    symmetric,
)


class Inertia(NamedTuple):
    """The mass of a body, and its moments about an origin."""

    mass: Any
    first: Vector
    """The integral of r (3,)."""
    second: Vector
    """The integral of r r' (3, 3)."""

    def __add__(self, other: Any) -> Inertia:
        return Inertia(*(a + b for a, b in zip(self, other, strict=True)))


class Momentum(NamedTuple):
    """The moments of the velocities v of a body's points."""

    linear: Vector
    """The integral of v (3,)."""
    second: Vector
    """The integral of r v' (3, 3)."""

    def __add__(self, other: Any) -> Momentum:
        return Momentum(*(a + b for a, b in zip(self, other, strict=True)))


def inertia_of(tree: Tree, i: int, points: Sequence[Point]) -> Inertia:
    """The inertia of a body about the origin of its short frame."""
    return with_points(
        tree, i, points, lambda r: r, tree.frames.seconds[i], tree.frames.centres[i]
    )


def with_points(
    tree: Tree, i: int, points: Sequence[Point], place: Any, second: Vector, centre: Vector
) -> Inertia:
    """A body and the point masses on it; `place` moves from the body's frame to another."""
    found = Inertia(0.0, nothing(), second.astype(object))
    offsets = [
        (point.mass, tree.frames.turns[i].T @ np.array(point.offset, dtype=np.float64))
        for point in points
        if point.body == i
    ]
    for mass, offset in [(float(tree.masses[i]), centre), *offsets]:
        r = place(clean(offset).astype(object))
        moment = mass * r
        found = found + Inertia(mass, moment, symmetric(np.outer(moment, r)))
    return found


def matrices(mass: Any, first: Vector, second: Vector) -> tuple[Vector, Vector, Vector]:
    """An inertia (6, 6) as its blocks J, H and M; [torque; force] = [J H; H' M] motion."""
    return (
        np.trace(second) * np.eye(3) - second,
        matrix_of_cross(first),
        mass * np.eye(3).astype(object),
    )


def times_inertia(body: Inertia, motion: Vector) -> Vector:
    """The force or momentum (6,) of an inertia and an acceleration or velocity (6,)."""
    w, o = motion[:3], motion[3:]
    turning = np.trace(body.second) * w - body.second @ w + cross(body.first, o)
    return np.concatenate([turning, body.mass * o + cross(w, body.first)])


def momentum_of(body: Inertia, rate: Vector) -> Momentum:
    """The momentum of a body at a spatial velocity (6,)."""
    w, o = rate[:3], rate[3:]
    linear = body.mass * o + cross(w, body.first)
    return Momentum(linear, np.outer(body.first, o) - body.second @ matrix_of_cross(w))


def force_of(body: Inertia, momentum: Momentum, rate: Vector, acceleration: Vector) -> Vector:
    """The force (6,) on a body at a spatial velocity and acceleration."""
    K = momentum.second
    turning = np.array([K[1, 2] - K[2, 1], K[2, 0] - K[0, 2], K[0, 1] - K[1, 0]], dtype=object)
    moving = np.concatenate([turning, momentum.linear])
    return times_inertia(body, acceleration) + force_cross(rate, moving)
