"""Planning of powered descents: a network proposes where sweeps begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.compile.kernels import compiled
from trc_core.network_config import TRCConfig
from trc_core.numerics.descent import BARRIER, Descent
from trc_core.numerics.free_time.flights import better
from trc_core.numerics.free_time.solve import Outcome, Schedule
from trc_core.numerics.free_time.timed import DT, Flight, Timed
from trc_core.planner.descent_kernels import propose_descent
from trc_core.planner.free_time import FreeTimePlanning
from trc_core.planner.network import network_of
from trc_core.problem.system import Array

PROPOSED = Schedule(BARRIER, 0.5, 1e-9)  # of sweeps on what a network proposes
ENOUGH = 40  # of these sweeps, before those from the first guess begin
MARGIN = 0.003  # share of the range by which that is kept off its bounds first


class DescentPlanning(FreeTimePlanning):
    """Plans of a powered descent, which begin where the network of a checkpoint says.

    Args:
        checkpoint: with `Coordinates('descent')`.
        cycles: of refinement; the checkpoint's own number by default.
    """

    def __init__(self, checkpoint: Checkpoint, cycles: int | None = None) -> None:
        super().__init__(checkpoint.system)
        own = TRCConfig.from_record(checkpoint.model).cycles
        self.cycles = own if cycles is None else cycles
        self._descent = Descent.of(checkpoint.system, checkpoint.tensors)
        self._net, self._propose = network_of(checkpoint), compiled(propose_descent)

    @property
    def kernels(self) -> list[Callable[..., Any]]:
        return [*super().kernels, self._propose]

    def proposed(self, plant: Timed, x0: Array) -> Flight:
        """The plan from x0 (7,) that the network writes, before any sweep."""
        flight = self._solver.room()
        self._propose(plant, self._descent, self._net, self.cycles, x0, flight)
        flight.numbers[DT] = np.clip(flight.numbers[DT], *plant.dt)
        return flight

    def _first(
        self,
        plant: Timed,
        x0: Array,
        sweeps: int,
        restarts: int,
        is_over: Callable[[], bool],
    ) -> tuple[Flight, Outcome]:
        """Sweeps on the network's plan; also on the first guess where those do not converge."""
        most = min(sweeps, ENOUGH) if restarts else sweeps
        own = self._solver.refine(plant, self.proposed(plant, x0), most, PROPOSED, MARGIN)
        if own[1].converged or not restarts or is_over():
            return own
        return better(plant, own, super()._first(plant, x0, sweeps, restarts, is_over))
