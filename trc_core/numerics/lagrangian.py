"""Kernels of the augmented Lagrangian: what a sweep lowers where there are constraints.

L = J + sum (max(0, lam + rho h)^2 - lam^2) / (2 rho), of Powell, Hestenes and Rockafellar
(Nocedal and Wright, Numerical Optimization, 17.4), over the steps t at which h holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import CONSTRAINTS, SLOPES, call_value_slopes, count_of
from trc_core.numerics.box_qp import backsolve, factor
from trc_core.numerics.cost import term_buffers

if TYPE_CHECKING:
    from trc_core.problem.system import Array


STIFFNESS = 64.0  # of a first penalty, relative to the cost to go along the constraint
WORTH = 0.1  # share of J that a violation as large as the range of a constraint costs at least
NOTHING = 1e-2  # share of that price, below which a first penalty is next to nothing
SOFTEST = 1e-30  # penalty, which is not zero
RIDGE = 1e-10  # share of the diagonal of a singular cost to go


class Multipliers(NamedTuple):
    """Multipliers of the constraints at every step, and the penalty of each constraint."""

    lam: Array  # (T + 1, n_h)
    rho: Array  # (n_h,) zero where it was not chosen yet


@register_jitable
def without_multipliers(plant, T):
    """Multipliers of zero, penalties that are not chosen."""
    n_h = count_of(plant.terms, CONSTRAINTS)
    return Multipliers(np.zeros((T + 1, n_h)), np.zeros(n_h))


@register_jitable
def penalty_of(h, margin, multipliers):
    """The terms of L that constraints h (T + 1, n_h) add, kept off by a margin."""
    lam, rho = multipliers.lam, multipliers.rho
    total = 0.0
    for i in range(rho.shape[0]):
        for t in range(h.shape[0]):
            if rho[i] > 0.0:
                force = max(0.0, lam[t, i] + rho[i] * (h[t, i] + margin))
                total += 0.5 * (force * force - lam[t, i] * lam[t, i]) / rho[i]
    return total


@register_jitable
def force_of(h, margin, multipliers, force):
    """Fills force (T + 1, n_h), the slope of L by every constraint."""
    lam, rho = multipliers.lam, multipliers.rho
    for t in range(h.shape[0]):
        for i in range(rho.shape[0]):
            force[t, i] = max(0.0, lam[t, i] + rho[i] * (h[t, i] + margin))


@register_jitable
def update_multipliers(h, margin, most, multipliers):
    """Lam <- max(0, lam + rho h), at most `most`.

    Different units are compared by the roots of their penalties: the square of what is returned is
    in the unit of J.

    Returns:
        How far that was from a solution, the largest |max(h, -lam / rho)|: a violation, or a
        multiplier that pushes where nothing is in the way.
    """
    lam, rho = multipliers.lam, multipliers.rho
    worst = 0.0
    for i in range(rho.shape[0]):
        largest = 0.0
        for t in range(h.shape[0]):
            inside = h[t, i] + margin
            if lam[t, i] < most or inside > 0.0:
                largest = max(largest, abs(max(inside, -lam[t, i] / rho[i])))
            lam[t, i] = min(max(0.0, lam[t, i] + rho[i] * inside), most)
        worst = max(worst, largest * np.sqrt(rho[i]))
    return worst


@register_jitable
def shift_multipliers(lam, steps, shifted):
    """Fills shifted (T + 1, n_h) with multipliers `steps` later, zero behind the end."""
    T = lam.shape[0] - 1
    for t in range(T + 1):
        place = t + int(steps + 0.5)
        for i in range(lam.shape[1]):
            shifted[t, i] = lam[place, i] if place <= T else 0.0


@register_jitable
def choose_penalties(plant, trajectory, r, curvature, rho):
    """Fills the first penalties rho (n_h,), free of units.

    Each is `STIFFNESS` times the curvature of the cost to go along the slope of its constraint,
    1 / (h' P^-1 h'), in the geometric mean over the steps, so that an update of the multipliers
    shrinks a violation about as many times. A constraint of the control alone has that of the
    control.
    """
    terms, dynamics, x, u = plant.terms, plant.dynamics, trajectory.x, trajectory.u
    functions, p, dt, (T, n_u), n_x = terms.functions, dynamics.p, dynamics.dt, u.shape, x.shape[1]
    buffers, n_h = term_buffers(terms, n_x, n_u), rho.shape[0]
    total, count = np.zeros(n_h), np.zeros(n_h)
    L_x, L_u = np.zeros((n_x, n_x)), np.zeros((n_u, n_u))
    all_u = np.ones(n_u, dtype=np.bool_)
    solved_x, solved_u = np.empty(n_x), np.empty(n_u)
    for t in range(T):
        values, by_x, by_u = buffers
        function = functions[CONSTRAINTS, SLOPES]
        call_value_slopes(function, x, t, u, t, r, p, t * dt, values, by_x, by_u)
        _factor(curvature.P[t], L_x)
        factor(curvature.Q_uu[t], all_u, L_u)
        for i in range(n_h):
            along = 0.0
            for j in range(n_x):
                solved_x[j] = by_x[i, j]
            backsolve(L_x, solved_x)
            for j in range(n_x):
                along += by_x[i, j] * solved_x[j]
            if not along > 0.0:
                for j in range(n_u):
                    solved_u[j] = by_u[i, j]
                backsolve(L_u, solved_u)
                for j in range(n_u):
                    along += by_u[i, j] * solved_u[j]
            if along > 0.0 and np.isfinite(along):
                total[i] -= np.log(along)
                count[i] += 1.0
    for i in range(n_h):
        rho[i] = STIFFNESS * np.exp(total[i] / count[i]) if count[i] > 0.0 else terms.weight
        rho[i] = max(rho[i], SOFTEST)  # where moving along the slope costs next to nothing


@register_jitable
def _factor(P, L):
    """Fills L with the Cholesky factor of P, or of P and a little where P is singular."""
    for share in (0.0, RIDGE):
        regular = True
        for i in range(P.shape[0]):
            for j in range(i + 1):
                total = P[i, j]
                if i == j and share > 0.0:
                    total += share * P[i, i] + SOFTEST
                for k in range(j):
                    total -= L[i, k] * L[j, k]
                if i != j:
                    L[i, j] = total / L[j, j]
                elif total > 0.0:
                    L[i, i] = np.sqrt(total)
                else:
                    L[i, i], regular = 1.0, False
        if regular:
            return


@register_jitable
def raise_penalties(h, J, first):
    """Raises penalties that are next to nothing to a share of J over |h|^2, at its largest.

    The first ones come from the cost to go along a constraint. Where states have no weight of
    their own there is next to none, however much lies beyond a limit: a violation would be free.

    Args:
        h: constraints (T + 1, n_h) of the plan that sweeps begin with.
        J: of that plan.
        first: penalties (n_h,) that were chosen first, changed.
    """
    for i in range(first.shape[0]):
        range_of = 0.0
        for t in range(h.shape[0]):
            if h[t, i] > -np.inf:
                range_of = max(range_of, abs(h[t, i]))
        if range_of * range_of > SOFTEST:
            price = WORTH * abs(J) / (range_of * range_of)
            if first[i] < NOTHING * price:
                first[i] = price
