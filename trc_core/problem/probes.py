"""Probes of a system: states, controls and parameters at which its equations are looked at."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from trc_core.problem.system import Array, System

CORNERS, RANDOM = 64, 64
SEED = 0


class Probes(NamedTuple):
    """States that training may begin from or end at, with controls within the bounds."""

    x: Array  # (N, n_x)
    u: Array  # (N, n_u)
    goal: Array  # (N, n_x)
    p: Array  # (N, n_p)

    @classmethod
    def of(cls, system: System) -> Probes:
        """The middles of both boxes, zero or what is nearest to it, corners, and random states."""
        rng = np.random.default_rng(SEED)
        low, high = _within(system, system.x0_centre, system.x0_box)
        first, last = _within(system, system.goal_centre, system.goal_box)
        middles = np.array([(low + high) / 2, (first + last) / 2, np.clip(0.0, low, high)])
        places = np.concatenate(
            [_corners(rng, system.n_x), rng.uniform(size=(RANDOM, system.n_x))]
        )
        x = np.concatenate([middles, low + places * (high - low), first + places * (last - first)])
        N = len(x)
        sides = _corners(rng, system.n_u)
        shares = np.concatenate(
            [
                sides[rng.integers(len(sides), size=N // 2)],
                rng.uniform(size=(N - N // 2, system.n_u)),
            ]
        )
        u = system.u_min + rng.permutation(shares) * (system.u_max - system.u_min)
        u[: len(middles)] = system.u_trim
        goal = first + rng.uniform(size=(N, system.n_x)) * (last - first)
        goal[: len(middles)] = middles[1]
        p = system.sample_parameters(rng, N)
        p[: len(middles)] = system.p
        return cls(x, u, goal, p)

    @property
    def columns(self) -> list[Array]:
        """The inputs of dynamics, laid end to end, each (N,)."""
        return [*self.x.T, *self.u.T, *self.p.T]


def _within(system: System, centre: Array, half_width: Array) -> tuple[Array, Array]:
    """The lowest and highest states (n_x,) of a box, within the limits of the states."""
    assert system.x_min is not None and system.x_max is not None
    low, high = centre - half_width, centre + half_width
    return np.clip(low, system.x_min, system.x_max), np.clip(high, system.x_min, system.x_max)


def _corners(rng: np.random.Generator, n: int) -> Array:
    """Corners (N, n) of the unit box: all of them, or as many as are looked at."""
    if 2**n <= CORNERS:
        return np.array(list(product((0.0, 1.0), repeat=n)))
    return rng.integers(2, size=(CORNERS, n)).astype(np.float64)
