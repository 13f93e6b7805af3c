"""A stirred tank with three reactions is brought to 0.6 mol/l of its product.

Source: do-mpc, examples/CSTR: constants, limits, weights (those of the changes of inputs are in
units that it scales them by). The limit of 140 C on T_R is soft there, and two uncertain
parameters are at their means here.
Run: trc exam dompc_cstr
"""

import numpy as np
from numpy import exp

from trc_core import System
from trc_core.problem.discretise import rk4

FAST, SLOW, E_FAST, E_SLOW = 1.287e12, 9.043e9, 9758.3, 8560.0  # 1/h, l/(mol h), K, K
HEATS = 4.2, -11.0, -41.85  # kJ/mol, of A to B, B to C, 2 A to D
CAPACITY, COOLANT = 0.9342 * 3.01, 5.0 * 2.0  # kJ/(l K), kJ/K
WALL, VOLUME, FEED, FEED_HEAT = 4032.0 * 0.215, 10.01, 5.1, 130.0  # kJ/(h K), l, mol/l, C
START = [0.8, 0.5, 134.14, 130.0, 0.05, 0.0]
FLOWS, HEATING = 100.0, 2000.0  # 1/h, kJ/h: the units of both inputs, as there
DT, PARTS = 0.005, 2  # h, RK4 steps within it


def rates(a, b, reactor, jacket, flow, heat):
    """Concentrations [mol/l] and temperatures [C], by the hour."""
    k_1, k_3 = FAST * exp(-E_FAST / (reactor + 273.15)), SLOW * exp(-E_SLOW / (reactor + 273.15))
    released = k_1 * a * HEATS[0] + k_1 * b * HEATS[1] + k_3 * a**2 * HEATS[2]
    through = WALL * (reactor - jacket)
    return [
        flow * (FEED - a) - k_1 * a - k_3 * a**2,
        -flow * b + k_1 * a - k_1 * b,
        -released / CAPACITY + flow * (FEED_HEAT - reactor) - through / (CAPACITY * VOLUME),
        (heat + through) / COOLANT,
    ]


def dynamics(x, u):
    """The next state; inputs are states, of which the changes have a price."""
    inputs, y = [x[4] + u[0], x[5] + u[1]], np.array(list(x[:4]))
    for _ in range(PARTS):
        y = rk4(
            lambda y, v: np.array(rates(*y, FLOWS * v[0], HEATING * v[1])), y, inputs, DT / PARTS
        )
    return [*y, *inputs]


cstr = System(
    name='dompc_cstr',
    dynamics=dynamics,
    discrete=True,
    state_names=('C_a', 'C_b', 'T_R', 'T_K', 'F', 'Q_dot'),
    state_units=('mol/l', 'mol/l', 'C', 'C', '100/h', '2000 kJ/h'),
    control_names=('change_of_F', 'change_of_Q_dot'),
    control_units=('100/h', '2000 kJ/h'),
    joints=(),
    dt=DT,
    horizon=20,
    u_min=[-0.95, -4.25],
    u_max=[0.95, 4.25],
    x_min=[0.1, 0.1, 50.0, 50.0, 0.05, -4.25],
    x_max=[2.0, 2.0, 140.0, 140.0, 1.0, 0.0],
    Q=[0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
    R=[0.1, 1e-3],
    Q_f=[0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
    x0_box=[[0.6, 0.4, 125.0, 120.0, 0.05, -1.5], [1.0, 0.7, 135.0, 132.0, 0.2, 0.0]],
    goal_box=[[0.8, 0.6, 134.0, 130.0, 0.14, -0.5], [0.8, 0.6, 134.0, 130.0, 0.14, -0.5]],
    goal_tolerance=[None, 0.03, None, None, None, None],
    violation_weight=1.0,  # of 1 C or a unit of an input: they are worth up to 0.1 here
)
