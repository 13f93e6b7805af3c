"""Trajectories, costs and gradients of many plans at once, in NumPy, on every core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.compile.kernels import compiled
from trc_core.numerics.ilqr import batch_sweep
from trc_core.numerics.parallel import in_blocks
from trc_core.numerics.rollout import Law, batch_simulate
from trc_core.problem.system import Array, System

ROWS_PER_THREAD = 32  # fewer are not worth waking a thread for


class Simulated(NamedTuple):
    """What became of a batch of plans."""

    v: Array
    """(B, T, n_u), re-projected: reproduces the controls."""
    controls: Array
    """(B, T, n_u)."""
    states: Array
    """(B, T + 1, n_x)."""
    cost: Array
    """J (B,)."""
    gradient: Array
    """Projected dJ/dv (B, T, n_u)."""


class BatchRollout:
    """The compiled kernels of one plant, or of several that differ in their parameters.

    Args:
        systems: the plants; one, or N that differ in nothing but their parameters.
        laws: the feedback of their plans, one each, with the same gate.
    """

    def __init__(self, systems: Sequence[System], laws: Sequence[Law]) -> None:
        self.system = systems[0]
        self.p = np.stack([system.arrays.p for system in systems])  # (N, n_p)
        self.K = np.stack([law.K for law in laws])  # (N, T, n_u, n_x)
        self.G = laws[0].G
        self._simulate = compiled(batch_simulate, self.system)
        self._sweep = compiled(batch_sweep, self.system)

    def simulate(
        self,
        v: Array,
        x0: Array,
        goal: Array,
        plant: NDArray[np.int64] | None = None,
        flown: Array | None = None,
    ) -> Simulated:
        """Flies plans v (B, T, n_u) from x0 to goal, both (B, n_x).

        Args:
            v: the plans.
            x0: initial states.
            goal: goal states.
            plant: which plant each row belongs to (B,); the first by default.
            flown: gains (N, T, n_u, n_x) to fly with, without a gate; the law's by default.
        """
        B, T, _ = v.shape
        x, J = np.empty((B, T + 1, self.system.n_x)), np.empty(B)
        v, u, dJ_dv = v.copy(), np.empty_like(v), np.empty_like(v)
        plant = np.zeros(B, dtype=np.int64) if plant is None else plant
        flying = (self.K, self.G) if flown is None else (flown, np.zeros_like(self.G))
        laws = self.p, *flying, self.K, self.G
        self._on_every_core(self._simulate, laws, plant, v, x0, goal, x, u, J, dJ_dv)
        return Simulated(v, u, x, J, dJ_dv)

    def sweep(
        self,
        states: Array,
        controls: Array,
        goal: Array,
        sweeps: int,
        plant: NDArray[np.int64] | None = None,
    ) -> Simulated:
        """Improves controls (B, T, n_u) by box-iLQR sweeps from states[:, 0]; J never rises."""
        B = len(controls)
        x, u, J = states.copy(), controls.copy(), np.empty(B)
        v, dJ_dv = np.empty_like(u), np.empty_like(u)
        plant = np.zeros(B, dtype=np.int64) if plant is None else plant
        laws = self.p, self.K, self.G, sweeps
        self._on_every_core(self._sweep, laws, plant, goal, x, u, v, J, dJ_dv)
        return Simulated(v, u, x, J, dJ_dv)

    def _on_every_core(
        self, kernel: Callable[..., Any], first: tuple[Any, ...], *arrays: NDArray[Any]
    ) -> None:
        """Runs a kernel on blocks of rows."""

        def run(rows: slice) -> None:
            kernel(self.system.arrays, *first, *(a[rows] for a in arrays))

        in_blocks(run, len(arrays[0]), ROWS_PER_THREAD)
