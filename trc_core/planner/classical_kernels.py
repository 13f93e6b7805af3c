"""Starts of plans that need no network, and what flies where constraints cannot be kept.

Plain Python that Numba compiles.
"""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import CONSTRAINTS, LAWS, count_of
from trc_core.numerics.cost import terms_along, violation_of
from trc_core.numerics.rollout import Trajectory, fly_law, plain, rollout, row
from trc_core.planner.kernels import copy, finite

LESS = 0.5  # share of the violations of a plan, below which another one is taken for its safety


@register_jitable
def start_rows(plant, ladder, requests, found, candidates):
    """Starts of plans without a network: fills candidates (B, N trajectories) and their merits.

    They are the clipped LQRs of the gains `ladder` (S, T, n_u, n_x), u_trim held, every law of the
    plant, and `previous` where `found.starts` has room for it.
    """
    (B, T, n_u), n_x = found.u.shape, found.x.shape[2]
    N, S, laws = found.starts.shape[1], len(ladder), count_of(plant.terms, LAWS) // n_u
    v, none = np.zeros((T, n_u)), np.zeros((T, n_u, n_x))
    for b in range(B):
        x0, r, J, plans = requests.x0[b], requests.r[b], found.starts[b], row(candidates, b)
        for n in range(N):  # one call of each roll-out is less to compile
            if S < n <= S + laws:
                J[n] = finite(fly_law(plant, n - S - 1, x0, r, row(plans, n)))
            else:
                gains = ladder[n] if n < S else none
                efforts = v if n <= S else requests.previous[b]
                J[n] = finite(rollout(plant, plain(gains), efforts, x0, r, row(plans, n)))


@register_jitable
def yield_rows(plant, requests, found, violation, trim):
    """Takes what violates constraints least, of every plan found, u_trim held and the laws.

    Args:
        plant: `Plant`.
        requests: the problems.
        found: plans that violate constraints; replaced where something violates them less.
        violation: (B, 2), the sum and the largest of their violations; kept up to date.
        trim: the place of u_trim among the candidates; the laws follow it.
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
                found.J[b], found.start[b], found.starts[b, trim + n] = J, trim + n, J
                violation[b, 0], violation[b, 1] = total, largest
