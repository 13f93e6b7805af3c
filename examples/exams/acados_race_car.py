"""A model race car, along a track of 0.24 m width, as fast as its reference runs ahead.

Source: acados, examples/acados_python/race_cars; Kloeser et al., NMPC for racing using a
singularity-free path-parametric model with obstacle avoidance (2020): constants, limits, weights,
substeps, start, and the track of bends of 0.25 m, here with short transitions. Two of the limits
are soft there. Run: trc exam acados_race_car
"""

import numpy as np
from numpy import cos, floor, sin, tanh

from trc_core import System

MASS, C1, C2 = 0.043, 0.5, 15.5  # kg, 1, 1/m
MOTOR, MOTOR_V, ROLLING, DRAG = 0.28, 0.05, 0.011, 0.006  # N, kg/s, N, kg/m
HALF, QUARTER, TRANSITION = (
    np.pi / 4,
    np.pi / 8,
    0.02,
)  # m: arcs of a bend, and how sharply it begins
TRACK = (  # length [m] and curvature [1/m] of every part
    *((1.0, 0), (HALF, -4), (HALF, 4), (HALF, -4), (0.5, 0), (QUARTER, -4), (0.5, 0)),
    *((HALF, 4), (0.5, 0), (HALF, -4), (1.0, 0), (QUARTER, -4), (0.5, 0)),
)
LAP = sum(length for length, _ in TRACK)
START = [-2.0, 0.0, 0.0, 0.0, 0.0, 0.0]
AHEAD = 3.0  # m, of the reference at the end of a plan


def curvature(s):
    """The curvature [1/m] at a place s [m] of the path."""
    place, before, total = s - LAP * floor(s / LAP), 0.0, 0.0
    for i, (length, bend) in enumerate(TRACK[:-1]):
        before += length
        total += 0.5 * (TRACK[i + 1][1] - bend) * (1.0 + tanh((place - before) / TRANSITION))
    return total


def pull(x):
    """The force [N] along the car."""
    return (MOTOR - MOTOR_V * x[3]) * x[4] - DRAG * x[3] ** 2 - ROLLING * tanh(5.0 * x[3])


def dynamics(x, u):
    """Place along the path and across, angle to it, speed, throttle, steering."""
    s, n, angle, v, _, steering = x
    slip, bend = angle + C1 * steering, curvature(s)
    forward = v * cos(slip) / (1.0 - bend * n)
    push = pull(x) / MASS * cos(C1 * steering)
    return [forward, v * sin(slip), v * C2 * steering - bend * forward, push, u[0], u[1]]


def constraints(x):
    """Accelerations [m/s^2] of at most 4, along and across."""
    along, across = pull(x) / MASS, C2 * x[3] ** 2 * x[5] + pull(x) * sin(C1 * x[5]) / MASS
    sides = {'forwards': along, 'backwards': -along, 'left': across, 'right': -across}
    return {side: value - 4.0 for side, value in sides.items()}


def follow(x):
    """A start for plans: along the middle of the track, at 0.8 m/s."""
    steering = curvature(x[0]) / C2 - 2.0 * x[1] - 0.3 * x[2]
    return [(0.15 + 0.5 * (0.8 - x[3]) - x[4]) / 0.1, (steering - x[5]) / 0.05]


race_car = System(
    name='acados_race_car',
    dynamics=dynamics,
    constraints=constraints,
    laws={'follow': follow},
    state_names=('along', 'across', 'angle', 'speed', 'throttle', 'steering'),
    state_units=('m', 'm', 'rad', 'm/s', '1', 'rad'),
    control_names=('throttle_rate', 'steering_rate'),
    control_units=('1/s', 'rad/s'),
    joints=(),
    dt=0.02,
    horizon=50,
    substeps=3,
    u_min=[-10.0, -2.0],
    u_max=[10.0, 2.0],
    u_trim=lambda: [0.0, 0.0],  # also along a reference
    x_min=[None, -0.12, None, None, -1.0, -0.4],
    x_max=[None, 0.12, None, None, 1.0, 0.4],
    Q=np.array([1e-1, 1e-8, 1e-8, 1e-8, 1e-3, 5e-3]) / 2,
    R=np.array([1e-3, 5e-3]) / 2,
    Q_f=np.array([5.0, 10.0, 1e-8, 1e-8, 5e-3, 2e-3]) / 100,
    constraint_tolerance=1e-3,
    x0_box=[[-2.0, -0.03, -0.1, 0.0, 0.0, -0.05], [6.5, 0.03, 0.1, 1.5, 0.5, 0.05]],
    goal_box=[[0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0, 0.0, 0.0]],
)


def reference(time, x):
    """Places (T + 1, 6) that run ahead of a state, whatever the time."""
    r = np.zeros((race_car.horizon + 1, race_car.n_x))
    r[:, 0] = x[0] + np.linspace(0.0, AHEAD, race_car.horizon + 1)
    return r
