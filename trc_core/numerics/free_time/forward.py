"""The forward pass: how far a sweep may go, trials of its step, and what they are worth.

A trial is worth its cost, the barrier, and the errors by penalties:

    J - mu sum log(slacks and distances to bounds) + rho (|x_T - goal| + sum |h + y|)

Source: Nocedal and Waechter, Numerical Optimization (2006), chapter 19.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.packed import call_packed
from trc_core.numerics.free_time.timed import (
    END,
    FORWARD,
    TURN,
    coordinate,
    fill_arguments,
    holds,
    moved,
)

if TYPE_CHECKING:
    pass

LARGEST_TURN = 1.0  # [rad] of a direction in one sweep
NEAREST_PRICE = 1e8  # factor between a price and mu over its slack


class Worth(NamedTuple):
    """What a plan is worth."""

    barrier: float  # J and the barrier
    missed: float  # errors of the states that end at the goal, in units of the states
    open: float  # sum of |h + y|, in units of the constraints


class Reach(NamedTuple):
    """What is known of a step before it is tried."""

    share: float  # the largest share of it that stays inside
    slope: float  # of the barrier along it


@register_jitable
def log_of_bounds(plant, u, t):
    """The sum of the logarithms of the distances of step t to its bounds."""
    total = 0.0
    for i in range(plant.unit.shape[0]):
        if plant.kinds[i] != TURN:
            at = coordinate(plant, u[t], i)
            below, above = at - plant.low[i], plant.high[i] - at
            if not (below > 0.0 and above > 0.0):
                return -math.inf
            total += math.log(below * above / plant.unit[i] ** 2)
    return total


@register_jitable
def _log_of_slacks(plant, flight, t, T):
    total, gap = 0.0, 0.0
    for i in range(flight.h.shape[1]):
        if holds(plant, t, T, i):
            total += math.log(flight.y[t, i] / plant.h_unit[i])
            gap += abs(flight.h[t, i] + flight.y[t, i]) / plant.h_unit[i]
    return total, gap


@register_jitable
def fly_step(plant, flight, t, arguments, results):
    """Evaluates step t from x[t] with u[t]; fills x[t + 1] and h[t], returns its cost."""
    n_x, n_u = flight.x.shape[1], flight.u.shape[1]
    fill_arguments(plant, flight.x, flight.dt[0], t, arguments)
    for i in range(n_u):
        arguments[n_x + i] = flight.u[t, i]
    call_packed(plant.functions[FORWARD], arguments, results, 0)
    for i in range(n_x):
        flight.x[t + 1, i] = results[0, i]
    for i in range(flight.h.shape[1]):
        flight.h[t, i] = results[0, n_x + 1 + i]
    return results[0, n_x]


@register_jitable
def end_of(plant, flight, arguments):
    """Fills h[T], returns the cost of the last state and its error by `terminal`."""
    T, n_x, n_h = flight.u.shape[0], flight.x.shape[1], flight.h.shape[1]
    m = n_x + 1
    results = np.empty((1, 1 + n_h + 2 * m + m * m + n_h * m))
    fill_arguments(plant, flight.x, flight.dt[0], T, arguments)
    call_packed(plant.functions[END], arguments, results, 0)
    for i in range(n_h):
        flight.h[T, i] = results[0, 1 + i]
    missed = 0.0
    for place in plant.terminal:
        missed += abs(flight.x[T, place] - plant.goal[place]) / plant.x_unit[place]
    return results[0, 0], missed


@register_jitable
def limits_of_dt(plant, dt):
    """The sum of the logarithms of the distances of dt to its limits."""
    below, above = dt - plant.dt[0], plant.dt[1] - dt
    if not (below > 0.0 and above > 0.0):
        return -math.inf
    return math.log(below * above / (plant.dt[1] - plant.dt[0]) ** 2)


@register_jitable
def worth_of(plant, flight, mu):
    """What a plan is worth whose x, h and cost are up to date."""
    T = flight.u.shape[0]
    total, gap, missed = limits_of_dt(plant, flight.dt[0]), 0.0, 0.0
    for t in range(T + 1):
        logs, open_ = _log_of_slacks(plant, flight, t, T)
        total, gap = total + logs, gap + open_
        if t < T:
            total += log_of_bounds(plant, flight.u, t)
    for place in plant.terminal:
        missed += abs(flight.x[T, place] - plant.goal[place]) / plant.x_unit[place]
    return Worth(flight.cost[0] - mu * total, missed, gap)


@register_jitable
def fly(plant, flight):
    """Rolls out u from x[0]: fills x, h and the cost; returns whether all are numbers."""
    arguments = plant.numbers.copy()
    results = np.empty((1, flight.x.shape[1] + 1 + flight.h.shape[1]))
    cost = 0.0
    for t in range(flight.u.shape[0]):
        cost += fly_step(plant, flight, t, arguments, results)
    last, _ = end_of(plant, flight, arguments)
    flight.cost[0] = cost + last
    return math.isfinite(flight.cost[0] + flight.x[-1].sum())


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
    T, n_u = flight.u.shape
    m, n_c = flight.x.shape[1] + 1, flight.nu.shape[0]
    state, after, z = np.zeros(m), np.zeros(m), np.zeros(n_u)
    share, slope, change = 1.0, 0.0, sweep.change
    state[m - 1] = change[0]
    low, high = flight.dt[0] - plant.dt[0], plant.dt[1] - flight.dt[0]
    slope += mu * (1.0 / high - 1.0 / low) * change[0]
    share = _within(share, change[0], low, high, tau)
    for t in range(T + 1):
        l, C = sweep.l[t], sweep.C[t]
        if t < T:
            F = sweep.F[t]
            for i in range(n_u):
                z[i] = sweep.k[t, i]
                for j in range(m):
                    z[i] += sweep.K[t, i, j] * state[j]
                for j in range(n_c):
                    z[i] += sweep.G[t, i, j] * change[1 + j]
                slope += l[m + i] * z[i]
                if plant.kinds[i] == TURN:
                    share = min(share, LARGEST_TURN / max(abs(z[i]), 1e-12))
                else:
                    at = coordinate(plant, flight.u[t], i)
                    below = (at - plant.low[i]) / plant.unit[i]
                    above = (plant.high[i] - at) / plant.unit[i]
                    slope += mu * (1.0 / above - 1.0 / below) * z[i]
                    share = _within(share, z[i], below, above, tau)
        for i in range(m):
            slope += l[i] * state[i]
        for i in range(flight.h.shape[1]):
            if holds(plant, t, T, i):
                y = flight.y[t, i]
                dy = -(flight.h[t, i] + y)
                for j in range(m):
                    dy -= C[i, j] * state[j]
                if t < T:
                    for j in range(n_u):
                        dy -= C[i, m + j] * z[j]
                slope -= mu / y * dy
                share = _within(share, dy, y, math.inf, tau)
        if t < T:
            for i in range(m):
                after[i] = 0.0
                for j in range(m):
                    after[i] += F[i, j] * state[j]
                for j in range(n_u):
                    after[i] += F[i, m + j] * z[j]
            for i in range(m):
                state[i] = after[i]
    return Reach(share, slope)


@register_jitable
def _within(share, change, below, above, tau):
    """The share of a change that uses at most tau of the distances to its limits."""
    if -change * share > tau * below:
        return tau * below / -change
    if change * share > tau * above:
        return tau * above / change
    return share


@register_jitable
def attempt(plant, flight, sweep, share, change, mu, tau, trial):
    """Tries a share of a sweep: fills `trial` but for its prices; returns what it is worth.

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
    T, n_u = flight.u.shape
    n_x, n_h, n_c = flight.x.shape[1], flight.h.shape[1], flight.nu.shape[0]
    m = n_x + 1
    arguments = plant.numbers.copy()
    results = np.empty((1, n_x + 1 + n_h))
    state, z, scratch = np.zeros(m), np.zeros(n_u), np.empty((n_u + 1, n_u))
    worthless = Worth(math.inf, math.inf, math.inf)
    trial.dt[0] = flight.dt[0] + change[0]
    state[n_x] = change[0]
    for i in range(n_x):
        trial.x[0, i] = flight.x[0, i]
    logs, cost = limits_of_dt(plant, trial.dt[0]), 0.0
    gap = 0.0
    for t in range(T + 1):
        for i in range(n_x):
            state[i] = trial.x[t, i] - flight.x[t, i]
        if t < T:
            for i in range(n_u):
                z[i] = share * sweep.k[t, i]
                for j in range(m):
                    z[i] += sweep.K[t, i, j] * state[j]
                for j in range(n_c):
                    z[i] += sweep.G[t, i, j] * change[1 + j]
                if plant.kinds[i] != TURN:
                    at = coordinate(plant, flight.u[t], i)
                    below = (at - plant.low[i]) / plant.unit[i]
                    above = (plant.high[i] - at) / plant.unit[i]
                    z[i] = min(max(z[i], -tau * below), tau * above)
            moved(plant, flight.u[t], z, scratch, trial.u[t])
            logs += log_of_bounds(plant, trial.u, t)
            cost += fly_step(plant, trial, t, arguments, results)
        else:
            last, missed = end_of(plant, trial, arguments)
            cost += last
        if not math.isfinite(cost + logs):
            return worthless
        for i in range(n_h):
            if holds(plant, t, T, i):
                y, h = flight.y[t, i], trial.h[t, i]
                dy = -share * (flight.h[t, i] + y)
                for j in range(m):
                    dy -= sweep.C[t, i, j] * state[j]
                if t < T:
                    for j in range(n_u):
                        dy -= sweep.C[t, i, m + j] * z[j]
                trial.y[t, i] = max((1.0 - tau) * y, y + dy, -h)
                logs += math.log(trial.y[t, i] / plant.h_unit[i])
                gap += abs(h + trial.y[t, i]) / plant.h_unit[i]
    for i in range(n_c):
        trial.nu[i] = flight.nu[i] + change[1 + i]
    trial.cost[0] = cost
    return Worth(cost - mu * logs, missed, gap)


@register_jitable
def _price(old, y, y_new, share, mu, tau):
    """The new price of a slack, by Newton's step on price times slack = mu."""
    new = old + share * (mu / y - old) - old / y * (y_new - y)
    new = max(new, (1.0 - tau) * old)
    return min(max(new, mu / (NEAREST_PRICE * y_new)), NEAREST_PRICE * mu / y_new)


@register_jitable
def update_prices(plant, flight, trial, share, mu, tau):
    """Fills the prices of slacks and bounds of a trial that was accepted."""
    T, n_u = flight.u.shape
    for t in range(T + 1):
        for i in range(flight.h.shape[1]):
            if holds(plant, t, T, i):
                y, y_new = flight.y[t, i], trial.y[t, i]
                trial.w[t, i] = _price(flight.w[t, i], y, y_new, share, mu, tau)
        if t == T:
            continue
        for i in range(n_u):
            if plant.kinds[i] != TURN:
                unit = plant.unit[i]
                old = coordinate(plant, flight.u[t], i)
                new = coordinate(plant, trial.u[t], i)
                low, high = plant.low[i], plant.high[i]
                trial.z[0, t, i] = _price(
                    flight.z[0, t, i], (old - low) / unit, (new - low) / unit, share, mu, tau
                )
                trial.z[1, t, i] = _price(
                    flight.z[1, t, i], (high - old) / unit, (high - new) / unit, share, mu, tau
                )
    old, new, low, high = flight.dt[0], trial.dt[0], plant.dt[0], plant.dt[1]
    trial.z_dt[0] = _price(flight.z_dt[0], old - low, new - low, share, mu, tau)
    trial.z_dt[1] = _price(flight.z_dt[1], high - old, high - new, share, mu, tau)
