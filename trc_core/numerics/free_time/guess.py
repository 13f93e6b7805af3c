"""First plans of a free duration: laws of a plant for many of them, the trim for a long one."""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.packed import call_packed
from trc_core.numerics.free_time.forward import end_of, fly_step
from trc_core.numerics.free_time.timed import COST, DT, FORWARD, LAWS, put_inside

MISSED = 3.0  # cost_unit, for an end that misses by the units of the states
DURATIONS = 24
LONG = 0.8  # of the range of durations, by their logarithms


@register_jitable
def _fly_law(plant, law, margin, flight):
    """Flies a law (behind the last one the trim) for T steps of dt; returns a rough merit."""
    x, u, at, h = flight.x, flight.u, flight.at, flight.h
    T, n_u = u.shape
    n_x, n_h = x.shape[1], h.shape[1]
    arguments, d = plant.numbers.copy(), np.empty(n_u)
    results, controls = np.empty((1, n_x + 1 + n_h)), np.zeros((1, max(plant.laws, 1) * n_u))
    trim = plant.numbers.shape[0] - n_u
    arguments[n_x + n_u] = flight.numbers[DT]
    cost, outside = 0.0, 0.0
    for t in range(T):
        for i in range(n_u):
            u[t, i] = plant.numbers[trim + i]
        if law < plant.laws:
            for i in range(n_x):
                arguments[i] = x[t, i]
            arguments[n_x + n_u + 1] = float(t)
            call_packed(plant.functions[LAWS], arguments, controls, 0)
            for i in range(n_u):
                u[t, i] = controls[0, law * n_u + i]
        put_inside(plant.kinds, plant.groups, plant.bounds, margin, u, t, at, d)
        cost += fly_step(plant.functions[FORWARD], x, u, h, t, arguments, results)
    last, missed = end_of(plant, x, h, arguments)
    for t in range(T + 1):
        for i in range(n_h):
            if plant.holds[t, i]:
                outside += max(h[t, i], 0.0) / plant.h_unit[i]
    flight.numbers[COST] = cost + last
    return cost + last + plant.cost_unit * (MISSED * missed + outside)


@register_jitable
def first_guess(plant, margin, flight, trial):
    """Fills u and dt of the cheapest law and duration; returns its rough merit.

    Args:
        plant: `Timed`.
        margin: share of the range by which controls keep off their bounds.
        flight: x[0] counts.
        trial: room for another plan.
    """
    best = math.inf
    ratio = (plant.dt[1] / plant.dt[0]) ** (1.0 / (DURATIONS + 1))
    for i in range(flight.x.shape[1]):
        trial.x[0, i] = flight.x[0, i]
    for number in range(plant.laws * DURATIONS + 1):
        law = number // DURATIONS
        dt = plant.dt[0] * ratio ** (1 + number % DURATIONS)
        if law == plant.laws:  # doing nothing misses the goal by least where there is no time
            dt = plant.dt[0] * (plant.dt[1] / plant.dt[0]) ** LONG
        trial.numbers[DT] = dt
        merit = _fly_law(plant, law, margin, trial)
        if merit < best:
            best = merit
            flight.numbers[DT] = dt
            for t in range(flight.u.shape[0]):
                for i in range(flight.u.shape[1]):
                    flight.u[t, i] = trial.u[t, i]
    return best
