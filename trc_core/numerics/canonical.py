"""What a network reads of a problem in its canonical frame, as numbers.

The frame begins at the position of the start and points to that of the goal, where a problem does
not change under shift and rotation (`problem.symmetry`); where it may be mirrored, the start
heads to the left. Everything else is read in units of the boxes and ranges. The features are
written by `planner/canonical_kernels.py` and by `models/canonical_frame.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.problem.symmetry import NONE, Symmetry
from trc_core.problem.system import Array, System


class Scene(NamedTuple):
    """The numbers of the canonical frame, as kernels take them; empty where it is not used."""

    places: NDArray[np.int64]  # (3,) states that are x, y and heading, -1 for none; (0,): no scene
    signs: Array  # (n_x + n_u,) of states and controls under the mirror; 1 where there is none
    states: Array  # (n_r, 3) states read at the start and the goal: place, centre, half width
    sources: Array  # (n_s, 3) parameters read: place in p, centre, half width
    obstacles: NDArray[np.int64]  # (n_o, 5) places in p of x, y, r, vx, vy; -1 for none
    sizes: Array  # (4,) a length [m], the centre and the half width of radii [m], a speed [m/s]

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]], n_x: int, n_u: int) -> Scene:
        """The numbers that a checkpoint holds as `representation.<name>`."""
        if 'representation.places' not in tensors:
            return no_scene(n_x, n_u)
        found = (np.array(tensors[f'representation.{name}'], order='C') for name in cls._fields)
        return cls(*found)

    @property
    def is_used(self) -> bool:
        """Whether problems are read in this way at all."""
        return len(self.places) > 0

    def problem_dim(self, angles: int) -> int:
        """How many numbers are read beside obstacles, where so many states are angles."""
        positions = 3 if self.places[0] >= 0 else 0
        return positions + 4 * angles + 2 * len(self.states) + len(self.sources) + 1


def no_scene(n_x: int, n_u: int) -> Scene:
    """The scene of other representations: mirrored, every state and control changes sign."""
    none = np.zeros((0, 3))
    places, obstacles = np.zeros(0, np.int64), np.zeros((0, 5), np.int64)
    return Scene(places, -np.ones(n_x + n_u), none, none, obstacles, np.ones(4))


def scene_of(
    system: System, symmetry: Symmetry, ranges: Mapping[str, tuple[float, float]]
) -> Scene:
    """The scene of a system's problems; its angles are read as sine and cosine.

    Args:
        system: the plant.
        symmetry: of its problems.
        ranges: parameters that are read, beside those of obstacles.

    Raises:
        ValueError: if the symmetry is that of another plant.
    """
    n = system.n_x + system.n_u
    places = (symmetry.x, symmetry.y, symmetry.heading)
    if len(symmetry.signs) not in (0, n) or not all(-1 <= i < system.n_x for i in places):
        raise ValueError(f"the symmetry {symmetry} is none of '{system.name}'")
    if any(sign not in (1, -1) for sign in symmetry.signs):
        raise ValueError(f'the signs of a symmetry are {symmetry.signs}, expected 1 and -1')
    moving = symmetry.x != NONE
    apart = {*system.wrapped.tolist(), *places[: 2 * moving]}
    read = [i for i in range(system.n_x) if i not in apart]
    low = np.minimum(system.x0_centre - system.x0_box, system.goal_centre - system.goal_box)
    high = np.maximum(system.x0_centre + system.x0_box, system.goal_centre + system.goal_box)
    states = [(i, *_spread(low[i], high[i])) for i in read]
    sources = [(system.places[name], *_spread(*limits)) for name, limits in ranges.items()]
    return Scene(
        places=np.array(places, dtype=np.int64),
        signs=np.array(symmetry.signs or np.ones(n), dtype=np.float64),
        states=np.array(states, dtype=np.float64).reshape(-1, 3),
        sources=np.array(sources, dtype=np.float64).reshape(-1, 3),
        obstacles=_obstacles(system) if moving else np.zeros((0, 5), np.int64),
        sizes=_sizes(system, symmetry),
    )


def ranges_read(system: System, symmetry: Symmetry) -> dict[str, tuple[float, float]]:
    """The parameters in the ranges of a system that are read one by one.

    Those of obstacles are read by a pooled encoder where positions may be shifted.
    """
    pooled = set()
    if symmetry.x != NONE:
        pooled = {name for obstacle in system.obstacles for name in obstacle if name is not None}
    return {name: limits for name, limits in system.ranges.items() if name not in pooled}


def _spread(low: float, high: float) -> tuple[float, float]:
    """The centre and the half width of an interval; 1 where it has none."""
    half = 0.5 * (high - low)
    return 0.5 * (low + high), half if half > 0.0 else 1.0


def _obstacles(system: System) -> NDArray[np.int64]:
    rows = [
        [NONE if name is None else system.places[name] for name in (*o[:3], o.vx, o.vy)]
        for o in system.obstacles
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 5)


def _sizes(system: System, symmetry: Symmetry) -> Array:
    """A third of the longest way, radii from their ranges, and the fastest obstacle."""
    way = 0.0 if symmetry.x == NONE else max(system.reach[symmetry.x], system.reach[symmetry.y])
    length = way / 3.0 if way > 0.0 else 1.0
    radii, speeds = [], []
    for obstacle in system.obstacles:
        radii += [system.ranges[obstacle.radius]] if obstacle.radius in system.ranges else []
        names = (obstacle.vx, obstacle.vy)
        speeds += [np.abs(system.ranges[k]).max() for k in names if k and k in system.ranges]
    low, high = (
        (min(r[0] for r in radii), max(r[1] for r in radii)) if radii else (0.0, 2.0 * length)
    )
    return np.array([length, *_spread(low, high), max(speeds, default=1.0)], dtype=np.float64)
