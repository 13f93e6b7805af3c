"""The acrobot: two links, a motor at the elbow only, swung up from anywhere.

Links of 1 m and 1 kg: Spong, The swing up control problem for the acrobot (1995), with the numbers
of Sutton and Barto, Reinforcement Learning. Angles are 0 where the links stand upright.
Run: trc train --system acrobot.py
"""

import numpy as np
from numpy import cos, sin

from trc_core import System


def dynamics(x, u, gravity):
    """M(q) q'' + C(q, q') + g(q) = (0, torque), solved for q'' by hand."""
    q1, q2, w1, w2 = x
    m11, m12, m22 = 3.5 + cos(q2), 1.25 + 0.5 * cos(q2), 1.25
    h, g2 = 0.5 * sin(q2), 0.5 * gravity * sin(q1 + q2)
    f1 = h * w2 * (2.0 * w1 + w2) + 1.5 * gravity * sin(q1) + g2
    f2 = u[0] - h * w1**2 + g2
    determinant = m11 * m22 - m12**2
    return [w1, w2, (m22 * f1 - m12 * f2) / determinant, (m11 * f2 - m12 * f1) / determinant]


acrobot = System(
    name='acrobot',
    dynamics=dynamics,
    parameters={'gravity': 9.81},
    state_names=('shoulder', 'elbow', 'shoulder_rate', 'elbow_rate'),
    state_units=('rad', 'rad', 'rad/s', 'rad/s'),
    control_names=('elbow_torque',),
    control_units=('N m',),
    joints=(),
    angles=('shoulder', 'elbow'),
    dt=0.05,
    horizon=80,
    u_min=[-15.0],
    u_max=[15.0],
    Q=[10.0, 10.0, 1.0, 1.0],
    R=[0.1],
    x0_box=[np.pi, 0.5, 0.5, 0.5],
    goal_box=np.zeros(4),
    goal_tolerance=[0.2, 0.2, 0.5, 0.5],
)
