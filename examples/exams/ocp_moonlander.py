"""A lander with two engines flies to (5, 5) m and stops there as soon as it can.

Source: OptimalControlProblems.jl, moonlander: constants, limits, start and target.
Run: trc exam ocp_moonlander
"""

import numpy as np
from numpy import cos, sin

from trc_core import System

MASS, INERTIA, LEVER, GRAVITY = 1.0, 0.1, 0.5, 9.81  # kg, kg m^2, m, m/s^2
START = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
END = [5.0, 5.0, 0.0, 0.0, 0.0, 0.0]


def dynamics(x, u):
    """Both engines push along the body; their difference turns it."""
    _, _, v_x, v_y, angle, rate = x
    push = (u[0] + u[1]) / MASS
    turn = LEVER * (u[1] - u[0]) / INERTIA
    return [v_x, v_y, -push * sin(angle), push * cos(angle) - GRAVITY, rate, turn]


def fly(x, goal):
    """A start for plans: the push that leads to the target, and the angle that it needs."""
    wanted_x = goal[0] - x[0] - 1.8 * x[2]
    push = np.maximum(GRAVITY + goal[1] - x[1] - 1.8 * x[3], 2.0)
    turn = 2.0 * (np.arctan2(-wanted_x, push) - x[4]) - 0.6 * x[5]
    return [push / 2.0 - turn, push / 2.0 + turn]


lander = System(
    name='ocp_moonlander',
    dynamics=dynamics,
    laws={'fly': fly},
    state_names=('x', 'y', 'v_x', 'v_y', 'angle', 'rate'),
    state_units=('m', 'm', 'm/s', 'm/s', 'rad', 'rad/s'),
    control_names=('left', 'right'),
    control_units=('N', 'N'),
    joints=(),
    dt=0.02,
    horizon=100,
    final_time=(0.5, 6.0),
    time_weight=1.0,
    terminal=('x', 'y', 'v_x', 'v_y'),
    u_min=[0.0, 0.0],
    u_max=[2.0 * GRAVITY, 2.0 * GRAVITY],
    u_trim=[GRAVITY / 2.0, GRAVITY / 2.0],
    Q=[0.0] * 6,
    R=[0.0, 0.0],
    x0_box=[1.0, 1.0, 0.5, 0.5, 0.2, 0.2],
    goal_box=[END, END],
    goal_tolerance=[0.05, 0.05, 0.05, 0.05, None, None],
)
