"""Where joints stand among states and controls, and obstacles among parameters."""

from __future__ import annotations

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
