"""The Lagrangian of a powered descent and its slope by the numbers of a plan.

L = J + prices' (r_T, v_T) + place |r_T|^2 / 2 + speed |v_T|^2 / 2
      + sum over t of (max(0, force_t + push h_t)^2 - force_t^2) / (2 push)

with the cost J and the constraints h <= 0 of the system. At a solved plan, with its prices and
forces, L is the cost. Nearby it is larger by no more than squares of errors, so that it says how
good a plan is that misses its target, which J alone does not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.packed import call_packed
from trc_core.numerics.descent import NUMBERS, PRICED, PRICES, fold_slope, unfold, value_of
from trc_core.numerics.free_time.forward import end_of, fly_step
from trc_core.numerics.free_time.timed import DT, END, FORWARD, GRADIENT

if TYPE_CHECKING:
    from trc_core.problem.system import Array

FINE = 25.0  # errors at the end are read in this fraction of what costs a kilogram
NEAR = 100.0  # [m] from the first constraint
PUSH = 1e-4  # [kg/m^2] of a violation, where a plan is only looked at


class Weights(NamedTuple):
    """What the Lagrangian of a descent weighs with."""

    prices: Array  # (6,) of r_T [kg/m] and v_T [kg s/m]
    forces: Array  # (T + 1, n_h) prices of the constraints
    place: float  # [kg/m^2] of the square of r_T
    speed: float  # [kg s^2/m^2] of the square of v_T
    push: float  # of the squares of violations


@register_jitable
def lagrangian(plant, descent, weights, o, flight, slope):
    """The Lagrangian of dimensionless numbers o (NUMBERS,); fills its slope (NUMBERS,).

    Args:
        plant: `Timed`.
        descent: the coordinates.
        weights: `Weights`; the prices among the numbers do not count.
        o: the numbers.
        flight: room for the plan; its x[0] (7,), inside the frame, counts.
        slope: to be filled.
    """
    T, n_x = flight.u.shape[0], flight.x.shape[1]
    n_h = flight.h.shape[1]
    flight.numbers[DT] = unfold(descent, o, flight.u) / T
    arguments, results = plant.numbers.copy(), np.empty((1, 1 + n_x + n_h))
    arguments[n_x + flight.u.shape[1]] = flight.numbers[DT]
    function, x, u, h = plant.functions[FORWARD], flight.x, flight.u, flight.h
    value = 0.0
    for t in range(T):
        value += fly_step(function, x, u, h, t, arguments, results)
    value += end_of(plant, x, h, arguments)[0]
    force = np.zeros((T + 1, n_h))
    value += _penalties(plant, weights, flight, force)
    # the slope by the controls and by dt, from the end to the start
    price, by_u = np.empty(n_x + 1), np.empty(flight.u.shape)
    _end_prices(plant, weights, flight, force, arguments, price)
    _take_back(plant, flight.x, flight.u, force, arguments, price, by_u)
    by_price = flight.x[T, :PRICED].copy()
    fold_slope(descent, o, flight.u, by_u, price[n_x] / T, by_price, slope)
    return value


@register_jitable
def _penalties(plant, weights, flight, force):
    """What the Lagrangian adds to the cost; fills its slope by the constraints (T + 1, n_h)."""
    T, total = flight.u.shape[0], 0.0
    for i in range(PRICED):
        missed = flight.x[T, i]
        stiff = weights.place if i < 3 else weights.speed
        total += (weights.prices[i] + 0.5 * stiff * missed) * missed
    h, before, push, holds = flight.h, weights.forces, weights.push, plant.holds
    for t in range(T + 1):
        for i in range(h.shape[1]):
            if holds[t, i]:
                force[t, i] = max(0.0, before[t, i] + push * h[t, i])
                total += 0.5 * (force[t, i] ** 2 - before[t, i] ** 2) / push
    return total


@register_jitable
def _end_prices(plant, weights, flight, force, arguments, price):
    """Fills the slope of the Lagrangian by the last state and dt (n_x + 1,)."""
    T, n_x, n_h = flight.u.shape[0], flight.x.shape[1], flight.h.shape[1]
    m, at = n_x + 1, 2 * n_x + flight.u.shape[1] + 2
    for i in range(n_h):
        arguments[at + i] = force[T, i]
    results = np.empty((1, 1 + n_h + 2 * m + m * m + n_h * m))
    for i in range(n_x):
        arguments[i] = flight.x[T, i]
    arguments[at - n_x - 1] = float(T)
    call_packed(plant.functions[END], arguments, results, 0)
    for i in range(m):
        price[i] = results[0, 1 + n_h + i]
    for i in range(PRICED):
        stiff = weights.place if i < 3 else weights.speed
        price[i] += weights.prices[i] + stiff * flight.x[T, i]


@register_jitable
def _take_back(plant, x, u, force, arguments, price, by_u):
    """Takes the slope by the state and dt from the end to the start; fills that by u (T, n_u)."""
    (T, n_u), n_x, n_h = u.shape, x.shape[1], force.shape[1]
    function, at_price, at_force = plant.functions[GRADIENT], n_x + n_u + 2, 2 * n_x + n_u + 2
    results = np.empty((1, n_x + 1 + n_u))
    for t in range(T - 1, -1, -1):
        arguments[n_x + n_u + 1] = float(t)
        for i in range(n_x):
            arguments[i], arguments[at_price + i] = x[t, i], price[i]
        for i in range(n_u):
            arguments[n_x + i] = u[t, i]
        for i in range(n_h):
            arguments[at_force + i] = force[t, i]
        call_packed(function, arguments, results, 0)
        for i in range(n_x):
            price[i] = results[0, i]
        price[n_x] += results[0, n_x]
        for i in range(n_u):
            by_u[t, i] = results[0, n_x + 1 + i]


@register_jitable
def see(plant, descent, o, flight, margins, terminal, slope):
    """What a network sees of its numbers: what the dynamics would do with them.

    Args:
        plant: `Timed`.
        descent: the coordinates.
        o: dimensionless numbers (NUMBERS,).
        flight: room for the plan; its x[0] (7,), inside the frame, counts.
        margins: gets the first constraint along the plan (NUMBERS,).
        terminal: gets the errors at the end and the mass (7,).
        slope: gets the slope (NUMBERS,) of the Lagrangian with the plan's own prices.
    """
    T, prices = flight.u.shape[0], np.empty(PRICED)
    for i in range(PRICED):
        prices[i] = value_of(descent, o, PRICES + i)
    weights = Weights(prices, np.zeros(flight.h.shape), 0.0, 0.0, PUSH)
    lagrangian(plant, descent, weights, o, flight, slope)
    for k in range(NUMBERS):
        t = 1 + (k * (T - 2)) // (NUMBERS - 1)
        margins[k] = math.asinh(flight.h[t, 0] / NEAR)
    for i in range(PRICED):
        terminal[i] = math.asinh(FINE * flight.x[T, i] * descent.spread[PRICES + i])
    terminal[PRICED] = (flight.x[T, PRICED] - descent.middle[5]) / descent.width[5]


@register_jitable
def batch_see(plant, descent, x0, o, flight, margins, terminal, slope):
    """`see` for rows x0 (B, 7) inside their frames."""
    for b in range(o.shape[0]):
        for i in range(x0.shape[1]):
            flight.x[0, i] = x0[b, i]
        see(plant, descent, o[b], flight, margins[b], terminal[b], slope[b])


@register_jitable
def batch_lagrangian(plant, descent, weights, x0, o, flight, value, slope, ends):
    """`lagrangian` for rows x0 (B, 7), with prices (B, 6) and forces (B, T + 1, n_h).

    Fills the values (B,), slopes (B, NUMBERS) and last states (B, 7).
    """
    T = flight.u.shape[0]
    for b in range(o.shape[0]):
        own = Weights(
            weights.prices[b], weights.forces[b], weights.place, weights.speed, weights.push
        )
        for i in range(x0.shape[1]):
            flight.x[0, i] = x0[b, i]
        value[b] = lagrangian(plant, descent, own, o[b], flight, slope[b])
        for i in range(x0.shape[1]):
            ends[b, i] = flight.x[T, i]
