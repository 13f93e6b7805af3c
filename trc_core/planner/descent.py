"""The start of a plan of a powered descent, as a network proposes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.numerics.descent import PRICED, Descent
from trc_core.numerics.free_time.timed import Timed, new_flight
from trc_core.planner.descent_kernels import propose_descent
from trc_core.planner.network import network_of
from trc_core.problem.system import Array


class DescentProposer:
    """The network of a checkpoint whose plans are descents.

    Args:
        checkpoint: with `Coordinates('descent')`.
        cycles: of refinement.
        bind: compiles a kernel, or leaves it as plain Python.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        cycles: int,
        bind: Callable[[Callable[..., Any]], Callable[..., Any]],
    ) -> None:
        system = checkpoint.system
        self.cycles, self._net = cycles, network_of(checkpoint)
        self._descent = Descent.of(system, checkpoint.tensors)
        sizes = len(system.task.constraints), len(system.terminal)
        self._room = new_flight(system.horizon, system.n_x, system.n_u, *sizes)
        self._propose = bind(propose_descent)
        self.kernels = (self._propose,)

    def __call__(self, plant: Timed, x0: Array) -> tuple[Array, float, Array]:
        """Thrusts (T, 3) [N], a final time [s] and prices (6,) for a state x0 (7,)."""
        u, prices = np.empty(self._room.u.shape), np.empty(PRICED)
        seconds = self._propose(
            plant, self._descent, self._net, self.cycles, x0, self._room, u, prices
        )
        return u, float(seconds), prices
