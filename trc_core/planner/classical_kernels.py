"""Plans without a network: starts that need none, compared by the merit after a few sweeps.

Plain Python that Numba compiles.
"""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import CONSTRAINTS, LAWS, count_of
from trc_core.numerics.cost import terms_along, violation_of
from trc_core.numerics.ilqr import improve, new_memory
from trc_core.numerics.rollout import Trajectory, fly_law, plain, rollout, row
from trc_core.planner.kernels import copy, finite, keep

LESS = 0.5  # share of the violations of a plan, below which another one is taken for its safety


@register_jitable
def classical_rows(plant, law, width, sweeps, requests, found, memory):
    """Plans without a network: the best of some starts after a few sweeps each.

    The starts are the clipped LQR of `law`, u_trim held, every law of the plant, and `previous`
    where `found.starts` has room for it; that alone where it is trusted and the cheapest. The
    `width` best by the merit get `sweeps` sweeps each, whose memory is filled.
    """
    (B, T, n_u), n_x = found.u.shape, found.x.shape[2]
    N, laws = found.starts.shape[1], count_of(plant.terms, LAWS) // n_u
    candidates = Trajectory(np.empty((N, T + 1, n_x)), np.empty((N, T, n_u)))
    v, none = np.zeros((T, n_u)), np.zeros((T, n_u, n_x))
    for b in range(B):
        x0, r, J = requests.x0[b], requests.r[b], found.starts[b]
        # the starts
        J[0] = finite(rollout(plant, law, v, x0, r, row(candidates, 0)))
        J[1] = finite(rollout(plant, plain(none), v, x0, r, row(candidates, 1)))
        for n in range(laws):
            plan = row(candidates, 2 + n)
            J[2 + n] = finite(fly_law(plant, n, x0, r, plan))
        if 2 + laws < N:
            previous, plan = requests.previous[b], row(candidates, N - 1)
            J[N - 1] = finite(rollout(plant, plain(none), previous, x0, r, plan))
        # the best of them, after some sweeps unless the plan before goes on
        after = J.copy()
        alive = keep(after, np.arange(N), min(width, N))
        goes_on = requests.trusted[b] and alive[0] == N - 1 and 2 + laws < N
        best, spent = alive[0], 0
        if not goes_on:
            for n in alive:
                if math.isfinite(J[n]):
                    own = new_memory(plant, T, n_u, n_x)
                    result = improve(plant, r, sweeps, row(candidates, n), J[n], own, 0.0)
                    after[n], spent = result[0], spent + result[1]
                    if after[n] <= after[best]:
                        best = n
                        take_memory(own, memory, b)
        copy(candidates.x[best], found.x[b])
        copy(candidates.u[best], found.u[b])
        found.J[b], found.start[b] = after[best], best
        found.cycles[b], found.seconds[b] = spent, 0.0


@register_jitable
def yield_rows(plant, requests, found, violation):
    """Takes what violates constraints least, of every plan found, u_trim held and the laws.

    Args:
        plant: `Plant`.
        requests: the problems.
        found: plans that violate constraints; replaced where something violates them less.
        violation: (B, 2), the sum and the largest of their violations; kept up to date.
    """
    (B, T, n_u), n_x = found.u.shape, found.x.shape[2]
    laws = count_of(plant.terms, LAWS) // n_u
    trial = Trajectory(np.empty((T + 1, n_x)), np.empty((T, n_u)))
    v, none = np.zeros((T, n_u)), np.zeros((T, n_u, n_x))
    h = np.empty((T + 1, count_of(plant.terms, CONSTRAINTS)))
    for b in range(B):
        x0, r = requests.x0[b], requests.r[b]
        for n in range(1 + laws):
            if n == 0:
                J = rollout(plant, plain(none), v, x0, r, trial)
            else:
                J = fly_law(plant, n - 1, x0, r, trial)
            terms_along(plant, trial, r, h)
            total, largest = violation_of(h)
            if largest < LESS * violation[b, 1] and math.isfinite(J):
                copy(trial.x, found.x[b])
                copy(trial.u, found.u[b])
                found.J[b], found.start[b], found.starts[b, 1 + n] = J, 1 + n, J
                violation[b, 0], violation[b, 1] = total, largest


@register_jitable
def take_memory(own, memory, b):
    """Keeps the memory of a plan in row b of all."""
    copy(own.lam, memory.lam[b])
    for t in range(own.K.shape[0]):
        copy(own.K[t], memory.K[b, t])
    for i in range(own.rho.shape[0]):
        memory.rho[b, i] = own.rho[i]
