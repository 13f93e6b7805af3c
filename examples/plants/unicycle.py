"""A unicycle drives from any pose to the origin, and has to stop there facing along x.

It cannot move sideways: no feedback that is smooth stops it at a pose (Brockett, 1983), and an LQR
about the goal knows nothing of its heading. Siegwart, Autonomous Mobile Robots, 3.6.
Run: trc train --system unicycle.py
"""

import numpy as np
from numpy import cos, sin

from trc_core import System


def dynamics(x, u):
    """Speed along the heading, and a rate of turn."""
    return [u[0] * cos(x[2]), u[0] * sin(x[2]), u[1]]


unicycle = System(
    name='unicycle',
    dynamics=dynamics,
    state_names=('x', 'y', 'heading'),
    state_units=('m', 'm', 'rad'),
    control_names=('speed', 'turn_rate'),
    control_units=('m/s', 'rad/s'),
    joints=(),
    angles=('heading',),
    dt=0.1,
    horizon=50,
    u_min=[-0.5, -1.5],
    u_max=[1.0, 1.5],
    Q=[1.0, 1.0, 0.1],
    R=[0.1, 0.1],
    x0_box=[2.0, 2.0, np.pi],
    goal_box=np.zeros(3),
)
