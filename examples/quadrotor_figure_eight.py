"""A small planar quadrotor flies a figure eight between walls and below a speed limit.

The plant, the weights and the curve are those of safe-control-gym's quadrotor_2D tracking task.
Run: python quadrotor_figure_eight.py
"""

import numpy as np
from numpy import cos, sin

from trc_core import Controller, System

MASS, INERTIA, ARM, GRAVITY = 0.027, 1.4e-5, 0.0397, 9.8  # [kg], [kg m^2], [m], [m/s^2]
PERIOD, SCALE, HEIGHT = 6.0, 0.75, 1.0  # [s], [m], [m] of the figure eight
LEAST, MOST = (2 * 3.16e-10 * (0.2685 * pwm + 4070.3) ** 2 for pwm in (20000.0, 65535.0))


def dynamics(x, u):
    """Two pairs of propellers: their sum lifts, their difference turns."""
    _, v_x, _, v_z, pitch, rate = x
    lift, turn = (u[0] + u[1]) / MASS, ARM * (u[1] - u[0]) / (INERTIA * np.sqrt(2.0))
    return [v_x, lift * sin(pitch), v_z, lift * cos(pitch) - GRAVITY, rate, turn]


quadrotor = System(
    name='quadrotor_figure_eight',
    dynamics=dynamics,
    state_names=('x', 'v_x', 'z', 'v_z', 'pitch', 'rate'),
    state_units=('m', 'm/s', 'm', 'm/s', 'rad', 'rad/s'),
    control_names=('thrust_left', 'thrust_right'),
    control_units=('N', 'N'),
    joints=(),
    angles=('pitch',),
    x_min=[-2.0, -1.0, 0.0, -1.0, -0.2, None],
    x_max=[2.0, 1.0, 2.0, 1.0, 0.2, None],
    dt=0.02,
    horizon=20,
    u_min=[LEAST, LEAST],
    u_max=[MOST, MOST],
    u_trim='equilibrium',
    Q=[2.5, 0.05, 2.5, 0.05, 0.05, 0.05],
    R=[0.05, 0.05],
    Q_f=[2.5, 0.05, 2.5, 0.05, 0.05, 0.05],
    x0_box=[[-1.0, -0.5, 0.5, -0.5, -0.1, -0.5], [1.0, 0.5, 1.5, 0.5, 0.1, 0.5]],
    goal_box=[[-1.0, 0.0, 0.5, 0.0, 0.0, 0.0], [1.0, 0.0, 1.5, 0.0, 0.0, 0.0]],
)


def figure_eight(since):
    """The reference (T + 1, 6) from `since` seconds after the start."""
    phase = 2 * np.pi / PERIOD * (since + quadrotor.dt * np.arange(quadrotor.horizon + 1))
    rate, zero = 2 * np.pi / PERIOD, np.zeros_like(phase)
    x, v_x = SCALE * sin(phase), SCALE * rate * cos(phase)
    z, v_z = HEIGHT + SCALE * sin(phase) * cos(phase), SCALE * rate * cos(2 * phase)
    return np.stack([x, v_x, z, v_z, zero, zero], axis=1)


if __name__ == '__main__':
    controller, plan, x, errors = Controller.classical(quadrotor), None, figure_eight(0.0)[0], []
    for tick in range(round(PERIOD / quadrotor.dt)):
        reference = figure_eight(tick * quadrotor.dt)
        plan = controller.plan(x, reference, warm_start=plan)
        errors.append(np.hypot(*(x - reference[0])[[0, 2]]))
        x = quadrotor.step(x, plan.controls[0])
    print(f'rms error {1000 * np.sqrt(np.mean(np.square(errors))):.0f} mm over one figure eight')
