"""A rod on a cart is swung up as soon as it can be, by 5 N on 2 m of rail, at up to 2 m/s.

Source: OptimalControlProblems.jl, cart_pendulum: masses, length, limits; here with the equations
of a uniform rod, of which the acceleration of the cart there is one number for all times, and from
rest. Run: trc exam ocp_cartpole
"""

import numpy as np
from numpy import cos, sin

from trc_core import System

CART, ROD, HALF, GRAVITY = 0.5, 1.0, 0.5, 9.82  # kg, kg, m, m/s^2
INERTIA = ROD * (2.0 * HALF) ** 2 / 12.0 + ROD * HALF**2  # kg m^2, about its end
START = [0.0, 0.0, 0.0, 0.0]
END = [0.0, 0.0, np.pi, 0.0]


def dynamics(x, u):
    """The angle is 0 where the rod hangs."""
    _, v, angle, rate = x
    m11, m12, m22 = CART + ROD, ROD * HALF * cos(angle), INERTIA
    f1, f2 = u[0] + ROD * HALF * rate**2 * sin(angle), -ROD * GRAVITY * HALF * sin(angle)
    determinant = m11 * m22 - m12**2
    return [v, (m22 * f1 - m12 * f2) / determinant, rate, (m11 * f2 - m12 * f1) / determinant]


def swing(x):
    """A start for plans: the cart moves so that the rod gains energy, near its middle."""
    return [-5.0 * np.tanh(5.0 * x[3] * cos(x[2]) - 0.3) - 3.0 * x[0] - x[1]]


cartpole = System(
    name='ocp_cartpole',
    dynamics=dynamics,
    laws={'swing': swing},
    state_names=('x', 'v', 'angle', 'rate'),
    state_units=('m', 'm/s', 'rad', 'rad/s'),
    control_names=('force',),
    control_units=('N',),
    joints=(),
    dt=0.04,
    horizon=100,
    final_time=(1.0, 12.0),
    time_weight=1.0,
    terminal=('angle', 'rate'),
    u_min=[-5.0],
    u_max=[5.0],
    x_min=[-1.0, -2.0, None, None],
    x_max=[1.0, 2.0, None, None],
    Q=[0.0] * 4,
    R=[0.0],
    x0_box=[0.3, 0.1, 0.3, 0.3],
    goal_box=[END, END],
    goal_tolerance=[None, None, 0.05, 0.05],
)
