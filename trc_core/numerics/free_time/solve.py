"""Sweeps of interior-point differential dynamic programming until a plan is optimal.

A plan is worth its cost, the barrier, and its errors by a price that is high enough:

    J - mu sum log(slacks and distances to bounds) + rho (|x_T - goal| + sum |h + y|)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.box_qp import backsolve_rows
from trc_core.numerics.free_time.backward import backward, new_sweep
from trc_core.numerics.free_time.forward import (
    attempt,
    end_of,
    fly_step,
    reach,
    room_of,
    room_of_dt,
)
from trc_core.numerics.free_time.timed import (
    COST,
    DT,
    FORWARD,
    HIGH,
    HIGH_PRICE,
    LOW,
    LOW_PRICE,
    TURN,
    UNIT,
    Worth,
    put_inside,
)

SUFFICIENT = 1e-4  # share of the predicted gain that a step must bring
TRIALS = 14  # of a step
CORRECTIONS = 2  # of nu, where the first trial misses the goal
DAMPING_MIN, DAMPING_MAX, DAMPING_FACTOR = 1e-4, 1e6, 8.0
FULL = 0.3  # share of a step from which on the barrier is lowered
SHORT = 0.1  # share of what bounds allow of a step below which the next one is damped
FAR, FAR_AT_WHOLE, WHOLE = 1e3, 1e5, 0.9
"""Slopes along a step, over mu, beyond which the barrier is kept; the second after whole steps."""
PRICING, PASSES = 1.0, 2  # damping and number of passes that find the first prices nu
CONVERGED = 1e-6  # of cost_unit, that a sweep expects to gain
TINY, STUCK = 1e-3, 8  # a share of a step, and how many in a row of that size end a start
CLOSED = 1e-6  # errors, in units of states and constraints, that count as none


class Schedule(NamedTuple):
    """How the barrier is lowered, in units of cost_unit."""

    first: float
    factor: float
    last: float
    eased: float = 1.0  # share of the price of errors that a sweep keeps, at least
    straighter: float = 0.0  # by how much damping takes the bend out of the steps


class Outcome(NamedTuple):
    """What some sweeps came to."""

    sweeps: int
    converged: bool
    swapped: bool  # the plan is in the room that was given for trials
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
    x, u, at, h = flight.x, flight.u, flight.at, flight.h
    kinds, groups, bounds = plant.kinds, plant.groups, plant.bounds
    T, n_u = u.shape
    n_x, n_h = x.shape[1], h.shape[1]
    weight, d = mu * plant.cost_unit, np.empty(n_u)
    arguments, results = plant.numbers.copy(), np.empty((1, n_x + 1 + n_h))
    low, high = plant.dt
    edge = 1e-3 * (high - low)
    dt = min(max(flight.numbers[DT], low + min(edge, 1e-3 * low)), high - edge)
    flight.numbers[DT], arguments[n_x + n_u] = dt, dt
    flight.numbers[LOW_PRICE], flight.numbers[HIGH_PRICE] = (
        weight / (dt - low),
        weight / (high - dt),
    )
    logs, cost, gap = room_of_dt(plant.dt, dt), 0.0, 0.0
    for t in range(T):
        put_inside(kinds, groups, bounds, margin, u, t, at, d)
        for i in range(n_u):
            if kinds[i] != TURN:
                flight.below[t, i] = weight * bounds[UNIT, i] / (at[t, i] - bounds[LOW, i])
                flight.above[t, i] = weight * bounds[UNIT, i] / (bounds[HIGH, i] - at[t, i])
        logs += room_of(kinds, bounds, at, t)
        cost += fly_step(plant.functions[FORWARD], x, u, h, t, arguments, results)
    last, missed = end_of(plant, x, h, arguments)
    for t in range(T + 1):
        for i in range(n_h):
            if plant.holds[t, i]:
                slack = max(abs(h[t, i]), margin * plant.h_unit[i])
                flight.y[t, i], flight.w[t, i] = slack, weight / slack
                logs += math.log(slack / plant.h_unit[i])
                gap += abs(h[t, i] + slack) / plant.h_unit[i]
    flight.numbers[COST] = cost + last
    return Worth(cost + last, logs, missed, gap)


@register_jitable
def _price_of_errors(plant, flight, change, slope, errors, rho, eased):
    """The price of errors at which a step that closes them lowers the merit.

    It is at least a share `eased` of the one before: a price that was needed far from a plan that
    meets the goal would later allow nothing but small steps.
    """
    if errors <= 1e-12:
        return rho
    rho = max(eased * rho, slope / (0.7 * errors))
    for i in range(flight.nu.shape[0]):
        unit = plant.x_unit[plant.terminal[i]]
        rho = max(rho, 1.1 * abs(flight.nu[i] + change[1 + i]) * unit)
    return rho


@register_jitable
def _correct(plant, flight, trial, W, kept, change):
    """Adds to the change of nu what would keep just a share of the errors at the end."""
    T, n_c = flight.x.shape[0] - 1, flight.nu.shape[0]
    error = np.empty((n_c, 1))
    for i in range(n_c):
        place = plant.terminal[i]
        wanted = kept * (flight.x[T, place] - plant.goal[place])
        error[i, 0] = trial.x[T, place] - plant.goal[place] - wanted
    backsolve_rows(W, error)
    for i in range(n_c):
        change[1 + i] += error[i, 0]


@register_jitable
def improve_flight(plant, flight, worth, sweeps, schedule, trial):
    """Improves a plan by at most `sweeps` sweeps.

    Args:
        plant: `Timed`.
        flight: a plan that `enter` or an earlier call left.
        worth: of that plan.
        sweeps: the most sweeps to spend.
        schedule: of the barrier.
        trial: room for another plan, where the result may end.
    """
    T, n_u = flight.u.shape
    n_x, n_h, n_c = flight.x.shape[1], flight.h.shape[1], flight.nu.shape[0]
    sweep, change = new_sweep(plant, T, n_x, n_u, n_h, n_c), np.empty(1 + n_c)
    unit, mu, damping, rho = plant.cost_unit, schedule.first, 0.0, 0.0
    spent, converged, swapped, passes, stuck = 0, False, False, 0, 0
    for i in range(n_c):
        passes = PASSES if i == 0 or passes > 0 else 0
        if flight.nu[i] != 0.0:
            passes = 0
            break
    while spent < sweeps and damping <= DAMPING_MAX and stuck < STUCK and not converged:
        pricing = passes > 0
        aim = 0.0 if pricing else 1.0
        # a curvature that makes trouble counts less: without it every sweep is well posed
        bend = 1.0 / (1.0 + schedule.straighter * damping)
        damped = PRICING if pricing else damping
        fine = backward(plant, flight, mu * unit, damped, aim, bend, sweep)
        if pricing:
            passes -= 1
            for i in range(n_c):
                flight.nu[i] += sweep.change[1 + i] if fine else 0.0
            continue
        spent += 1
        if not fine:
            damping = max(DAMPING_FACTOR * damping, DAMPING_MIN)
            continue
        # how far, and by what price of errors
        tau = max(0.9, 1.0 - 10.0 * mu)
        far = reach(plant, flight, sweep, mu * unit, tau)
        errors = worth.missed + worth.open
        rho = _price_of_errors(plant, flight, sweep.change, far.slope, errors, rho, schedule.eased)
        merit = worth.cost - mu * unit * worth.logs + rho * errors
        gain = SUFFICIENT * min(far.slope - rho * errors, 0.0)
        noise = 1e-12 * max(abs(worth.cost), unit)
        # trials, shorter and shorter; the first one may be corrected to meet the goal
        share, accepted, corrections = far.share, False, CORRECTIONS
        new = worth
        for i in range(1 + n_c):
            change[i] = share * sweep.change[i]
        for _ in range(TRIALS):
            new = attempt(plant, flight, sweep, share, change, mu * unit, tau, trial)
            level = new.cost - mu * unit * new.logs + rho * (new.missed + new.open)
            accepted = level <= merit + share * gain + noise
            if accepted:
                break
            if corrections > 0 and n_c > 0 and math.isfinite(new.missed):
                corrections -= 1
                _correct(plant, flight, trial, sweep.W, 1.0 - share, change)
                continue
            corrections = 0
            share *= 0.5
            for i in range(1 + n_c):
                change[i] = share * sweep.change[i]
        if not accepted or share < SHORT * far.share:
            damping = max(DAMPING_FACTOR * damping, DAMPING_MIN)
        elif share >= FULL * far.share:
            damping = 0.0 if damping <= DAMPING_MIN else damping / DAMPING_FACTOR
        stuck = stuck + 1 if share < TINY else 0
        if not accepted:
            continue
        # the new plan, and a weaker barrier
        flight, trial, worth, swapped = trial, flight, new, not swapped
        small = abs(far.slope) <= CONVERGED * unit
        converged = small and mu <= schedule.last and max(new.missed, new.open) <= CLOSED
        near = FAR if share < WHOLE else FAR_AT_WHOLE
        if share >= FULL and abs(far.slope) <= near * mu * unit and not converged:
            mu = max(schedule.factor * mu, schedule.last)
    return Outcome(spent, converged, swapped, mu, worth.missed, worth.open)
