"""Sweeps of interior-point differential dynamic programming until a plan is optimal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.free_time.backward import backward, new_sweep, solve_rows
from trc_core.numerics.free_time.forward import (
    attempt,
    fly,
    reach,
    update_prices,
    worth_of,
)
from trc_core.numerics.free_time.timed import OTHER, TURN, coordinate, direction_of, holds

if TYPE_CHECKING:
    pass

SUFFICIENT = 1e-4  # share of the predicted gain that a step must bring
TRIALS = 12  # shares of a step, each half the one before
DAMPING_MIN, DAMPING_MAX, DAMPING_FACTOR = 1e-6, 1e6, 8.0
FULL = 0.3  # share of a step from which on the barrier may be lowered
CONVERGED = 1e-7  # of cost_unit, and of the units of states and constraints
CORRECTIONS = 2  # of nu, where a full step misses the goal


class Schedule(NamedTuple):
    """How the barrier is lowered, in units of cost_unit."""

    first: float
    factor: float
    last: float


class Outcome(NamedTuple):
    """What some sweeps came to."""

    sweeps: int
    converged: bool
    mu: float
    missed: float
    open: float


@register_jitable
def enter(plant, flight, margin, mu):
    """Moves a plan inside its bounds by a margin, flies it, and sets slacks and prices for mu.

    Args:
        plant: `Timed`.
        flight: x[0], u, dt and nu count.
        margin: share of the range of each bound.
        mu: weight of the barrier, in units of cost_unit.
    """
    T, n_u = flight.u.shape
    weight, d = mu * plant.cost_unit, np.empty(n_u)
    low, high = plant.dt[0], plant.dt[1]
    edge = min(margin * (high - low), 0.25 * (high - low))
    flight.dt[0] = min(max(flight.dt[0], low + 1e-3 * edge), high - edge)
    flight.z_dt[0], flight.z_dt[1] = weight / (flight.dt[0] - low), weight / (high - flight.dt[0])
    for t in range(T):
        for i in range(n_u):
            if plant.kinds[i] == OTHER:
                edge = margin * (plant.high[i] - plant.low[i])
                inside = max(flight.u[t, i], plant.low[i] + edge)
                flight.u[t, i] = min(inside, plant.high[i] - edge)
        for group in range(plant.groups.shape[0]):
            first = plant.groups[group, 1]
            edge = margin * (plant.high[first] - plant.low[first])
            size = direction_of(plant, group, flight.u[t], d)
            if not size > 0.0:
                d[:], size = 0.0, 1.0
                d[0] = 1.0
            size = min(max(size, plant.low[first] + edge), plant.high[first] - edge)
            for j in range(plant.groups[group, 0]):
                flight.u[t, plant.groups[group, 1 + j]] = size * d[j]
        for i in range(n_u):
            if plant.kinds[i] != TURN:
                at, unit = coordinate(plant, flight.u[t], i), plant.unit[i]
                flight.z[0, t, i] = weight * unit / (at - plant.low[i])
                flight.z[1, t, i] = weight * unit / (plant.high[i] - at)
    fine = fly(plant, flight)
    for t in range(T + 1):
        for i in range(flight.h.shape[1]):
            flight.y[t, i] = max(-flight.h[t, i], margin * plant.h_unit[i])
            flight.w[t, i] = weight / flight.y[t, i] if holds(plant, t, T, i) else 0.0
    return fine


@register_jitable
def _take(trial, flight):
    """Copies a plan."""
    flight.x[:], flight.u[:], flight.dt[:], flight.cost[:] = trial.x, trial.u, trial.dt, trial.cost
    flight.nu[:], flight.h[:], flight.y[:] = trial.nu, trial.h, trial.y
    flight.w[:], flight.z[:], flight.z_dt[:] = trial.w, trial.z, trial.z_dt


@register_jitable
def _corrected(plant, trial, sweep, missed_share, flight, change):
    """Adds to nu what would bring the end of a trial to its share of the error."""
    n_c = flight.nu.shape[0]
    error = np.empty((n_c, 1))
    for i in range(n_c):
        place = plant.terminal[i]
        wanted = missed_share * (flight.x[-1, place] - plant.goal[place])
        error[i, 0] = trial.x[-1, place] - plant.goal[place] - wanted
    solve_rows(sweep.W, n_c, error)
    for i in range(n_c):
        change[1 + i] += error[i, 0]


@register_jitable
def improve_flight(plant, flight, sweeps, schedule, trial):
    """Improves a plan by at most `sweeps` sweeps, in place.

    Args:
        plant: `Timed`.
        flight: a plan that `enter` or an earlier call left.
        sweeps: the most sweeps to spend.
        schedule: of the barrier.
        trial: room for another plan.
    """
    T, n_u = flight.u.shape
    n_x, n_h, n_c = flight.x.shape[1], flight.h.shape[1], flight.nu.shape[0]
    sweep, change = new_sweep(T, n_x, n_u, n_h, n_c), np.empty(1 + n_c)
    unit = plant.cost_unit
    mu, damping, rho, spent, converged = schedule.first, 0.0, 0.0, 0, False
    worth = worth_of(plant, flight, mu * unit)
    while spent < sweeps and damping <= DAMPING_MAX:
        spent += 1
        if not backward(plant, flight, mu * unit, damping, sweep):
            damping = max(DAMPING_FACTOR * damping, DAMPING_MIN)
            continue
        tau = max(0.9, 1.0 - 10.0 * mu)
        far = reach(plant, flight, sweep, mu * unit, tau)
        # the price of errors, high enough that the step lowers the merit
        errors = worth.missed + worth.open
        if errors > 1e-12:
            rho = max(rho, far.slope / (0.7 * errors))
            for i in range(n_c):
                place = plant.terminal[i]
                price = abs(flight.nu[i] + sweep.change[1 + i]) * plant.x_unit[place]
                rho = max(rho, 1.1 * price)
        merit = worth.barrier + rho * errors
        slope = far.slope - rho * errors
        noise = 1e-12 * max(abs(worth.barrier), unit)
        share, accepted = far.share, False
        for attempted in range(TRIALS):
            for i in range(1 + n_c):
                change[i] = share * sweep.change[i]
            new = attempt(plant, flight, sweep, share, change, mu * unit, tau, trial)
            level = merit + SUFFICIENT * share * min(slope, 0.0) + noise
            accepted = new.barrier + rho * (new.missed + new.open) <= level
            if not accepted and attempted == 0 and new.missed > 0.0 and n_c > 0:
                for _ in range(CORRECTIONS):
                    if not math.isfinite(new.missed):
                        break
                    _corrected(plant, trial, sweep, 1.0 - share, flight, change)
                    new = attempt(plant, flight, sweep, share, change, mu * unit, tau, trial)
                    accepted = new.barrier + rho * (new.missed + new.open) <= level
                    if accepted:
                        break
            if accepted:
                break
            share *= 0.5
        if not accepted:
            damping = max(DAMPING_FACTOR * damping, DAMPING_MIN)
            continue
        update_prices(plant, flight, trial, share, mu * unit, tau)
        _take(trial, flight)
        damping = 0.0 if damping <= DAMPING_MIN else damping / DAMPING_FACTOR
        small = abs(far.slope) <= CONVERGED * unit + 2.0 * mu * unit
        if mu <= schedule.last and share > 0.9 and small:
            if max(new.missed, new.open) <= CONVERGED:
                worth, converged = new, True
                break
        if share >= FULL:
            mu = max(schedule.factor * mu, schedule.last)
        worth = worth_of(plant, flight, mu * unit)
    return Outcome(spent, converged, mu, worth.missed, worth.open)
