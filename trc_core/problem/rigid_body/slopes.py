"""The accelerations of a tree of joints with their exact slopes, by closed formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from trc_core.problem.rigid_body.base_frame import base_acceleration, composite, in_base_frame
from trc_core.problem.rigid_body.factors import factors_of, inverse_of, solved
from trc_core.problem.rigid_body.inertia import (
    Inertia,
    Momentum,
    force_of,
    momentum_of,
    times_inertia,
)
from trc_core.problem.rigid_body.places import placed
from trc_core.problem.rigid_body.tree import Point, Tree
from trc_core.problem.rigid_body.vectors import Vector, cross, force_cross, motion_cross, still


class Slopes(NamedTuple):
    """Accelerations of joints with their exact slopes."""

    accelerations: list[Any]
    """(n,)."""
    by_q: Vector
    """(n, n)."""
    by_v: Vector
    """(n, n), without that of the forces."""
    by_force: Vector
    """(n, n), the inverse of the mass matrix."""


def slopes(
    tree: Tree,
    q: Sequence[Any],
    v: Sequence[Any],
    forces: Sequence[Any],
    armatures: Sequence[Any] | None = None,
    points: Sequence[Point] = (),
) -> Slopes:
    """The accelerations with their slopes by q, v and the forces.

    They are those of inverse dynamics, times the inverse of the mass matrix: d qdd = -M^-1 d tau.

    Args:
        tree: the mechanism.
        q: positions of the joints (n,) [rad or m].
        v: their velocities (n,).
        forces: torques and forces of the joints (n,), friction included.
        armatures: inertias of their rotors (n,), as the joints feel them; none by default.
        points: point masses on bodies, like a payload.
    """
    S, bodies = in_base_frame(tree, placed(tree, q), points)
    speeds = _speeds(tree, S, v)
    momenta = [momentum_of(body, rate) for body, rate in zip(bodies, speeds.rates, strict=True)]
    resting = composite(tree, list(map(force_of, bodies, momenta, speeds.rates, speeds.drifts)))
    # What each joint carries, and the accelerations.
    bodies, momenta = composite(tree, bodies), composite(tree, momenta)
    inertial = [times_inertia(body, axis) for body, axis in zip(bodies, S, strict=True)]
    factors = factors_of(tree, S, inertial, armatures)
    left = [force - axis @ rest for force, axis, rest in zip(forces, S, resting, strict=True)]
    found = solved(tree, factors, left)
    # The forces that go with them.
    gains = composite(tree, [part * a for part, a in zip(inertial, found, strict=True)])
    forces_of = [rest + gain for rest, gain in zip(resting, gains, strict=True)]
    carried = _Carried(S, bodies, momenta, inertial, forces_of)
    by_q, by_v = _inverse_slopes(tree, carried, speeds, found)
    return Slopes(
        found,
        np.array([solved(tree, factors, column) for column in -by_q.T], dtype=object).T,
        np.array([solved(tree, factors, column) for column in -by_v.T], dtype=object).T,
        inverse_of(tree, factors),
    )


class _Speeds(NamedTuple):
    """Bodies whose joints do not accelerate."""

    rates: list[Vector]
    """Velocities (6,)."""
    drifts: list[Vector]
    """Accelerations (6,)."""
    turned: list[Vector]
    """psi' of each joint (6,)."""


def _speeds(tree: Tree, S: Sequence[Vector], v: Sequence[Any]) -> _Speeds:
    found = _Speeds([], [], [])
    for i, parent in enumerate(tree.parents):
        before = still() if parent < 0 else found.rates[parent]
        drift = base_acceleration(tree) if parent < 0 else found.drifts[parent]
        turned = motion_cross(before, S[i])
        found.rates.append(before + S[i] * v[i])
        found.drifts.append(drift + turned * v[i])
        found.turned.append(turned)
    return found


class _Carried(NamedTuple):
    """Each joint, and all that it carries."""

    S: list[Vector]
    bodies: list[Inertia]
    momenta: list[Momentum]
    inertial: list[Vector]
    """I S (6,)."""
    forces: list[Vector]
    """Without what the joints between the base and this one make of it by accelerating."""


def _inverse_slopes(
    tree: Tree, carried: _Carried, speeds: _Speeds, accelerations: Sequence[Any]
) -> tuple[Vector, Vector]:
    """The slopes of inverse dynamics by q and by v, (n, n) each.

    With the composite inertia I, force F and Coriolis matrix B of the bodies that joint i carries,
    psi'_j = v x S_j and psi''_j = a x S_j + v x psi'_j with v, a of the body that joint j stands
    on, for every j between the base and i:

        d tau_i / d q_j = (2 B' S_i) psi'_j + (I S_i) psi''_j              also for j = i
        d tau_j / d q_i = S_j (2 B psi'_i + I psi''_i + S_i x* F)
        d tau_i / d v_j = (2 B' S_i) S_j + 2 (I S_i) psi'_j                also for j = i
        d tau_j / d v_i = S_j (2 B S_i + 2 I psi'_i)

    Source: Singh, Russell and Wensing, Efficient Analytical Derivatives of Rigid-Body Dynamics
    using Spatial Vector Algebra (RA-L 2022), equations 26 to 29.
    """
    n = len(tree)
    by_q, by_v = (np.zeros((n, n)).astype(object) for _ in range(2))
    gains: list[Vector] = []  # of the accelerations of bodies over those in `speeds`
    twice: list[Vector] = []  # psi''
    for i, parent in enumerate(tree.parents):
        S, IS, K = carried.S[i], carried.inertial[i], carried.momenta[i]
        gain = still() if parent < 0 else gains[parent]
        drift = base_acceleration(tree) if parent < 0 else speeds.drifts[parent]
        rate = still() if parent < 0 else speeds.rates[parent]
        once = speeds.turned[i]
        gains.append(gain + S * accelerations[i])
        twice.append(motion_cross(drift + gain, S) + motion_cross(rate, once))
        BS = 2.0 * _transposed_coriolis(K, S)
        for j in (i, *tree.above[i]):
            by_q[i, j] = BS @ speeds.turned[j][:3] + IS @ twice[j]
            by_v[i, j] = BS @ carried.S[j][:3] + IS @ (2.0 * speeds.turned[j])
        force = force_cross(S, carried.forces[i] + times_inertia(carried.bodies[i], gain))
        of_q = _coriolis(K, 2.0 * once) + times_inertia(carried.bodies[i], twice[i]) + force
        of_v = 2.0 * _coriolis(K, S) + times_inertia(carried.bodies[i], 2.0 * once)
        for j in tree.above[i]:
            by_q[j, i] = carried.S[j] @ of_q
            by_v[j, i] = carried.S[j] @ of_v
    return by_q, by_v


# Of the Coriolis matrix B only the angular part of a motion counts: it is a sum over the points
# of a body, whose Coriolis force is 2 m w x v, so that the sums of m v and of m r v' are enough.


def _coriolis(momentum: Momentum, motion: Vector) -> Vector:
    """B times a motion (6,)."""
    w = motion[:3]
    turning = np.trace(momentum.second) * w - momentum.second.T @ w
    return np.concatenate([turning, cross(w, momentum.linear)])


def _transposed_coriolis(momentum: Momentum, motion: Vector) -> Vector:
    """The angular part (3,) of B' times a motion (6,); the other one is 0."""
    w, o = motion[:3], motion[3:]
    return np.trace(momentum.second) * w - momentum.second @ w + cross(momentum.linear, o)
