"""A Crazyflie near hover flies along the y axis at 0.27 m/s, by the thrust of four motors.

Source: TinyMPC, examples/quadrotor_tracking.cpp and quadrotor_20hz_params.hpp: the accelerations
that its motors give, weights (which the cost there halves), bounds, the line. Its terminal weight
is the LQR's cost to go, as there. Run: trc exam tinympc_crazyflie
"""

import numpy as np
from scipy.linalg import expm, solve_discrete_are

from trc_core import System

GRAVITY, DT, SPEED = 9.81, 0.05, 4.0 / 15.0  # m/s^2, s, m/s
LIFT = 0.2102143 / DT  # m/s^2
TURN = (
    np.array(  # rad/s^2, of a motor each
        [
            [-13.7677303, -15.1617018, 13.7831318, 15.1463003],
            [-13.8353509, 15.2139209, 13.8784751, -15.2570451],
            [0.9873856, -0.3611820, -1.3921880, 0.7659845],
        ]
    )
    / DT
)
START = [0.1, 0.1, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def dynamics(x, u):
    """Hover, linearised: attitudes are Rodrigues parameters, half of a small angle."""
    rates = [sum(TURN[axis, motor] * u[motor] for motor in range(4)) for axis in range(3)]
    lift = LIFT * (u[0] + u[1] + u[2] + u[3])
    leaning = [2 * GRAVITY * x[4], -2 * GRAVITY * x[3], lift]
    return [*x[6:9], *(0.5 * rate for rate in x[9:12]), *leaning, *rates]


def cost_to_go(Q, R):
    """The terminal weight (12, 12): that of the LQR of the exact step."""
    states = np.array([dynamics(x, np.zeros(4)) for x in np.eye(12)]).T
    controls = np.array([dynamics(np.zeros(12), u) for u in np.eye(4)]).T
    whole = np.zeros((16, 16))
    whole[:12] = DT * np.hstack([states, controls])
    step = expm(whole)
    return solve_discrete_are(step[:12, :12], step[:12, 12:], np.diag(Q), np.diag(R))


Q = np.array([100, 100, 100, 4, 4, 400, 4, 4, 4, 2.0408163, 2.0408163, 4]) / 2
R = np.full(4, 2.0)
crazyflie = System(
    name='tinympc_crazyflie',
    dynamics=dynamics,
    state_names=(
        *('x', 'y', 'z', 'turn_x', 'turn_y', 'turn_z'),
        *('v_x', 'v_y', 'v_z', 'rate_x', 'rate_y', 'rate_z'),
    ),
    state_units=(*['m'] * 3, *['1'] * 3, *['m/s'] * 3, *['rad/s'] * 3),
    control_names=tuple(f'motor_{i}' for i in range(1, 5)),
    control_units=('1',) * 4,
    joints=(),
    dt=DT,
    horizon=9,
    u_min=[-0.5] * 4,
    u_max=[0.5] * 4,
    u_trim=lambda: [0.0] * 4,  # also along the line
    x_min=[-5.0] * 12,
    x_max=[5.0] * 12,
    Q=Q,
    R=R,
    Q_f=cost_to_go(Q, R),
    x0_box=[
        [-0.3, -0.3, 0.7, -0.1, -0.1, -0.1, -0.3, 0.0, -0.3, -0.2, -0.2, -0.2],
        [0.3, 0.3, 1.3, 0.1, 0.1, 0.1, 0.3, 0.5, 0.3, 0.2, 0.2, 0.2],
    ],
    goal_box=[[0, 0, 1, *[0] * 9], [0, 0, 1, *[0] * 9]],
)


def reference(time, x):
    """The line (T + 1, 12) from `time` on, whatever the state."""
    r = np.zeros((crazyflie.horizon + 1, 12))
    r[:, 1] = SPEED * (time + DT * np.arange(crazyflie.horizon + 1))
    r[:, 2], r[:, 7] = 1.0, SPEED
    return r
