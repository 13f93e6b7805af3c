"""A bioreactor is fed so that it makes as much product as its limits allow.

Source: do-mpc, examples/batch_reactor: constants, limits, price of a change of the feed, start;
its two uncertain parameters are at their first values here. The product is no square: its limit,
3 g/l, less the product is one, of a root. Run: trc exam dompc_bioreactor
"""

import numpy as np
from numpy import maximum, sqrt

from trc_core import System
from trc_core.problem.discretise import rk4

GROWTH, HALF, INHIBITED = 0.02, 0.05, 5.0  # 1/h, g/l, g/l
MAKING, YIELD_P, YIELD_X, FEED = 0.004, 1.2, 0.5, 200.0  # 1/h, 1, 1, g/l
START = [1.0, 0.5, 0.0, 120.0, 0.0]
MOST, DT, PARTS = 3.0, 1.0, 2  # g/l of product, h, RK4 steps within it
CONSTANT = MOST * 21  # of J, at no product


def rates(biomass, substrate, product, volume, feed):
    """Concentrations [g/l] and the volume [l], by the hour."""
    grown = GROWTH * substrate / (HALF + substrate + substrate**2 / INHIBITED) * biomass
    eaten, thinned = grown / YIELD_X + MAKING * biomass / YIELD_P, feed / volume
    return [
        grown - thinned * biomass,
        -eaten + thinned * (FEED - substrate),
        MAKING * biomass - thinned * product,
        feed,
    ]


def dynamics(x, u):
    """The next state; the feed is one, of which the change has a price."""
    feed, y = x[4] + u[0], np.array(list(x[:4]))
    for _ in range(PARTS):
        y = rk4(lambda y, feed: np.array(rates(*y, feed)), y, feed, DT / PARTS)
    return [*y, feed]


def missing(x):
    """What its square adds to J: the product that is not there."""
    return [sqrt(maximum(MOST - x[2], 1e-6))]


bioreactor = System(
    name='dompc_bioreactor',
    dynamics=dynamics,
    discrete=True,
    residuals=missing,
    terminal_residuals=missing,
    state_names=('biomass', 'substrate', 'product', 'volume', 'feed'),
    state_units=('g/l', 'g/l', 'g/l', 'l', 'l/h'),
    control_names=('change_of_feed',),
    control_units=('l/h',),
    joints=(),
    dt=DT,
    horizon=20,
    u_min=[-0.2],
    u_max=[0.2],
    x_min=[0.0, -0.01, 0.0, 0.0, 0.0],
    x_max=[3.7, None, MOST, None, 0.2],
    Q=[0.0] * 5,
    R=[1.0],
    Q_f=[0.0] * 5,
    x0_box=[[1.0, 0.2, 0.0, 110.0, 0.0], [3.5, 0.6, 2.0, 130.0, 0.1]],
    goal_box=[[3.0, 0.5, 3.0, 120.0, 0.0], [3.0, 0.5, 3.0, 120.0, 0.0]],
    goal_tolerance=[None] * 5,
)
