"""Where joints stand among states and controls, obstacles among parameters, norms of controls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Joint(NamedTuple):
    """A joint, and the places of its coordinates in x and u; None for those it does not have."""

    name: str
    position: int | None = None
    velocity: int | None = None
    effort: int | None = None


class Obstacle(NamedTuple):
    """A round obstacle, as the names of the parameters that describe it; None for those it lacks.

    With z the obstacle is a sphere, without it a disc or an upright cylinder. With vx and vy it
    moves.
    """

    x: str
    y: str
    radius: str
    z: str | None = None
    vx: str | None = None
    vy: str | None = None
    vz: str | None = None


@dataclass(frozen=True)
class Norm:
    """Controls that are one vector, whose length has limits: low <= |u of the group| <= high.

    Solvers treat such a group as a size and a direction, so that the lower limit, which is not
    convex, is an ordinary bound.
    """

    controls: tuple[str, ...]
    """Names of at least two controls; each belongs to one group at most."""
    low: float
    """Least length, above 0, in the unit of the controls."""
    high: float
    """Largest length."""
