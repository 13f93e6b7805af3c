"""A quadrotor flies 5 m to the side as soon as it can, tilted by 31 degrees at most.

Source: OptimalControlProblems.jl, quadrotor: limits, prices, start and end.
Run: trc exam ocp_quadrotor
"""

import numpy as np
from numpy import cos, sin

from trc_core import System

GRAVITY, TILT, DT = 9.81, 0.55, 0.04  # m/s^2, rad, s
START = [0.0, 0.0, 2.5, 0.0, 0.0, 0.0, 0.0, 0.0]
END = [0.01, 5.0, 2.5, 0.0, 0.0, 0.0, 0.0, 0.0]


def dynamics(x, u):
    """Thrust by mass along the body, whose rates of roll and pitch and yaw are chosen."""
    roll, pitch = x[6], x[7]
    push, roll_rate, pitch_rate, yaw = u
    return [
        *x[3:6],
        push * (cos(yaw) * sin(pitch) * cos(roll) + sin(yaw) * sin(roll)),
        push * (sin(yaw) * sin(pitch) * cos(roll) - cos(yaw) * sin(roll)),
        push * cos(pitch) * cos(roll) - GRAVITY,
        roll_rate,
        pitch_rate,
    ]


quadrotor = System(
    name='ocp_quadrotor',
    dynamics=dynamics,
    constraints=lambda x: {'tilt': np.cos(TILT) - cos(x[6]) * cos(x[7])},
    state_names=('x', 'y', 'z', 'v_x', 'v_y', 'v_z', 'roll', 'pitch'),
    state_units=('m', 'm', 'm', 'm/s', 'm/s', 'm/s', 'rad', 'rad'),
    control_names=('push', 'roll_rate', 'pitch_rate', 'yaw'),
    control_units=('m/s^2', 'rad/s', 'rad/s', 'rad'),
    joints=(),
    dt=DT,
    horizon=60,
    final_time=(0.5, 8.0),
    time_weight=1.0,
    terminal=('x', 'y', 'z', 'v_x', 'v_y', 'v_z'),
    u_min=[0.0, -3.0, -3.0, -np.pi],
    u_max=[9.18 * 5, 3.0, 3.0, np.pi],
    u_trim=[GRAVITY, 0.0, 0.0, 0.0],
    x_min=[*[None] * 6, -np.pi / 2, -np.pi / 2],
    x_max=[*[None] * 6, np.pi / 2, np.pi / 2],
    Q=[*[0.0] * 6, DT * 1e-8, DT * 1e-8],
    R=[DT * 1e-8, 0.0, 0.0, DT * 100.0],
    Q_f=[0.0] * 8,
    x0_box=[[-0.5, -1.0, 2.0, *[-0.3] * 3, -0.1, -0.1], [0.5, 1.0, 3.0, *[0.3] * 3, 0.1, 0.1]],
    goal_box=[END, END],
    goal_tolerance=[*[0.05] * 6, None, None],
)
