"""Sweeps in flight: plans go on from tick to tick with their own gains and multipliers.

Plain Python that Numba compiles.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import CONSTRAINTS, advance, count_of
from trc_core.numerics.cost import terms_along, violation_of, wrap
from trc_core.numerics.lagrangian import shift_multipliers
from trc_core.numerics.rollout import Trajectory, clip, merit_along, reproject, row
from trc_core.planner.kernels import copy, finite, is_expected


@register_jitable
def follow_rows(plant, law, plans, requests, steps, tolerance, memory):
    """`shift_rows` where the plans left their own gains and multipliers, which go on with them.

    The shifted plan is flown from x0 by u + K (x - its x), so that no law about a goal is needed.

    Args:
        plant: `Plant`.
        law: of the coordinates of `previous`; behind the end of a plan, u_trim is held.
        plans: trajectories (B) of the plans before.
        requests: `previous` and `trusted` are filled.
        steps: since those plans, any number >= 0.
        tolerance: (n_x,), as in `is_expected`.
        memory: K (B, T, n_u, n_x) and lam (B, T + 1, n_h) of the plans before; shifted in place.
    """
    (B, T, n_u), n_x = plans.u.shape, plans.x.shape[2]
    flown = Trajectory(np.empty((T + 1, n_x)), np.empty((T, n_u)))
    lam = np.empty(memory.lam.shape[1:])
    for b in range(B):
        plan = row(plans, b)
        requests.trusted[b] = is_expected(plant, plan, requests.x0[b], steps, tolerance)
        go_on(plant, plan, requests.x0[b], steps, flown, memory, b, lam)
        reproject(plant, law, flown, requests.r[b], requests.previous[b])


@register_jitable
def go_on(plant, plan, x0, steps, flown, memory, b, lam):
    """Flies on with plan b by its gains and shifts its multipliers, by way of lam (T + 1, n_h)."""
    follow(plant, plan, memory.K[b], x0, steps, flown)
    shift_multipliers(memory.lam[b], steps, lam)
    copy(lam, memory.lam[b])


@register_jitable
def follow(plant, plan, K, x0, steps, flown):
    """Flies on with a plan from x0, `steps` later, by its own gains K (T, n_u, n_x)."""
    dynamics, u_trim, angles, x, u = plant.dynamics, plant.u_trim, plant.angles, plan.x, plan.u
    T, n_u = u.shape
    off = np.empty(x0.shape[0])
    for i in range(x0.shape[0]):
        flown.x[0, i] = x0[i]
    for t in range(T):
        place = t + steps
        k = int(min(place, T - 1))
        part = min(place - k, 1.0)
        following = min(k + 1, T - 1)
        for j in range(x0.shape[0]):
            off[j] = flown.x[t, j] - (1.0 - part) * x[k, j] - part * x[k + 1, j]
        wrap(off, angles)
        for i in range(n_u):
            raw = (1.0 - part) * u[k, i] + part * u[following, i]
            if place > T - 1:
                raw = u_trim[T - 1, i]
            else:
                for j in range(x0.shape[0]):
                    raw += K[k, i, j] * off[j]
            flown.u[t, i] = clip(raw, plant.u_min[i], plant.u_max[i])
        advance(dynamics, flown.x, flown.u, t)


@register_jitable
def go_on_rows(plant, plans, requests, steps, found, memory):
    """Flies on with the plans before by their own gains, which go on with them.

    Fills x, u, J and the last start of what is found, and shifts the multipliers of the memory.
    """
    lam = np.empty(memory.lam.shape[1:])
    for b in range(found.u.shape[0]):
        plan, r = Trajectory(found.x[b], found.u[b]), requests.r[b]
        go_on(plant, row(plans, b), requests.x0[b], steps, plan, memory, b, lam)
        found.J[b] = merit_along(plant, plan, r)
        found.starts[b, found.starts.shape[1] - 1] = found.J[b]


@register_jitable
def take_over_rows(plant, requests, found, rho, memory):
    """Fills the merits of plans that lower a soft cost, and multipliers that hold them there.

    A minimum of J + sum rho max(0, h)^2 / 2 is one of the augmented Lagrangian with multipliers
    rho max(0, h) and no violations: the first update of multipliers that are zero.

    Args:
        plant: `Plant`, with its constraints.
        requests: the problems.
        found: the plans; J is filled.
        rho: (n_h,) penalties of the soft cost.
        memory: lam (B, T + 1, n_h) and rho (B, n_h) are filled.
    """
    h = np.empty((found.x.shape[1], rho.shape[0]))
    for b in range(found.u.shape[0]):
        plan, r = Trajectory(found.x[b], found.u[b]), requests.r[b]
        found.J[b] = finite(merit_along(plant, plan, r))
        terms_along(plant, plan, r, h)
        for i in range(rho.shape[0]):
            memory.rho[b, i] = rho[i]
            for t in range(h.shape[0]):
                memory.lam[b, t, i] = min(max(0.0, rho[i] * h[t, i]), plant.terms.weight)


@register_jitable
def assess_rows(plant, requests, found, violation):
    """Fills the sum and the largest of the violations of every plan found, `violation` (B, 2)."""
    h = np.empty((found.x.shape[1], count_of(plant.terms, CONSTRAINTS)))
    for b in range(found.u.shape[0]):
        terms_along(plant, Trajectory(found.x[b], found.u[b]), requests.r[b], h)
        violation[b, 0], violation[b, 1] = violation_of(h)
