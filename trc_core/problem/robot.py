"""Robots: joints with limits on a tree of bodies, and a tip."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.problem import rigid_body
from trc_core.problem.expression import Tape
from trc_core.problem.graph import Graph
from trc_core.problem.rigid_body import Point, Tree

Array = NDArray[np.float64]
UNLIMITED = 1.0  # [rad/s or m/s] and [m]: the scale of a joint without a limit


@dataclass(frozen=True)
class RobotJoint:
    """A joint of a robot, in rad or m, rad/s or m/s, N m or N."""

    name: str
    kind: str
    """'revolute', 'continuous' or 'prismatic'."""
    lower: float
    """Lowest position; -inf for a continuous joint."""
    upper: float
    """Highest position; inf for a continuous joint."""
    velocity: float
    """Largest speed; inf where none is known."""
    effort: float
    """Largest torque or force; 0 for a passive joint."""
    damping: float = 0.0
    """Friction by speed [N m s/rad or N s/m]."""
    friction: float = 0.0
    """Coulomb friction [N m or N]."""
    armature: float = 0.0
    """Inertia of the rotor as the joint feels it [kg m^2 or kg]."""
    lowest_effort: float | None = None
    """Lowest torque or force; -effort by default."""
    stiffness: float = 0.0
    """Of a spring [N m/rad or N/m]."""
    rest: float = 0.0
    """Position at which the spring is at rest."""

    @property
    def efforts(self) -> tuple[float, float]:
        """The lowest and the largest torque or force."""
        low = -self.effort if self.lowest_effort is None else self.lowest_effort
        return low, self.effort

    @property
    def pace(self) -> float:
        """The speed that boxes and the smoothing of friction are measured by."""
        return self.velocity if math.isfinite(self.velocity) else UNLIMITED

    @property
    def span(self) -> tuple[float, float]:
        """The positions that boxes are drawn from."""
        width = math.pi if self.kind == 'continuous' else UNLIMITED
        low = self.lower if math.isfinite(self.lower) else min(-width, self.upper - 2 * width)
        high = self.upper if math.isfinite(self.upper) else max(width, self.lower + 2 * width)
        return low, high


class Tip(NamedTuple):
    """A frame at the end of a robot."""

    body: int
    """The body that it is part of; -1 for the base."""
    offset: Sequence[float]
    """In the frame of the body (3,) [m]."""
    rotation: Array
    """(3, 3)."""


@dataclass(frozen=True, eq=False)
class RobotModel:
    """A robot: its bodies, its joints and its tip."""

    name: str
    tree: Tree
    joints: tuple[RobotJoint, ...]
    """In the order of the tree."""
    tip: Tip | None
    source: tuple[str, str]
    """The format, 'urdf' or 'mjcf', and the text that it was read from."""
    locked: Mapping[str, float] = field(default_factory=dict)
    """Positions of the joints of the source that do not move; those that are left out are at 0."""

    @property
    def driven(self) -> tuple[int, ...]:
        """The joints that a control drives; the others are passive."""
        return tuple(i for i, joint in enumerate(self.joints) if any(joint.efforts))

    def mass_matrix(self, q: Sequence[float]) -> Array:
        """Inertia (n, n) that the joints feel at positions q (n,), with rotors [kg m^2 or kg]."""
        n = len(self.joints)
        still = [0.0] * n
        weights = rigid_body.inverse_dynamics(self.tree, list(q), still, still)
        columns = [
            rigid_body.inverse_dynamics(self.tree, list(q), still, unit)
            for unit in np.eye(n).tolist()
        ]
        bodies = (np.array(columns) - np.array(weights)).astype(np.float64)
        return np.asarray(bodies + np.diag([joint.armature for joint in self.joints]))

    def tip_position(self, x: Any) -> Any:
        """The position of the tip in the frame of the base [m].

        Args:
            x: a state, or the positions of the joints alone: a list of numbers or expressions, or
                an array (..., n_x).

        Returns:
            (3,), or (..., 3) of an array.
        """
        if not isinstance(x, np.ndarray) or x.dtype == object:
            return rigid_body.position(self.tree, list(x), self.tip_point)
        columns = list(np.moveaxis(x[..., : len(self.joints)], -1, 0))
        found = self.tip_graph.evaluate(columns)['tip']
        return np.stack([np.broadcast_to(e, x.shape[:-1]) for e in found], axis=-1)

    def tip_rotation(self, x: Any) -> Any:
        """The rotation (3, 3) of the tip in the frame of the base, at one state."""
        tip = self._tip()
        return rigid_body.orientation(self.tree, list(x), tip.body) @ tip.rotation

    @property
    def tip_point(self) -> Point:
        """The origin of the tip's frame."""
        tip = self._tip()
        return Point(tip.body, tip.offset)

    @cached_property
    def tip_graph(self) -> Graph:
        """The position of the tip: input q (n), output `tip` (3)."""
        tape = Tape()
        q = tape.inputs(len(self.joints))
        found = rigid_body.position(self.tree, q, self.tip_point)
        return tape.graph({'q': len(q)}, {'tip': [tape.expression(e) for e in found]})

    def _tip(self) -> Tip:
        if self.tip is None:
            raise ValueError(f"robot '{self.name}' has no tip; give one with tip=")
        return self.tip


def require_members(key: str, names: Sequence[Any], known: Iterable[str], what: str) -> None:
    """Raises a ValueError that lists the known names where some are not among them."""
    listed = list(known)
    unknown = [name for name in names if name not in listed]
    if unknown:
        raise ValueError(f'{key} names {unknown[0]!r}; choose from the {what} {listed}')


def valid_names(names: Iterable[str]) -> list[str]:
    """Names of joints as names of states: letters, digits and underscores, each its own."""
    found: list[str] = []
    for name in names:
        plain = plain_name(name)
        plain = f'joint_{plain}' if plain[0].isdigit() else plain
        count, own = 2, plain
        while own in found:
            own, count = f'{plain}_{count}', count + 1
        found.append(own)
    return found


def plain_name(name: str) -> str:
    """A name in letters, digits and underscores, at most 48."""
    return re.sub(r'\W', '_', name, flags=re.ASCII)[:48] or '_'
