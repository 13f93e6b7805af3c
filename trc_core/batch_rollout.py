"""Trajectories, costs and gradients of many plans at once, in NumPy, on every core."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from trc_core.rollout import batch_gradient, batch_reproject, batch_rollout
from trc_core.systems.base import Array, System
from trc_core.systems.compiled import compiled

ROWS_PER_THREAD = 32  # fewer are not worth waking a thread for


class BatchRollout:
    """The compiled kernels of one system, for batches of feedback plans v (B, T, n_u).

    Args:
        system: the plant.
        K: feedback gains of the plans (T, n_u, n_x); zeros by default (open loop).
    """

    def __init__(self, system: System, K: Array | None = None) -> None:
        self.system = system
        self.K = np.zeros((system.horizon, system.n_u, system.n_x)) if K is None else K
        self._rollout = compiled(batch_rollout, system)
        self._reproject = compiled(batch_reproject, system)
        self._gradient = compiled(batch_gradient, system)

    def rollout(
        self, v: Array, x0: Array, goal: Array, K: Array | None = None
    ) -> tuple[Array, Array, Array]:
        """States (B, T + 1, n_x), controls (B, T, n_u) and J (B,) from x0, goal (B, n_x).

        The plans are followed with the gains K (T, n_u, n_x), by default the ones given first.
        """
        system = self.system
        B, T, n_u = v.shape
        x, u, J = np.empty((B, T + 1, system.n_x)), np.empty((B, T, n_u)), np.empty(B)
        self._on_every_core(self._rollout, self.K if K is None else K, v, x0, goal, x, u, J)
        return x, u, J

    def reproject(self, x: Array, u: Array, goal: Array) -> Array:
        """The plans v (B, T, n_u) that reproduce the controls u along x."""
        v = np.empty_like(u)
        self._on_every_core(self._reproject, self.K, x, u, goal, v)
        return v

    def gradient(self, v: Array, x: Array, u: Array, goal: Array) -> Array:
        """Projected dJ/dv (B, T, n_u) along the trajectories (x, u) of v."""
        dJ_dv = np.empty_like(v)
        self._on_every_core(self._gradient, self.K, v, x, u, goal, dJ_dv)
        return dJ_dv

    def _on_every_core(self, kernel: Callable[..., Any], K: Array, *arrays: Array) -> None:
        """Runs a kernel on blocks of rows; compiled code lets the threads run at once."""
        B = len(arrays[0])
        blocks = min(_cores(), max(1, B // ROWS_PER_THREAD))
        if blocks == 1:
            kernel(self.system.arrays, K, *arrays)
            return
        edges = [B * i // blocks for i in range(blocks + 1)]
        jobs = [
            _threads().submit(kernel, self.system.arrays, K, *(a[lo:hi] for a in arrays))
            for lo, hi in pairwise(edges)
        ]
        for job in jobs:
            job.result()


def _cores() -> int:
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores(), thread_name_prefix='trc-rollout')
