"""A small planar quadrotor within its box of states hovers at (0, 1) m.

Source: safe-control-gym, envs/gym_pybullet_drones/quadrotor.py and examples/mpc,
quadrotor_2D_stab: constants, boxes, weights (which the cost there halves), rate and horizon.
Run: trc exam scg_quadrotor_2d
"""

import numpy as np
from numpy import cos, sin

from trc_core import System

MASS, INERTIA, ARM, GRAVITY = 0.027, 1.4e-5, 0.0397, 9.8  # kg, kg m^2, m, m/s^2
LEAST, MOST = (2 * 3.16e-10 * (0.2685 * pwm + 4070.3) ** 2 for pwm in (20000.0, 65535.0))  # N
TILT, SPIN = np.radians(85.0), np.radians(500.0)
START = [1.0, 0.0, 0.5, 0.0, 0.1, 0.0]


def dynamics(x, u):
    """Two pairs of propellers: their sum lifts, their difference turns."""
    _, v_x, _, v_z, pitch, rate = x
    lift, turn = (u[0] + u[1]) / MASS, ARM * (u[1] - u[0]) / (INERTIA * np.sqrt(2.0))
    return [v_x, lift * sin(pitch), v_z, lift * cos(pitch) - GRAVITY, rate, turn]


quadrotor = System(
    name='scg_quadrotor_2d',
    dynamics=dynamics,
    state_names=('x', 'v_x', 'z', 'v_z', 'pitch', 'rate'),
    state_units=('m', 'm/s', 'm', 'm/s', 'rad', 'rad/s'),
    control_names=('thrust_left', 'thrust_right'),
    control_units=('N', 'N'),
    joints=(),
    dt=0.02,
    horizon=20,
    u_min=[LEAST, LEAST],
    u_max=[MOST, MOST],
    u_trim=lambda: [MASS * GRAVITY / 2, MASS * GRAVITY / 2],  # also along a reference
    x_min=[-2.0, -30.0, -0.05, -30.0, -TILT, -SPIN],
    x_max=[2.0, 30.0, 2.0, 30.0, TILT, SPIN],
    Q=[2.5, 0.05, 2.5, 0.05, 0.05, 0.05],
    R=[0.05, 0.05],
    Q_f=[2.5, 0.05, 2.5, 0.05, 0.05, 0.05],
    x0_box=[[-1.0, -0.1, 0.5, -0.1, -0.2, -0.1], [1.0, 0.1, 1.5, 0.1, 0.2, 0.1]],
    goal_box=[[0.0, 0.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]],
)
