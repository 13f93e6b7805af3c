"""The accelerations of a tree of joints under torques and forces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from trc_core.problem.rigid_body.inertia import inertia_of, matrices
from trc_core.problem.rigid_body.places import move_of, turns_of
from trc_core.problem.rigid_body.tree import Point, Tree
from trc_core.problem.rigid_body.vectors import (
    Turn,
    Vector,
    cross,
    matrix_of_cross,
    matrix_to_parent,
    nothing,
    symmetric,
    to_child,
    to_parent,
)

Blocks = tuple[Vector, Vector, Vector]  # J, H and M of an inertia


def accelerations(
    tree: Tree,
    q: Sequence[Any],
    v: Sequence[Any],
    forces: Sequence[Any],
    armatures: Sequence[Any] | None = None,
    points: Sequence[Point] = (),
) -> list[Any]:
    """The accelerations (n,) of the joints: the articulated-body algorithm in bodies' frames.

    Velocities of origins do not occur: as in the algorithm of Luh, Walker and Paul, the
    accelerations that count are those of the origins, and w x (w x r) is W r.

    Source: Featherstone (2008), section 7.3; Luh, Walker, Paul, On-Line Computational Scheme for
    Mechanical Manipulators (1980).

    Args:
        tree: the mechanism.
        q: positions of the joints (n,) [rad or m].
        v: their velocities (n,).
        forces: torques and forces of the joints (n,), friction included.
        armatures: inertias of their rotors (n,), as the joints feel them; none by default.
        points: point masses on bodies, like a payload.
    """
    n = len(tree)
    hops = [_Hop(turns_of(tree, i, q[i]), move_of(tree, i, q[i])) for i in range(n)]
    biases, loads = _from_velocities(tree, hops, v, points)
    rotors = [0.0] * n if armatures is None else list(armatures)
    felt = _articulated(tree, hops, biases, loads, forces, rotors, points)
    # Outwards, from a base in free fall against gravity, which stands for the weights.
    found: list[Any] = []
    moved: list[tuple[Vector, Vector]] = []
    for i, parent in enumerate(tree.parents):
        base = nothing(), -tree.gravity.astype(object)
        turning, linear = base if parent < 0 else moved[parent]
        linear = to_child(linear + cross(turning, hops[i].move), hops[i].turns) + biases[i][1]
        turning = to_child(turning, hops[i].turns) + biases[i][0]
        inverse, along, rest = felt[i]
        acceleration = (rest - along[0] @ turning - along[1] @ linear) * inverse
        found.append(acceleration)
        axis = linear if tree.sliding[i] else turning
        axis[2] = axis[2] + acceleration
        moved.append((turning, linear))
    return found


class _Hop(NamedTuple):
    """The way from the frame of a body's parent to its own."""

    turns: list[Turn]
    move: Vector
    """Its origin in the parent's frame (3,)."""


class _Felt(NamedTuple):
    """What a joint feels of all that it carries."""

    inverse: Any
    """Of the inertia along the joint."""
    along: tuple[Vector, Vector]
    """Torque and force that a unit of acceleration of the joint needs, (3,) each."""
    rest: Any
    """What is left of the joint's force."""


def _from_velocities(
    tree: Tree, hops: Sequence[_Hop], v: Sequence[Any], points: Sequence[Point]
) -> tuple[list[tuple[Vector, Vector]], list[tuple[Vector, Vector]]]:
    """What velocities make of accelerations (angular, linear), and of forces (torque, force)."""
    spins: list[Vector] = []
    centripetal: list[Vector] = []
    biases, loads = [], []
    for i, parent in enumerate(tree.parents):
        before = nothing() if parent < 0 else spins[parent]
        inward = nothing() if parent < 0 else centripetal[parent] @ hops[i].move
        spin, linear = to_child(before, hops[i].turns), to_child(inward, hops[i].turns)
        coriolis = np.array([spin[1] * v[i], -spin[0] * v[i], 0.0], dtype=object)
        if tree.sliding[i]:
            biases.append((nothing(), linear + 2.0 * coriolis))
        else:
            biases.append((coriolis, linear))
            spin[2] = spin[2] + v[i]
        W = np.outer(spin, spin)
        W = W - np.trace(W) * np.eye(3)
        body = inertia_of(tree, i, points)
        spins.append(spin)
        centripetal.append(W)
        loads.append((cross(body.second @ spin, spin), W @ body.first))
    return biases, loads


def _articulated(
    tree: Tree,
    hops: Sequence[_Hop],
    biases: Sequence[tuple[Vector, Vector]],
    loads: list[tuple[Vector, Vector]],
    forces: Sequence[Any],
    armatures: Sequence[Any],
    points: Sequence[Point],
) -> list[_Felt]:
    """What every joint feels, inwards from the last."""
    n = len(tree)
    inertias = [matrices(*inertia_of(tree, i, points)) for i in range(n)]
    found: list[Any] = [None] * n
    for i in reversed(range(n)):
        blocks, (torque, force) = inertias[i], loads[i]
        J, H, M = blocks
        along = (H[:, 2], M[:, 2]) if tree.sliding[i] else (J[:, 2], H[2, :])
        own, load = (along[1], force) if tree.sliding[i] else (along[0], torque)
        found[i] = felt = _Felt(1.0 / (own[2] + armatures[i]), along, forces[i] - load[2])
        parent = tree.parents[i]
        if parent < 0:
            continue
        J, H, M = _freed(blocks, felt, tree.sliding[i], armatures[i])
        turning, linear = biases[i]
        share = felt.inverse * felt.rest
        torque = torque + J @ turning + H @ linear + along[0] * share
        force = force + H.T @ turning + M @ linear + along[1] * share
        torque, force = to_parent(torque, hops[i].turns), to_parent(force, hops[i].turns)
        above = loads[parent]
        loads[parent] = above[0] + torque + cross(hops[i].move, force), above[1] + force
        seen = _in_parent((J, H, M), hops[i])
        J, H, M = (a + b for a, b in zip(inertias[parent], seen, strict=True))
        inertias[parent] = J, H, M
    return found


def _freed(blocks: Blocks, felt: _Felt, sliding: bool, armature: Any) -> Blocks:
    """The inertia that is felt through a joint that moves freely."""
    (J, H, M), (U, V) = blocks, felt.along
    P, L = U * felt.inverse, V * felt.inverse
    J, M = symmetric(J - np.outer(U, P)), symmetric(M - np.outer(V, L))
    H = H - np.outer(U, L)
    if isinstance(armature, float) and armature == 0.0:  # nothing is felt along the joint
        if sliding:
            M[:, 2] = M[2, :] = H[:, 2] = 0.0
        else:
            J[:, 2] = J[2, :] = H[2, :] = 0.0
    return J, H, M


def _in_parent(blocks: Blocks, hop: _Hop) -> Blocks:
    """An inertia about the origin of the parent's frame, in its directions."""
    J, H, M = (matrix_to_parent(part, hop.turns) for part in blocks)
    across = matrix_of_cross(hop.move)
    shifted = H + across @ M
    return symmetric(J + across @ H.T - shifted @ across), shifted, M
