"""Problems and solutions in rows, as the kernels of planning take and fill them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trc_core.problem.system import Array

ALL = slice(None)


class Budget(NamedTuple):
    """What refinement may spend on a plan."""

    cycles: int
    deadline: float  # on the clock of `now`
    tolerance: float  # refinement ends when less than this share of J is expected of a cycle
    seconds: float  # that refining one candidate is thought to take, until it has been measured


class Requests(NamedTuple):
    """B problems, as kernels take them."""

    x0: Array  # (B, n_x)
    r: Array  # (B, T + 1, n_x) references
    previous: Array  # (B, T, n_u) plans that go on from before
    trusted: NDArray[np.bool_]  # (B,) refine nothing but `previous` while that is the cheapest

    def rows(self, rows: slice) -> Requests:
        """Views of some of the problems."""
        if rows == ALL:
            return self
        x0, r, previous, trusted = self
        return Requests(x0[rows], r[rows], previous[rows], trusted[rows])


class Found(NamedTuple):
    """Solutions of B problems; arrays to fill."""

    x: Array  # (B, T + 1, n_x)
    u: Array  # (B, T, n_u)
    J: Array  # (B,) merits; J where there are no constraints
    start: NDArray[np.int64]  # (B,) the candidate that the plan grew from
    cycles: NDArray[np.int64]  # (B,) spent
    seconds: Array  # (B,) the longest that refining one candidate took
    starts: Array  # (B, N) cost of every candidate before refinement

    def rows(self, rows: slice) -> Found:
        """Views of some of the problems."""
        if rows == ALL:
            return self
        x, u, J, start, cycles, seconds, starts = self
        return Found(
            x[rows], u[rows], J[rows], start[rows], cycles[rows], seconds[rows], starts[rows]
        )
