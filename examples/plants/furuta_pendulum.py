"""A Furuta pendulum: a motor turns an arm, and a rod at its end is swung up and balanced.

Cazzolato and Prime, On the dynamics of the Furuta pendulum (2011), for a thin rod without
friction, which is upright at angle 0. Run: trc train --system furuta_pendulum.py
"""

import numpy as np
from numpy import cos, sin

from trc_core import System

ARM_INERTIA, ARM, MASS, HALF, GRAVITY = 0.002, 0.2, 0.1, 0.15, 9.81  # kg m^2, m, kg, m, m/s^2
ROD_INERTIA = MASS * HALF**2 * 4.0 / 3.0  # about its end


def dynamics(x, u):
    """M(q) q'' + C(q, q') + g(q) = (torque, 0), solved for q'' by hand."""
    _, a, w, v = x
    m11 = ARM_INERTIA + MASS * ARM**2 + ROD_INERTIA * sin(a) ** 2
    m12, m22 = -MASS * ARM * HALF * cos(a), ROD_INERTIA
    f1 = u[0] - 2.0 * ROD_INERTIA * sin(a) * cos(a) * w * v - MASS * ARM * HALF * sin(a) * v**2
    f2 = ROD_INERTIA * sin(a) * cos(a) * w**2 + MASS * GRAVITY * HALF * sin(a)
    determinant = m11 * m22 - m12**2
    return [w, v, (m22 * f1 - m12 * f2) / determinant, (m11 * f2 - m12 * f1) / determinant]


furuta_pendulum = System(
    name='furuta_pendulum',
    dynamics=dynamics,
    state_names=('arm', 'rod', 'arm_rate', 'rod_rate'),
    state_units=('rad', 'rad', 'rad/s', 'rad/s'),
    control_names=('torque',),
    control_units=('N m',),
    joints=(),
    angles=('rod',),
    dt=0.02,
    horizon=75,
    u_min=[-0.15],
    u_max=[0.15],
    Q=[1.0, 10.0, 0.01, 0.1],
    R=[10.0],
    x0_box=[0.5, np.pi, 1.0, 1.0],
    goal_box=np.zeros(4),
    goal_tolerance=[0.2, 0.2, 1.0, 1.0],
)
