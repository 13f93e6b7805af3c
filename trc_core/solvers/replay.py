"""Trajectory of an expert's controls on the true dynamics, and its J."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trc_core.numerics.batch import roll_out
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.rollout import plain
from trc_core.problem.system import Array, System


def state_vector(system: System, name: str, value: ArrayLike) -> Array:
    """`value` as a float64 array (n_x,).

    Raises:
        ValueError: if it has another shape; the message calls it `name`.
    """
    vector = np.ascontiguousarray(value, dtype=np.float64)
    if vector.shape != (system.n_x,):
        raise ValueError(
            f"{name} has shape {vector.shape}, expected ({system.n_x},) for '{system.name}'"
        )
    return vector


def replay(system: System, x0: Array, goal: Array, controls: Array) -> tuple[Array, float]:
    """The trajectory (T + 1, n_x) of controls (T, n_u) inside the bounds, and its J."""
    law = plain(np.zeros((*controls.shape, system.n_x)))
    r = constant_reference(goal, system.horizon)
    states, _, J = roll_out(system, law, controls - system.u_trim, x0, r)
    return states, J
