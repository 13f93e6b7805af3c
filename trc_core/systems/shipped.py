"""Everything about a shipped system beside its equations: recipes, place in space, drawings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trc_core.problem.system import Array, System

Vector = tuple[float, float, float]
Certificate = Callable[[Array, Mapping[str, float]], str | None]
"""Says of a state (n_x,) and parameters by name why no plan can reach the goal; None where that is
not certain."""
Draw = Callable[[np.random.Generator], tuple[Array, Array, dict[str, float]]]
"""A random problem: its start (n_x,), its goal (n_x,), and parameters by name."""
Contact = Callable[[Array, Array], 'tuple[Array, str] | None']
"""Where a plant that moves from one state (n_x,) to another stops for good, and a line about it;
None where it goes on."""
ORIGIN: Vector = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Recipe:
    """Settings with which one checkpoint is trained."""

    system: str
    stage: str = 'cost'
    """A stage of `trc train`."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the stage that differ from its defaults."""


PROPOSALS: Mapping[str, Any] = {
    'representation': 'canonical',
    'proposals': 'latents',
    'plans': 8,
    'first_cycles': 1,
    'L_cycles': 1,
    'H_cycles': 0,
    'joint_steps': 0,
    'feedback': [],
    'sweeps': 0,
    'latent_dim': 128,
    'hidden_dim': 192,
    'sharpness': 5.0,
    'distance_weight': 0.1,
    'learning_rate': 2e-3,
}
"""Settings of the stage `hypotheses` for a network that only proposes, as constraints and
parameters with ranges need it."""


@dataclass(frozen=True)
class Part:
    """A box of a body; lengths in metres."""

    size: Vector
    centre: Vector = ORIGIN
    """Its place in the frame of the body."""
    turns: bool = True
    """True where it rotates with that frame, False where it only moves along."""


@dataclass(frozen=True)
class Body:
    """Boxes of a plant, as RViz shows them."""

    parts: tuple[Part, ...]
    tip: Vector = ORIGIN
    """The point whose path is drawn, in the frame of the body."""


POINT = Body((Part((0.1, 0.1, 0.1)),))


@dataclass(frozen=True)
class SideView:
    """Drawing of a plant in its plane, as the animation of a report shows it."""

    outline: Callable[[Array], list[Array]]
    """Polylines, each (N, 2), of a state (n_x,)."""
    path: Callable[[Array], Array]
    """The points (N, 2) that states (N, n_x) lead along."""


@dataclass(frozen=True)
class ShippedSystem:
    """A system of the catalogue with its recipes and drawings."""

    system: System
    recipes: Mapping[str, Recipe]
    """By the name of the checkpoint."""
    pose_axes: tuple[str, ...] = ()
    """The component of a pose behind every joint, in the order of `System.joints`: x, y, z, roll,
    pitch or yaw; empty where a pose cannot say where the plant is."""
    body: Body = POINT
    side_view: SideView | None = None
    draw: Draw | None = None
    """Draws problems where boxes and ranges alone would draw senseless ones."""
    draw_to_learn: Draw | None = None
    """Draws problems to learn from, where those are more than what `draw` draws; by default
    they are the same."""
    certificate: Certificate | None = None
    """Says that a problem has no solution, for warnings and for draws to leave out."""
    contact: Contact | None = None
    """Ends the flight of a simulated plant, as the ground does."""
