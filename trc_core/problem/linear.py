"""Linear plants from python-control's `StateSpace`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trc_core.problem.system import System


def from_state_space(plant: Any, name: str, **task: Any) -> System:
    """The `System` of a python-control `StateSpace`: x' = A x + B u, or in discrete time x_next.

    Args:
        plant: the `control.StateSpace`; its state and input labels become names. One in discrete
            time becomes a `discrete` system with its own dt.
        name: what to call the system.
        **task: the other fields of `System`: dt (also for a plant in discrete time that states
            none), horizon, u_min, u_max, Q, R, x0_box, goal_box; optional: units (by default
            '1'), joints (by default none).

    Raises:
        ValueError: if the plant is in discrete time, and `dt` another one than its own.
    """
    A, B = np.asarray(plant.A), np.asarray(plant.B)
    discrete = not plant.isctime()
    own = plant.dt if discrete and plant.dt is not True else None  # True: a time that is not said
    if own is not None and task.setdefault('dt', own) != own:
        raise ValueError(
            f"dt is {task['dt']} s, but the StateSpace '{name}' has a dt of {own} s; leave it out"
        )

    def dynamics(x: Sequence[Any], u: Sequence[Any]) -> list[Any]:
        """A x + B u."""
        inputs, rows = [*x, *u], np.hstack([A, B])
        return [sum(float(c) * s for c, s in zip(row, inputs, strict=True)) for row in rows]

    units = {'state_units': ('1',) * len(A), 'control_units': ('1',) * B.shape[1], 'joints': ()}
    return System(
        name=name,
        dynamics=dynamics,
        discrete=discrete,
        state_names=tuple(plant.state_labels),
        control_names=tuple(plant.input_labels),
        **{**units, **task},
    )
