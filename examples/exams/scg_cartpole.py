"""A cart-pole within its box of states drives to x = 1 m and balances there.

Source: safe-control-gym, envs/gym_control/cartpole.py and examples/mpc, cartpole_stab: constants,
boxes, weights (which the cost there halves), rate and horizon. Run: trc exam scg_cartpole
"""

import numpy as np
from numpy import cos, sin

from trc_core import System

CART, POLE, HALF_LENGTH, GRAVITY = 1.0, 0.1, 0.5, 9.8  # kg, kg, m, m/s^2
START = [-1.0, 0.0, 0.1, 0.0]


def dynamics(x, u):
    """A uniform pole on a cart; its angle is 0 upright."""
    _, v, angle, w = x
    push = (u[0] + POLE * HALF_LENGTH * w**2 * sin(angle)) / (CART + POLE)
    turn = (GRAVITY * sin(angle) - cos(angle) * push) / (
        HALF_LENGTH * (4.0 / 3.0 - POLE * cos(angle) ** 2 / (CART + POLE))
    )
    return [v, push - POLE * HALF_LENGTH * turn * cos(angle) / (CART + POLE), w, turn]


cartpole = System(
    name='scg_cartpole',
    dynamics=dynamics,
    state_names=('x', 'v', 'angle', 'rate'),
    state_units=('m', 'm/s', 'rad', 'rad/s'),
    control_names=('force',),
    control_units=('N',),
    joints=(),
    dt=1.0 / 15.0,
    horizon=20,
    u_min=[-10.0],
    u_max=[10.0],
    u_trim=lambda: [0.0],  # also along a reference
    x_min=[-4.8, -20.0, -np.pi, -20.0],
    x_max=[4.8, 20.0, np.pi, 20.0],
    Q=[2.5, 0.05, 2.5, 0.05],
    R=[0.05],
    Q_f=[2.5, 0.05, 2.5, 0.05],
    x0_box=[2.0, 0.1, 0.2, 0.1],
    goal_box=[[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]],
)
