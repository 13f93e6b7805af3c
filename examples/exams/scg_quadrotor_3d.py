"""A small quadrotor in space, by Euler angles, within its box of states hovers at (0, 0, 1) m.

Source: safe-control-gym, envs/gym_pybullet_drones/quadrotor.py and examples/mpc,
quadrotor_3D_stab: constants, boxes, weights (which the cost there halves), rate and horizon.
Run: trc exam scg_quadrotor_3d
"""

import numpy as np
from numpy import cos, sin, tan

from trc_core import System

MASS, IX, IZ, GRAVITY = 0.027, 1.4e-5, 2.17e-5, 9.8  # kg, kg m^2, kg m^2, m/s^2
ARM, DRAG = 0.0397 / np.sqrt(2.0), 7.94e-12 / 3.16e-10  # m, m: of thrust about x, y and about z
LEAST, MOST = (3.16e-10 * (0.2685 * pwm + 4070.3) ** 2 for pwm in (20000.0, 65535.0))  # N
TILT, SPIN = np.radians(85.0), np.radians(500.0)
START = [1.0, 0.0, -1.0, 0.0, 0.5, 0.0, 0.1, -0.1, 0.1, 0.0, 0.0, 0.0]


def dynamics(x, u):
    """The rigid body: velocities in the fixed frame, rates in that of the body."""
    roll, pitch, yaw, p, q, r = x[6:12]
    lift = (u[0] + u[1] + u[2] + u[3]) / MASS
    spin = q * sin(roll) + r * cos(roll)
    return [
        x[1],
        lift * (cos(yaw) * sin(pitch) * cos(roll) + sin(yaw) * sin(roll)),
        x[3],
        lift * (sin(yaw) * sin(pitch) * cos(roll) - cos(yaw) * sin(roll)),
        x[5],
        lift * cos(pitch) * cos(roll) - GRAVITY,
        p + spin * tan(pitch),
        q * cos(roll) - r * sin(roll),
        spin / cos(pitch),
        (ARM * (u[0] + u[1] - u[2] - u[3]) - (IZ - IX) * q * r) / IX,
        (ARM * (u[1] + u[2] - u[0] - u[3]) + (IZ - IX) * p * r) / IX,
        DRAG * (u[1] + u[3] - u[0] - u[2]) / IZ,
    ]


WEIGHTS = [2.5, 0.05, 2.5, 0.05, 2.5, 0.05, *[0.05] * 6]
FAR = np.array([1.0, 0.1, 1.0, 0.1, 0.5, 0.1, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1])
GOAL = np.array([0.0, 0.0, 0.0, 0.0, 1.0, *[0.0] * 7])
quadrotor = System(
    name='scg_quadrotor_3d',
    dynamics=dynamics,
    state_names=('x', 'v_x', 'y', 'v_y', 'z', 'v_z', 'roll', 'pitch', 'yaw', 'p', 'q', 'r'),
    state_units=(*('m', 'm/s') * 3, *('rad',) * 3, *('rad/s',) * 3),
    control_names=tuple(f'thrust_{motor}' for motor in range(1, 5)),
    control_units=('N',) * 4,
    joints=(),
    dt=0.02,
    horizon=20,
    u_min=[LEAST] * 4,
    u_max=[MOST] * 4,
    u_trim=lambda: [MASS * GRAVITY / 4] * 4,  # also along a reference
    x_min=[-2.0, -30.0, -2.0, -30.0, -0.05, -30.0, -TILT, -TILT, -np.pi, -SPIN, -SPIN, -SPIN],
    x_max=[2.0, 30.0, 2.0, 30.0, 2.0, 30.0, TILT, TILT, np.pi, SPIN, SPIN, SPIN],
    Q=WEIGHTS,
    R=[0.05] * 4,
    Q_f=WEIGHTS,
    x0_box=[GOAL - FAR, GOAL + FAR],
    goal_box=[GOAL, GOAL],
)
