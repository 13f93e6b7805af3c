"""Kernels for rows of a batch, which may be of plants that differ in their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from numba.extending import register_jitable

from trc_core.compile.plant import Plant, hold, with_parameters, with_problem
from trc_core.numerics.ilqr import improve, new_memory, replay
from trc_core.numerics.rollout import Law, Trajectory, gradient, reproject, rollout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trc_core.problem.system import Array


class Family(NamedTuple):
    """N plants that differ in parameters and weights, and which one each row belongs to."""

    p: Array  # (N, n_p)
    K: Array  # (N, T, n_u, n_x) gains of the plans
    G: Array  # (n_x, n_x) gate of the plans
    of: NDArray[np.int64]  # (B,)
    u_trim: Array  # (1 or B, T, n_u)
    Q: Array  # (1 or N, n_x, n_x)
    R: Array  # (1 or N, n_u, n_u)
    Q_f: Array  # (1 or N, n_x, n_x)

    def rows(self, rows: slice) -> Family:
        """The family of some rows."""
        u_trim = self.u_trim[rows] if len(self.u_trim) > 1 else self.u_trim
        return self._replace(of=self.of[rows], u_trim=u_trim)


@register_jitable
def member(plant, family, b):
    """The plant of row b, and the law of its plans."""
    n, own = family.of[b], family.u_trim[b if family.u_trim.shape[0] > 1 else 0]
    m = n if family.Q.shape[0] > 1 else 0
    found = Plant(
        with_problem(plant, family.p[n], own).dynamics,
        family.Q[m],
        family.R[m],
        family.Q_f[m],
        plant.u_min,
        plant.u_max,
        own,
        plant.angles,
        plant.terms,
    )
    return found, Law(family.K[n], family.G)


class Flown(NamedTuple):
    """Plans and their trajectories; arrays to fill."""

    v: Array  # (B, T, n_u)
    x: Array  # (B, T + 1, n_x)
    u: Array  # (B, T, n_u)
    J: Array  # (B,)
    gradient: Array  # (B, T, n_u) projected dJ/dv

    def rows(self, rows: slice) -> Flown:
        """Views of some rows."""
        return Flown(*(array[rows] for array in self))


@register_jitable
def batch_simulate(plant, family, flown, v, x0, r, found):
    """Roll-out, re-projection and gradient for every row of v (B, T, n_u).

    A row is flown with the law `flown`, whose gains are (N, T, n_u, n_x); the plan that
    reproduces its controls with the family's law, and the gradient there, are `found`.
    """
    for b in range(v.shape[0]):
        own, law = member(plant, family, b)
        trajectory = Trajectory(found.x[b], found.u[b])
        start = Law(flown.K[family.of[b]], flown.G)
        found.J[b] = rollout(own, start, v[b], x0[b], r[b], trajectory)
        reproject(own, law, trajectory, r[b], found.v[b])
        gradient(own, law, found.v[b], trajectory, r[b], found.gradient[b])


@register_jitable
def batch_sweep(plant, family, sweeps, r, found):
    """`improve` for every row of `found`, then re-projection and gradient."""
    for b in range(found.u.shape[0]):
        own, law = member(plant, family, b)
        trajectory = Trajectory(found.x[b], found.u[b])
        T, n_u = trajectory.u.shape
        J, memory = replay(own, r[b], trajectory), new_memory(own, T, n_u, r.shape[2])
        found.J[b] = improve(own, r[b], sweeps, trajectory, J, memory, 0.0)[0]
        reproject(own, law, trajectory, r[b], found.v[b])
        gradient(own, law, found.v[b], trajectory, r[b], found.gradient[b])


@register_jitable
def batch_step(plant, p, x, u, seconds, x_next):
    """Fills x_next (B, n_x) with the states after holding u (B, n_u); p is (1 or B, n_p)."""
    for b in range(x.shape[0]):
        own = with_parameters(plant, p[b if p.shape[0] > 1 else 0])
        hold(own.dynamics, x[b], u[b], seconds, x_next[b])
