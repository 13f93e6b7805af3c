"""Problems to plan for: states and references, and what differs from the plant's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.compile.plant import Plant, with_problem
from trc_core.numerics.batch import empty_trajectory
from trc_core.numerics.ilqr import Memory
from trc_core.numerics.parallel import in_blocks
from trc_core.planner.rows import ALL, Found, Requests
from trc_core.problem.system import Array, System

ROWS_PER_THREAD = 8  # fewer are not worth waking a thread for


class Weights(NamedTuple):
    """Weights of J."""

    Q: Array  # (n_x, n_x)
    R: Array  # (n_u, n_u)
    Q_f: Array  # (n_x, n_x)


class Problems(NamedTuple):
    """B problems, and what is known of their solutions."""

    x0: Array
    """(B, n_x)."""
    r: Array
    """References (B, T + 1, n_x)."""
    previous: Array | None = None
    """Plans v (B, T, n_u) that are candidates beside the LQR's and the network's own."""
    trusted: NDArray[np.bool_] | None = None
    """(B,): refine nothing but `previous`, unless another candidate is cheaper."""
    p: Array | None = None
    """Parameters (n_p,), or (B, n_p), where they are not the system's own."""
    bounds: tuple[Array, Array] | None = None
    """The smallest and the largest control (n_u,), where they are not the system's own."""
    weights: Weights | None = None
    """Where they are not the system's own."""
    trim: Array | None = None
    """Controls (B, T, n_u) that hold the references, where they depend on them."""
    moving: bool = False
    """Whether the references are no goals that stand still."""
    memory: Memory | None = None
    """What sweeps on the plans before left, shifted, and where sweeps leave theirs; each array
    with a leading axis B."""

    def requests(self, system: System) -> Requests:
        """The problems as kernels take them."""
        B, T, n_u = len(self.x0), system.horizon, system.n_u
        previous = np.zeros((B, T, n_u)) if self.previous is None else self.previous
        trusted = np.zeros(B, dtype=np.bool_) if self.trusted is None else self.trusted
        return Requests(self.x0, self.r, previous, trusted)

    def repeated(self, b: int, count: int) -> Problems:
        """Problem b so many times, without what is known of its solution."""
        one, p, trim = [b] * count, self.p, self.trim
        return self._replace(
            x0=self.x0[one],
            r=self.r[one],
            p=p[b] if p is not None and p.ndim == 2 and len(p) > 1 else p,
            trim=None if trim is None else trim[one],
            previous=None,
            trusted=None,
            memory=None,
        )

    @property
    def differ(self) -> bool:
        """Whether the problems are of plants that differ."""
        return len(self.x0) > 1 and (
            self.trim is not None or (self.p is not None and self.p.ndim == 2)
        )

    def adjusted(self, plant: Plant, b: int = 0) -> Plant:
        """A plant with the parameters, bounds, weights and trim of problem b."""
        if self.p is not None or self.trim is not None:
            p = plant.dynamics.p if self.p is None else np.atleast_2d(self.p)
            p = p[b] if p.ndim == 2 and len(p) > 1 else p.reshape(-1)
            plant = with_problem(plant, p, plant.u_trim if self.trim is None else self.trim[b])
        if self.bounds is not None:
            plant = plant._replace(u_min=self.bounds[0], u_max=self.bounds[1])
        if self.weights is not None:
            plant = plant._replace(**self.weights._asdict())
        return plant

    def share_out(
        self, plant: Plant, run: Callable[[Plant, slice], None], num_threads: int | None = 1
    ) -> None:
        """Calls `run` for blocks of rows with their plant, on some threads."""
        B = len(self.x0)
        if B == 1:
            run(self.adjusted(plant), ALL)
            return
        if not self.differ:
            own = self.adjusted(plant)
            in_blocks(lambda rows: run(own, rows), B, ROWS_PER_THREAD, num_threads)
            return

        def one_by_one(rows: slice) -> None:
            for b in range(B)[rows]:
                run(self.adjusted(plant, b), slice(b, b + 1))

        in_blocks(one_by_one, B, ROWS_PER_THREAD, num_threads)


def take_best(
    found: Found, memory: Memory, b: int, others: Found, theirs: Memory
) -> tuple[int, bool]:
    """Replaces plan b, in place, by the best of others if that is cheaper.

    Returns:
        The place of the best one, and whether it was cheaper.
    """
    best = int(np.argmin(np.where(np.isfinite(others.J), others.J, math.inf)))
    is_cheaper = bool(others.J[best] < found.J[b])
    if is_cheaper:
        found.x[b], found.u[b], found.J[b] = others.x[best], others.u[best], others.J[best]
        for values, own in zip(memory, theirs, strict=True):
            values[b] = own[best]
    return best, is_cheaper


def room_for(system: System, count: int) -> Found:
    """Room for so many plans, whose merits are infinite so far."""
    none, J = np.zeros(count, np.int64), np.full(count, math.inf)
    plans = empty_trajectory(system, count)
    return Found(*plans, J, none, none.copy(), np.zeros(count), J[:, None].copy())
