"""A robot with force and torque drives to (1, 1) m within 2 s.

Source: acados, examples/acados_python/unicycle: weights (those of a stage times dt, as acados
integrates), bound of the force, start; the torque has none there. Run: trc exam acados_unicycle
"""

import numpy as np
from numpy import cos, sin

from trc_core import System

START = [0.0, 0.0, 0.0, 0.0, 0.0]
GOAL = [1.0, 1.0, 0.0, 0.0, 0.0]


def dynamics(x, u):
    """It only rolls where it heads."""
    _, _, v, heading, rate = x
    return [v * cos(heading), v * sin(heading), u[0], rate, u[1]]


DT, WEIGHTS = 0.04, np.array([1e3, 1e3, 1e-4, 1e-3, 1e-3])
unicycle = System(
    name='acados_unicycle',
    dynamics=dynamics,
    state_names=('x', 'y', 'v', 'heading', 'rate'),
    state_units=('m', 'm', 'm/s', 'rad', 'rad/s'),
    control_names=('force', 'torque'),
    control_units=('N', 'N m'),
    joints=(),
    dt=DT,
    horizon=50,
    u_min=[-10.0, -50.0],
    u_max=[10.0, 50.0],
    Q=DT * WEIGHTS,
    R=[DT * 0.5, DT * 0.05],
    Q_f=WEIGHTS,
    x0_box=[[0.0, 0.0, -0.1, -0.5, -0.1], [2.0, 2.0, 0.1, 0.5, 0.1]],
    goal_box=[GOAL, GOAL],
)
