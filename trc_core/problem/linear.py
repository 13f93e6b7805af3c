"""Linear plants from python-control's `StateSpace`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trc_core.problem.system import System


def from_state_space(plant: Any, name: str, **task: Any) -> System:
    """The `System` x' = A x + B u of a continuous-time python-control `StateSpace`.

    Args:
        plant: the `control.StateSpace`; its state and input labels become names.
        name: what to call the system.
        **task: the other fields of `System`: dt, horizon, u_min, u_max, Q, R, x0_box, goal_box;
            optional: units (by default '1'), joints (by default none).

    Raises:
        ValueError: if the plant is in discrete time.
    """
    if not plant.isctime():
        raise ValueError(f"'{name}' is a discrete-time StateSpace; give the continuous-time plant")
    A, B = np.asarray(plant.A), np.asarray(plant.B)

    def dynamics(x: Sequence[Any], u: Sequence[Any]) -> list[Any]:
        """x' = A x + B u."""
        inputs, rows = [*x, *u], np.hstack([A, B])
        return [sum(float(c) * s for c, s in zip(row, inputs, strict=True)) for row in rows]

    units = {'state_units': ('1',) * len(A), 'control_units': ('1',) * B.shape[1], 'joints': ()}
    return System(
        name=name,
        dynamics=dynamics,
        state_names=tuple(plant.state_labels),
        control_names=tuple(plant.input_labels),
        **{**units, **task},
    )
