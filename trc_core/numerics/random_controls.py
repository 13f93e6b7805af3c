"""Random plans: controls that are held for some time, from which sweeps find other optima."""

from __future__ import annotations

import numpy as np

from trc_core.problem.system import Array

SEGMENTS = (2, 16)  # a random plan holds its control over one of this many segments


def random_controls(rng: np.random.Generator, low: Array, high: Array, T: int) -> Array:
    """Piecewise constant controls (T, n_u), uniform between `low` and `high` (n_u,)."""
    segments = int(rng.integers(SEGMENTS[0], SEGMENTS[1] + 1))
    levels = rng.uniform(low, high, (segments, len(low)))
    return levels[np.arange(T) * segments // T]
