"""Labels: problems with the best plans that are known for them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trc_core.problem.system import Array


@dataclass(frozen=True)
class Labels:
    """N problems with the best plans that were found."""

    x0: Array
    """(N, n_x)."""
    goal: Array
    """(N, n_x)."""
    states: Array
    """(N, T + 1, n_x); the first is x0."""
    controls: Array
    """(N, T, n_u), inside the bounds."""
    cost: Array
    """J (N,)."""
    box: NDArray[np.bool_]
    """(N,): drawn as the system draws problems; the others lie near known plans, perhaps outside
    its boxes."""
    parameters: Array = field(default=None)  # type: ignore[arg-type]
    """(N, n_p), all of them in the order of `system.parameters`; by default there are none."""
    merit: Array = field(default=None)  # type: ignore[arg-type]
    """M (N,), by which plans are the best; by default J."""
    multipliers: Array = field(default=None)  # type: ignore[arg-type]
    """(N, T + 1, n_h), of every constraint at every step; without constraints n_h is 0."""
    penalties: Array = field(default=None)  # type: ignore[arg-type]
    """(N, n_h), the first penalty of every constraint (`numerics.ilqr.Memory`)."""

    def __post_init__(self) -> None:
        N, steps = self.states.shape[:2]
        absent = {
            'parameters': np.zeros((N, 0)),
            'merit': self.cost,
            'multipliers': np.zeros((N, steps, 0)),
            'penalties': np.zeros((N, 0)),
        }
        for name, values in absent.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, values)
