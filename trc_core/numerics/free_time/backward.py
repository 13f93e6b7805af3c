"""The backward pass of interior-point differential dynamic programming with a free duration.

The duration of a step is a state that does not change, X = (x, dt), and the prices nu of the
states that must end at the goal are parameters that the sweep carries along:

    V_t = p' dX + dX' P dX / 2 + dX' S' dnu + s' dnu + dnu' W dnu / 2

with P = Hessian of the end cost, S = slopes of the end states, s = their errors, W = 0 at T. At
the start, where dx = 0, the saddle point over (dt, dnu) is solved; W is negative definite. One
matrix holds the value function, V = [P . p; S W s], whose upper part by nu is never read.

Sources: Bryson and Ho, Applied Optimal Control (1975), section 6.3 (neighbouring extremals);
Pavlov, Shames, Manzie, Interior point differential dynamic programming (2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.packed import call_packed
from trc_core.compile.products import add_product_of_transposed, fill_product
from trc_core.numerics.free_time.timed import DT, EXPANSION, HIGH, LOW, TURN, UNIT
from trc_core.numerics.free_time.value import add_constraints, end_value, start, step_value

if TYPE_CHECKING:
    from trc_core.problem.system import Array


class Sweep(NamedTuple):
    """What a backward pass leaves: the plan's slopes in local coordinates, and its gains.

    m = n_x + 1 counts (x, dt).
    """

    gains: Array  # (T, n_w, n_v) of z, by (dX, dnu, 1), filled up with zeros
    expansions: Array  # (T + 1, n_r width) of steps, as `problem.free_time` says
    W: Array  # (n_c, n_c) Cholesky factor of -W
    change: Array  # (1 + n_c,) of dt and nu


class Room(NamedTuple):
    """Room for a step of the value function; n_v counts (dX, dnu, 1), in whole vectors of four."""

    V: Array  # (n_v, n_v)
    VF: Array  # (n_v, width)
    A: Array  # (n_u, n_u)
    inverse: Array  # (n_w, n_w), n_w counts z in whole vectors of four
    cross: Array  # (n_w, n_v)
    none: Array  # (n_w, n_v) zeros


@register_jitable
def whole(count):
    """A number of columns, filled up to vectors of four."""
    return (count + 3) // 4 * 4


@register_jitable
def new_sweep(plant, T, n_x, n_u, n_h, n_c):
    """Room for a backward pass."""
    width = plant.width
    return Sweep(
        np.zeros((T, whole(n_u), whole(n_x + 1 + n_c + 1))),
        np.zeros((T + 1, (n_x + 3 + n_h + width) * width)),
        np.zeros((n_c, n_c)),
        np.zeros(1 + n_c),
    )


@register_jitable
def backward(plant, flight, mu, damping, aim, bend, sweep):
    """One backward pass: fills `sweep`; returns whether every curvature is positive.

    Args:
        plant: `Timed`.
        flight: the plan; h and the slacks are those of its states.
        mu: weight of the barrier, in units of the cost.
        damping: added to the curvature by local coordinates and by log dt, in units of cost_unit.
        aim: share of the errors of the terminal states that the step shall close.
        bend: share of the curvature by states and time that counts.
        sweep: gets the slopes and gains.
    """
    x, u, at, h, y, w = flight.x, flight.u, flight.at, flight.h, flight.y, flight.w
    below, above = flight.below, flight.above
    kinds, bounds, holds = plant.kinds, plant.bounds, plant.holds
    gains, expansions, function = sweep.gains, sweep.expansions, plant.functions[EXPANSION]
    T, n_u = u.shape
    n_x, n_h, n_c, width = x.shape[1], h.shape[1], flight.nu.shape[0], plant.width
    m, last, price, at_q = n_x + 1, n_x + 1 + n_c, n_x + n_u + 2, n_x + 2 + n_h
    n_w, n_v = gains.shape[1:]
    rows = expansions.reshape(T + 1, -1, width)
    arguments, unit = plant.numbers.copy(), plant.cost_unit
    V, VF = np.zeros((n_v, n_v)), np.zeros((n_v, width))
    both = np.zeros((2, n_w, n_v))
    room = Room(V, VF, np.empty((n_u, n_u)), np.zeros((n_w, n_w)), both[0], both[1])
    end_value(plant, flight, mu, aim, rows[T], V)
    arguments[n_x + n_u] = flight.numbers[DT]
    for t in range(T - 1, -1, -1):
        # slopes of the step and of the Lagrangian
        for i in range(n_x):
            arguments[i], arguments[price + i] = x[t, i], V[i, last]
        for i in range(n_u):
            arguments[n_x + i] = u[t, i]
        arguments[n_x + n_u + 1] = float(t)
        for i in range(n_h):
            arguments[price + n_x + i] = w[t, i] if holds[t, i] else 0.0
        call_packed(function, arguments, expansions, t)
        # the cost to go by (x, dt, z), and its cross term with nu
        F, C, q, Q = rows[t, :m], rows[t, m + 1 : at_q], rows[t, at_q], rows[t, at_q + 1 :]
        if bend != 1.0:
            for a in range(m + n_u):
                for b in range(m + n_u):
                    if a < m or b < m:
                        Q[a, b] *= bend
        q[n_x] += V[n_x, last]
        fill_product(VF, V, F)
        add_product_of_transposed(Q, Q, 1.0, F, VF)
        add_constraints(holds, h, y, w, t, mu, C, q, Q)
        for i in range(n_u):
            Q[m + i, m + i] += damping * unit
            if kinds[i] != TURN:
                down = (at[t, i] - bounds[LOW, i]) / bounds[UNIT, i]
                up = (bounds[HIGH, i] - at[t, i]) / bounds[UNIT, i]
                q[m + i] += mu / up - mu / down
                Q[m + i, m + i] += below[t, i] / down + above[t, i] / up
        if not step_value(q, Q, m, n_c, unit, room, gains[t]):
            return False
    return start(plant, flight, mu, damping, V, sweep.W, sweep.change)
