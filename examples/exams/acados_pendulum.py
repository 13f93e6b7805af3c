"""A pendulum on a cart is swung up within 0.8 s by a force of up to 80 N.

Source: acados, examples/acados_python/getting_started and pendulum_on_cart/common: constants,
weights (those of a stage times dt, as acados integrates), start. Run: trc exam acados_pendulum
"""

import numpy as np
from numpy import cos, sin

from trc_core import System

CART, BALL, LENGTH, GRAVITY = 1.0, 0.1, 0.8, 9.81  # kg, kg, m, m/s^2
START = [0.0, np.pi, 0.0, 0.0]


def dynamics(x, u):
    """A point mass on a rod without mass; its angle is 0 upright."""
    _, angle, v, w = x
    total = CART + BALL - BALL * cos(angle) ** 2
    force = u[0] - BALL * LENGTH * sin(angle) * w**2
    push = (force + BALL * GRAVITY * cos(angle) * sin(angle)) / total
    turn = (force * cos(angle) + (CART + BALL) * GRAVITY * sin(angle)) / (LENGTH * total)
    return [v, w, push, turn]


DT, WEIGHTS = 0.02, np.array([1e3, 1e3, 1e-2, 1e-2])
pendulum = System(
    name='acados_pendulum',
    dynamics=dynamics,
    state_names=('x', 'angle', 'v', 'rate'),
    state_units=('m', 'rad', 'm/s', 'rad/s'),
    control_names=('force',),
    control_units=('N',),
    joints=(),
    dt=DT,
    horizon=40,
    u_min=[-80.0],
    u_max=[80.0],
    Q=DT * WEIGHTS,
    R=[DT * 1e-2],
    Q_f=WEIGHTS,
    x0_box=[[-0.2, -np.pi, -0.2, -0.2], [0.2, np.pi, 0.2, 0.2]],
    goal_box=np.zeros(4),
)
