"""The physics around an exported network, row by row. Plain Python that Numba compiles.

Row n of the candidates belongs to problem n // N, with N candidates a problem.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.rollout import Law, gradient, reproject
from trc_core.planner.kernels import accept, start
from trc_core.planner.network_kernels import (
    Units,
    metric_gradient,
    newton_decrement,
    read_consequences,
    read_plan,
    read_problem,
    write_step,
)


class Senses(NamedTuple):
    """What a network reads of a plan's consequences, and what becomes of its output."""

    terminal: bool
    trajectory: bool
    gradient: bool
    stride: int
    residual: bool
    sweeps: int


@register_jitable
def encode_rows(step, step_jacobian, system, rep, x0, goal, features, s, side):
    """Fills what the network reads of B problems, and their units s, side (B,)."""
    for b in range(x0.shape[0]):
        units = read_problem(rep, x0[b], goal[b], features[b])
        s[b], side[b] = units.s, units.side


@register_jitable
def start_rows(
    step, step_jacobian, system, rep, first, s, side, x0, goal, previous, x, u, J, starts
):
    """Fills the candidates x (B, N, T + 1, n_x), u, J and starts (B, N).

    `first` (B, M T n_u) is what the network wrote; `previous` (B, T, n_u) counts where N has
    room for it.
    """
    B, T, n_u = previous.shape
    size = T * n_u
    plans = np.empty((first.shape[1] // size, T, n_u))
    for b in range(B):
        units = Units(s[b], side[b])
        for m in range(plans.shape[0]):
            write_step(rep, units, first[b, m * size : (m + 1) * size], plans[m])
        start(
            step, step_jacobian, system, rep, plans, x0[b], goal[b], previous[b], x[b], u[b], J[b]
        )
        for n in range(starts.shape[1]):
            starts[b, n] = J[b, n]


@register_jitable
def observe_rows(
    step,
    step_jacobian,
    system,
    rep,
    senses,
    s,
    side,
    goal,
    x,
    u,
    rows,
    v,
    promise,
    plan_features,
    consequences,
    slopes,
):
    """Fills v (R, T, n_u) and what the network sees; lowers `promise` (R,) to a Newton step's.

    `rows` (R,) are candidates of x (B N, T + 1, n_x) and u. Where the network does not read the
    gradient, `promise` stays what it is.
    """
    law, N = Law(rep.K, rep.G), x.shape[0] // goal.shape[0]
    T, n_u = u.shape[1], u.shape[2]
    dJ_dv, slope = np.empty((T, n_u)), np.zeros((T, n_u))
    for r in range(rows.shape[0]):
        n = rows[r]
        b = n // N
        units = Units(s[b], side[b])
        reproject(system, law, x[n], u[n], goal[b], v[r])
        if senses.gradient:
            gradient(step, step_jacobian, system, law, v[r], x[n], u[n], goal[b], dJ_dv)
            promise[r] = min(promise[r], newton_decrement(rep, dJ_dv))
            metric_gradient(rep, units, dJ_dv, slope)
        read_plan(system, rep, units, v[r], u[n], plan_features[r])
        read_consequences(rep, senses, units, x[n], goal[b], slope, consequences[r])
        for t in range(T):
            for i in range(n_u):
                slopes[r, t * n_u + i] = slope[t, i]


@register_jitable
def accept_rows(
    step, step_jacobian, system, rep, senses, s, side, goal, x, u, J, rows, v, outputs
):
    """Takes what the network wants of every row, as far as the guard lets it; J never rises."""
    law, N = Law(rep.K, rep.G), x.shape[0] // goal.shape[0]
    T, n_u = u.shape[1], u.shape[2]
    change = np.empty((T, n_u))
    for r in range(rows.shape[0]):
        n = rows[r]
        b = n // N
        write_step(rep, Units(s[b], side[b]), outputs[r], change)
        if not senses.residual:
            for t in range(T):
                for i in range(n_u):
                    change[t, i] -= v[r, t, i]
        J[n] = accept(
            step,
            step_jacobian,
            system,
            law,
            senses.sweeps,
            v[r],
            change,
            goal[b],
            x[n],
            u[n],
            J[n],
        )
