"""One step of many plants at once, each row with physical parameters of its own."""

from __future__ import annotations

import numpy as np

from trc_core.compile.kernels import compiled
from trc_core.numerics.batch import ROWS_PER_THREAD
from trc_core.numerics.parallel import in_blocks
from trc_core.numerics.rollout import batch_simulate
from trc_core.problem.system import Array, System


class BatchStep:
    """The compiled RK4 step of a system, for rows.

    Args:
        system: whose dynamics; its bounds do not hold here.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        unbounded = np.full(system.n_u, np.inf)
        self._arrays = system.arrays._replace(u_min=-unbounded, u_max=unbounded)
        self._own = system.arrays.p[None]
        self._open = np.zeros((1, 1, system.n_u, system.n_x)), np.zeros((system.n_x, system.n_x))
        self.kernel = compiled(batch_simulate, system)

    def __call__(
        self, x: Array, u: Array, p: Array | None = None, seconds: float | None = None
    ) -> Array:
        """The states (B, n_x) after holding u (B, n_u) for a time.

        Args:
            x: states (B, n_x).
            u: controls (B, n_u), of any size.
            p: physical parameters (B, n_p); the system's own by default.
            seconds: how long; the system's dt by default.
        """
        dt = self.system.dt if seconds is None else seconds
        arrays, (K, G) = self._arrays._replace(dt=dt), self._open
        v = np.ascontiguousarray((u - self.system.u_trim)[:, None])
        states, goal = np.empty((len(x), 2, self.system.n_x)), np.zeros_like(x)
        one = p is None
        parameters = self._own if p is None else p
        plant = np.zeros(len(x), dtype=np.int64) if one else np.arange(len(x))
        gains = np.broadcast_to(K, (len(parameters), *K.shape[1:]))
        laws = parameters, np.ascontiguousarray(gains), G, np.ascontiguousarray(gains), G
        spare = np.empty_like(v), np.empty(len(x)), np.empty_like(v)
        x = np.ascontiguousarray(x)

        def run(rows: slice) -> None:
            found = states[rows], *(a[rows] for a in spare)
            self.kernel(arrays, *laws, plant[rows], v[rows], x[rows], goal[rows], *found)

        in_blocks(run, len(x), ROWS_PER_THREAD)
        return states[:, 1]
