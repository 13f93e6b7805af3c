"""Penalties of a system's constraints, as sweeps choose their first ones, but for all problems."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trc_core.compile.binding import violation_weight
from trc_core.numerics.lagrangian import STIFFNESS
from trc_core.numerics.riccati import finite_horizon_gains

if TYPE_CHECKING:
    from trc_core.problem.system import Array, System

PROBES = 32  # states of the box at which the slopes of constraints are taken


def typical_penalties(system: System) -> tuple[float, ...]:
    """A penalty rho of every constraint, in the order of `system.task.constraints`.

    `lagrangian.choose_penalties` takes `STIFFNESS` times the curvature of the cost to go along a
    constraint's slope, 2 / (h' P^-1 h) where that cost is x' P x, in the geometric mean over the
    steps of a plan. Here P is that of the LQR about the middle of the goal box, and the mean is
    also over states of the boxes: the penalties belong to the system and not to a plan.
    """
    constraints = system.task.constraints
    if not constraints:
        return ()
    _, P, H = finite_horizon_gains(system)
    by_x, by_u = _slopes(system)  # (N, n_h, n_x), (N, n_h, n_u)
    along = np.einsum('nhi,tij,nhj->hnt', by_x, np.linalg.pinv(P[:-1]), by_x)
    of_control = np.einsum('nhi,tij,nhj->hnt', by_u, np.linalg.inv(H), by_u)
    found = []
    for own, other in zip(along, of_control, strict=True):
        values = np.where(own > 0.0, own, other)
        values = values[(values > 0.0) & np.isfinite(values)]
        usual = 2.0 * STIFFNESS * np.exp(-np.log(values).mean()) if len(values) else 0.0
        found.append(float(usual) or violation_weight(system))
    return tuple(found)


def _slopes(system: System) -> tuple[Array, Array]:
    """The slopes of the constraints at states of the box, by x and by u."""
    terms, rng = system.task.constraints, np.random.default_rng(0)
    x, goal = system.sample(rng, PROBES)
    p, trim = system.sample_parameters(rng, PROBES), system.trims(goal)
    columns = [*x.T, *trim.T, *goal.T, *p.T, np.zeros(PROBES)]
    with np.errstate(all='ignore'):
        found = terms.slopes.evaluate(columns)
    shape = (PROBES, len(terms), -1)
    by_x, by_u = (
        np.stack([np.broadcast_to(e, PROBES) for e in found[name]], axis=-1).reshape(shape)
        for name in ('by_x', 'by_u')
    )
    return by_x, by_u
