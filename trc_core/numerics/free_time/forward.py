"""The forward pass: how far a sweep may go, and trials of a share of it.

Source of the steps of slacks and prices: Nocedal and Waechter, Numerical Optimization (2006),
chapter 19.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.packed import call_packed
from trc_core.numerics.free_time.timed import (
    COST,
    DT,
    END,
    FORWARD,
    HIGH,
    HIGH_PRICE,
    LOW,
    LOW_PRICE,
    MOVED,
    TURN,
    UNIT,
    Worth,
)

LARGEST_TURN = 1.0  # [rad] of a direction in one sweep
NEAREST_PRICE = 1e8  # factor between a price and mu over its slack


class Reach(NamedTuple):
    """What is known of a sweep before it is tried."""

    share: float  # the largest share of it that stays inside
    slope: float  # of J and the barrier along it


@register_jitable
def fly_step(function, x, u, h, t, arguments, results):
    """Evaluates step t from x[t] with u[t]; fills x[t + 1] and h[t], returns its cost."""
    n_x, n_u = x.shape[1], u.shape[1]
    for i in range(n_x):
        arguments[i] = x[t, i]
    for i in range(n_u):
        arguments[n_x + i] = u[t, i]
    arguments[n_x + n_u + 1] = float(t)
    call_packed(function, arguments, results, 0)
    for i in range(n_x):
        x[t + 1, i] = results[0, i]
    for i in range(h.shape[1]):
        h[t, i] = results[0, n_x + 1 + i]
    return results[0, n_x]


@register_jitable
def end_of(plant, x, h, arguments):
    """Fills h[T], returns the cost of the last state and its error by `terminal`."""
    T, n_x, n_h = x.shape[0] - 1, x.shape[1], h.shape[1]
    m, n_u = n_x + 1, plant.kinds.shape[0]
    results = np.empty((1, 1 + n_h + 2 * m + m * m + n_h * m))
    for i in range(n_x):
        arguments[i] = x[T, i]
    arguments[n_x + n_u + 1] = float(T)
    call_packed(plant.functions[END], arguments, results, 0)
    for i in range(n_h):
        h[T, i] = results[0, 1 + i]
    missed = 0.0
    for i in range(plant.terminal.shape[0]):
        place = plant.terminal[i]
        missed += abs(x[T, place] - plant.goal[place]) / plant.x_unit[place]
    return results[0, 0], missed


@register_jitable
def room_of(kinds, bounds, at, t):
    """The logarithms of the distances of step t to its bounds, added up."""
    product = 1.0
    for i in range(kinds.shape[0]):
        if kinds[i] != TURN:
            down, up = at[t, i] - bounds[LOW, i], bounds[HIGH, i] - at[t, i]
            if not (down > 0.0 and up > 0.0):
                return -math.inf
            product *= down * up / bounds[UNIT, i] ** 2
    return math.log(product)


@register_jitable
def room_of_dt(limits, dt):
    """The logarithms of the distances of dt to its limits, added up."""
    down, up = dt - limits[0], limits[1] - dt
    if not (down > 0.0 and up > 0.0):
        return -math.inf
    return math.log(down * up / (limits[1] - limits[0]) ** 2)


@register_jitable
def _within(share, change, down, up, tau):
    """The share of a change that uses at most tau of the distances to its limits."""
    if -change * share > tau * down:
        return tau * down / -change
    if change * share > tau * up:
        return tau * up / change
    return share


@register_jitable
def _entry(M, i, v):
    """Entry i of M v."""
    total = 0.0
    for j in range(v.shape[0]):
        total += M[i, j] * v[j]
    return total


@register_jitable
def reach(plant, flight, sweep, mu, tau):
    """How far along a sweep slacks, bounds and dt allow to go, to first order.

    Args:
        plant: `Timed`.
        flight: the plan.
        sweep: the backward pass along it.
        mu: weight of the barrier, in units of the cost.
        tau: share of the distance to a bound that a step may take.
    """
    at, h, y, dt = flight.at, flight.h, flight.y, flight.numbers[DT]
    kinds, bounds, holds = plant.kinds, plant.bounds, plant.holds
    gains, change, width = sweep.gains, sweep.change, plant.width
    (T, n_u), n_v = at.shape, gains.shape[2]
    m, n_h, n_c = flight.x.shape[1] + 1, h.shape[1], change.shape[0] - 1
    rows = sweep.expansions.reshape(T + 1, -1, width)
    state, local = np.zeros(n_v), np.zeros(width)  # with dnu and 1; with the controls
    state[m - 1], state[m + n_c] = change[0], 1.0
    for i in range(n_c):
        state[m + i] = change[1 + i]
    low, high = dt - plant.dt[0], plant.dt[1] - dt
    slope = mu * (1.0 / high - 1.0 / low) * change[0]
    share = _within(1.0, change[0], low, high, tau)
    for t in range(T + 1):
        for i in range(m):
            local[i] = state[i]
        for i in range(n_u):
            z = _entry(gains[t], i, state) if t < T else 0.0
            local[m + i] = z
            if t < T and kinds[i] == TURN:
                share = min(share, LARGEST_TURN / max(abs(z), 1e-12))
            elif t < T:
                down = (at[t, i] - bounds[LOW, i]) / bounds[UNIT, i]
                up = (bounds[HIGH, i] - at[t, i]) / bounds[UNIT, i]
                slope += mu * (1.0 / up - 1.0 / down) * z
                share = _within(share, z, down, up, tau)
        own = rows[t]
        slope += _entry(own, m, local)
        for i in range(n_h):
            if holds[t, i]:
                dy = -(h[t, i] + y[t, i]) - _entry(own, m + 1 + i, local)
                slope -= mu / y[t, i] * max(dy, -tau * y[t, i])
        if t < T:
            for i in range(m):
                state[i] = _entry(own, i, local)
    return Reach(share, slope)


@register_jitable
def _price(old, y, y_new, share, mu, tau):
    """The new price of a slack, by Newton's step on price times slack = mu."""
    new = old + share * (mu / y - old) - old / y * (y_new - y)
    new = max(new, (1.0 - tau) * old)
    return min(max(new, mu / (NEAREST_PRICE * y_new)), NEAREST_PRICE * mu / y_new)


@register_jitable
def attempt(plant, flight, sweep, share, change, mu, tau, trial):
    """Tries a share of a sweep: fills `trial`; returns what it is worth.

    Args:
        plant: `Timed`.
        flight: the plan.
        sweep: the backward pass along it.
        share: of k, and of closing the gaps of the slacks.
        change: of dt and nu (1 + n_c,), the share already taken.
        mu: weight of the barrier, in units of the cost.
        tau: share of the distance to a bound that a step may take.
        trial: gets the new plan.
    """
    x, u, at, h, y, w = flight.x, flight.u, flight.at, flight.h, flight.y, flight.w
    x_new, u_new, at_new, h_new = trial.x, trial.u, trial.at, trial.h
    kinds, bounds, holds, gains = plant.kinds, plant.bounds, plant.holds, sweep.gains
    forward, moved = plant.functions[FORWARD], plant.functions[MOVED]
    (T, n_u), n_v = at.shape, gains.shape[2]
    n_x, n_h, n_c, width = x.shape[1], h.shape[1], flight.nu.shape[0], plant.width
    m, at_z = n_x + 1, 2 * n_x + n_u + 2 + n_h
    rows = sweep.expansions.reshape(T + 1, -1, width)
    arguments, results = plant.numbers.copy(), np.empty((1, n_x + 1 + n_h))
    state, local = np.zeros(n_v), np.zeros(width)  # with dnu and the share; with the controls
    old, limits, numbers = flight.numbers, plant.dt, trial.numbers
    worthless = Worth(math.inf, -math.inf, math.inf, math.inf)
    # the duration, and its prices
    dt = old[DT] + change[0]
    logs, cost, gap, missed = room_of_dt(limits, dt), 0.0, 0.0, 0.0
    if not math.isfinite(logs):
        return worthless
    numbers[DT], arguments[n_x + n_u] = dt, dt
    state[n_x], local[n_x], state[m + n_c] = change[0], change[0], share
    low, high = limits
    numbers[LOW_PRICE] = _price(old[LOW_PRICE], old[DT] - low, dt - low, share, mu, tau)
    numbers[HIGH_PRICE] = _price(old[HIGH_PRICE], high - old[DT], high - dt, share, mu, tau)
    for i in range(n_c):
        trial.nu[i], state[m + i] = flight.nu[i] + change[1 + i], change[1 + i]
    for i in range(n_x):
        x_new[0, i] = x[0, i]
    for t in range(T + 1):
        for i in range(n_x):
            state[i] = local[i] = x_new[t, i] - x[t, i]
        # the controls, and the prices of their bounds
        for i in range(n_u):
            z = _entry(gains[t], i, state) if t < T else 0.0
            if t < T and kinds[i] != TURN:
                down = (at[t, i] - bounds[LOW, i]) / bounds[UNIT, i]
                up = (bounds[HIGH, i] - at[t, i]) / bounds[UNIT, i]
                z = min(max(z, -tau * down), tau * up)
                price = _price(flight.below[t, i], down, down + z, share, mu, tau)
                trial.below[t, i] = price
                price = _price(flight.above[t, i], up, up - z, share, mu, tau)
                trial.above[t, i] = price
                at_new[t, i] = at[t, i] + bounds[UNIT, i] * z
            local[m + i] = z
        # the step
        if t < T:
            for i in range(n_u):
                arguments[n_x + i], arguments[at_z + i] = u[t, i], local[m + i]
            call_packed(moved, arguments, u_new, t)
            logs += room_of(kinds, bounds, at_new, t)
            cost += fly_step(forward, x_new, u_new, h_new, t, arguments, results)
        else:
            last, missed = end_of(plant, x_new, h_new, arguments)
            cost += last
        if not math.isfinite(cost + logs):
            return worthless
        # the slacks and their prices
        for i in range(n_h):
            if holds[t, i]:
                dy = -share * (h[t, i] + y[t, i]) - _entry(rows[t], m + 1 + i, local)
                slack = max((1.0 - tau) * y[t, i], y[t, i] + dy, -h_new[t, i])
                trial.y[t, i] = slack
                trial.w[t, i] = _price(w[t, i], y[t, i], slack, share, mu, tau)
                logs += math.log(slack / plant.h_unit[i])
                gap += abs(h_new[t, i] + slack) / plant.h_unit[i]
    numbers[COST] = cost
    return Worth(cost, logs, missed, gap)
