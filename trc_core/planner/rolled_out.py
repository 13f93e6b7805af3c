"""Starts that need no network, rolled out: clipped LQRs, u_trim held, the laws of the plant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trc_core.compile.plant import Plant
from trc_core.numerics.batch import empty_trajectory
from trc_core.numerics.rollout import Trajectory
from trc_core.planner.classical_kernels import start_rows
from trc_core.planner.problems import Problems
from trc_core.planner.rows import Found
from trc_core.problem.system import Array, System


class RolledOutStarts:
    """Rolls out what needs no network.

    Args:
        system: the plant.
        ladder: gains (S, T, n_u, n_x) of the clipped LQRs.
        known: gains (K, T, n_u, n_x) of LQRs that are candidates already and are left out here.
        plant_of: its plant for kernels.
        bind: compiles a kernel, or leaves it as plain Python.
    """

    def __init__(
        self,
        system: System,
        ladder: Array,
        known: Array,
        plant_of: Callable[[System], Plant],
        bind: Callable[[Callable[..., Any]], Callable[..., Any]],
    ) -> None:
        self.system, self._plant_of = system, plant_of
        new = [K for K in ladder if not any(np.allclose(K, other) for other in known)]
        self._ladder = np.array(new).reshape(-1, *ladder.shape[1:])
        self.names = (*numbered('lqr', len(new), len(known)), 'trim', *system.laws)
        self.kernel = bind(start_rows)

    def roll_out(
        self, problems: Problems, found: Found, num_threads: int | None = 1
    ) -> Trajectory:
        """Every start (B, N trajectories); fills their merits `found.starts` (B, N).

        They are in the order of `names`, and `previous` behind them where there is room for it.
        """
        requests = problems.requests(self.system)
        plans = empty_trajectory(self.system, *found.starts.shape)

        def run(plant: Plant, rows: slice) -> None:
            starts = Trajectory(plans.x[rows], plans.u[rows])
            self.kernel(plant, self._ladder, requests.rows(rows), found.rows(rows), starts)

        problems.share_out(self._plant_of(self.system), run, num_threads)
        return plans


def numbered(name: str, count: int, known: int = 0) -> list[str]:
    """Names of so many more than those known: `lqr`, `lqr 2`, `lqr 3`, ..."""
    return [name, *(f'{name} {i}' for i in range(2, known + count + 1))][known : known + count]
