"""Joints, bodies and forces in the frame of the base, with spatial vectors about its origin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trc_core.problem.rigid_body.inertia import Inertia, force_of, momentum_of, with_points
from trc_core.problem.rigid_body.places import Placed, placed
from trc_core.problem.rigid_body.tree import Point, Tree
from trc_core.problem.rigid_body.vectors import (
    Vector,
    cross,
    motion_cross,
    nothing,
    still,
    symmetric,
)


def in_base_frame(
    tree: Tree, places: Placed, points: Sequence[Point]
) -> tuple[list[Vector], list[Inertia]]:
    """The joints as spatial vectors (6,), and the bodies, about the origin of the base."""
    S: list[Vector] = []
    bodies: list[Inertia] = []
    for i in range(len(tree)):
        R, origin = places.rotations[i], places.origins[i]
        z = R[:, 2]
        S.append(np.concatenate([nothing(), z] if tree.sliding[i] else [z, cross(origin, z)]))
        second = symmetric(R @ tree.frames.seconds[i] @ R.T)
        bodies.append(
            with_points(
                tree, i, points, lambda r, R=R, o=origin: o + R @ r, second, tree.frames.centres[i]
            )
        )
    return S, bodies


def base_acceleration(tree: Tree) -> Vector:
    """That of a base in free fall against gravity (6,), which stands for the weights."""
    return np.concatenate([nothing(), -tree.gravity]).astype(object)


def composite(tree: Tree, parts: Sequence[Any]) -> list[Any]:
    """The sums of parts over the bodies that each joint carries."""
    found = list(parts)
    for i in reversed(range(len(tree))):
        if tree.parents[i] >= 0:
            found[tree.parents[i]] = found[tree.parents[i]] + found[i]
    return found


def inverse_dynamics(
    tree: Tree,
    q: Sequence[Any],
    v: Sequence[Any],
    accelerations: Sequence[Any],
    points: Sequence[Point] = (),
) -> list[Any]:
    """The torques and forces (n,) that give the joints some accelerations (n,).

    Source: Featherstone (2008), section 5.3, in the frame of the base.
    """
    S, bodies = in_base_frame(tree, placed(tree, q), points)
    rates: list[Vector] = []
    moved: list[Vector] = []
    forces: list[Vector] = []
    for i, parent in enumerate(tree.parents):
        before = still() if parent < 0 else rates[parent]
        a = base_acceleration(tree) if parent < 0 else moved[parent]
        rates.append(before + S[i] * v[i])
        moved.append(a + motion_cross(before, S[i]) * v[i] + S[i] * accelerations[i])
        forces.append(force_of(bodies[i], momentum_of(bodies[i], rates[i]), rates[i], moved[i]))
    forces = composite(tree, forces)
    return [S[i] @ forces[i] for i in range(len(tree))]
