"""A rocket of 10 kg descends along a line, its thrust and its place each within a cone.

Source: TinyMPC, examples/rocket_landing_mpc.cpp and rocket_landing_params_20hz.hpp: step, weights
(which the cost there halves), terminal weight, bounds, cones, line, start.
Run: trc exam tinympc_rocket
"""

import numpy as np
from numpy import hypot

from trc_core import System

MASS, GRAVITY, DT = 10.0, 9.81, 0.05  # kg, m/s^2, s
FROM, SECONDS = np.array([4.0, 2.0, 20.0, -3.0, 2.0, -4.5]), 99 * DT  # of the line to the origin
START = 1.1 * FROM
COST_TO_GO = np.array([[3963.818612, 2828.869032], [2828.869032, 5585.840134]])


def dynamics(x, u):
    """A point mass; the axes are x, y and z, up."""
    return [x[3], x[4], x[5], u[0] / MASS, u[1] / MASS, u[2] / MASS - GRAVITY]


def constraints(x, u):
    """How far the thrust [N] is out of its cone, and the place [m]."""
    return {
        'thrust': hypot(u[0], u[1]) - 0.25 * u[2],
        'place': hypot(x[0], x[1]) - 0.5 * x[2],
    }


FAR = np.array([0.5, 0.5, 2.0, 0.5, 0.5, 0.5])
rocket = System(
    name='tinympc_rocket',
    dynamics=dynamics,
    constraints=constraints,
    state_names=('x', 'y', 'z', 'v_x', 'v_y', 'v_z'),
    state_units=('m', 'm', 'm', 'm/s', 'm/s', 'm/s'),
    control_names=('thrust_x', 'thrust_y', 'thrust_z'),
    control_units=('N', 'N', 'N'),
    joints=(),
    dt=DT,
    horizon=9,
    u_min=[-10.0, -10.0, -10.0],
    u_max=[105.0, 105.0, 105.0],
    u_trim=lambda: [0.0, 0.0, 10.0],  # also along the line
    x_min=[-5.0, -5.0, -0.5, -10.0, -10.0, -20.0],
    x_max=[5.0, 5.0, 100.0, 10.0, 10.0, 20.0],
    Q=[50.5] * 6,
    R=[1.0] * 3,
    Q_f=np.kron(COST_TO_GO, np.eye(3)) / 2,
    x0_box=[START - FAR, START + FAR],
    goal_box=[np.zeros(6), np.zeros(6)],
)


def reference(time, x):
    """The line (T + 1, 6) from `time` on, whatever the state."""
    share = (time + DT * np.arange(rocket.horizon + 1)) / SECONDS
    return FROM * (1.0 - np.minimum(share, 1.0))[:, None]
