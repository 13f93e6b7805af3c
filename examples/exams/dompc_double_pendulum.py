"""Two rods on a cart swing up beside a round obstacle, at a place that changes after 4 s.

Source: do-mpc, examples/double_inverted_pendulum: constants, obstacle, bounds, energies as costs
(a height is a square of the sine of half an angle; the constant is left out), start.
Run: trc exam dompc_double_pendulum
"""

import numpy as np
from numpy import cos, hypot, sin

from trc_core import System
from trc_core.problem.discretise import rk4

CART, ROD, LONG, GRAVITY = 0.6, 0.2, 0.5, 9.80665  # kg, kg, m, m/s^2
MID, INERTIA = LONG / 2, ROD * (LONG / 2) ** 2 / 3  # m, kg m^2
HEIGHT, RADIUS = 0.6, 0.3 * 1.05  # m, of the obstacle above the middle, with its margin
START = [0.0, 0.9 * np.pi, 0.9 * np.pi, 0.0, 0.0, 0.0, 0.0]
DT, PARTS = 0.04, 2  # s, RK4 steps within it


def rates(_, a, b, v, w_a, w_b, force):
    """M q'' = f for the cart and both rods, whose angles are 0 upright."""
    h_2, h_3, h_5 = ROD * (MID + LONG), ROD * MID, ROD * MID * LONG
    m = [CART + 2 * ROD, h_2 * cos(a), h_3 * cos(b)]
    m += [ROD * (MID**2 + LONG**2) + INERTIA, h_5 * cos(a - b), ROD * MID**2 + INERTIA]
    f = [
        h_2 * w_a**2 * sin(a) + h_3 * w_b**2 * sin(b) + force,
        h_2 * GRAVITY * sin(a) - h_5 * w_b**2 * sin(a - b),
        h_3 * GRAVITY * sin(b) + h_5 * w_a**2 * sin(a - b),
    ]
    inverse = [m[3] * m[5] - m[4] ** 2, m[2] * m[4] - m[1] * m[5], m[1] * m[4] - m[2] * m[3]]
    inverse += [m[0] * m[5] - m[2] ** 2, m[1] * m[2] - m[0] * m[4], m[0] * m[3] - m[1] ** 2]
    determinant = m[0] * inverse[0] + m[1] * inverse[1] + m[2] * inverse[2]
    rows = ((0, 1, 2), (1, 3, 4), (2, 4, 5))
    turned = [sum(inverse[k] * g for k, g in zip(row, f, strict=True)) for row in rows]
    return [v, w_a, w_b, *(value / determinant for value in turned)]


def dynamics(x, u):
    """The next state; the force is one, of which the change has a price."""
    force, y = x[6] + u[0], np.array(list(x[:6]))
    for _ in range(PARTS):
        y = rk4(lambda y, force: np.array(rates(*y, force)), y, force, DT / PARTS)
    return [*y, force]


def height(x):
    """Potential energy that is missing: m g l (1 - cos angle) = 2 m g l sin(angle / 2)^2."""
    upper, lower = 2 * ROD * GRAVITY * (MID + LONG), 2 * ROD * GRAVITY * MID
    return [np.sqrt(upper) * sin(x[1] / 2), np.sqrt(lower) * sin(x[2] / 2)]


def energy(x):
    """Kinetic energy as well, as it stands there: both rods turn at the rate of the first."""
    _, a, b, v, w_a, w_b, _ = x
    swing = LONG * w_a * cos(a) + MID * w_b * cos(b), LONG * w_a * sin(a) + MID * w_b * sin(b)
    moving = [v + MID * w_a * cos(a), MID * w_a * sin(a), v + swing[0], swing[1]]
    rods = [np.sqrt(ROD / 2) * speed for speed in moving]
    return [*height(x), np.sqrt(CART / 2) * v, *rods, np.sqrt(INERTIA) * w_a]


def constraints(x):
    """The depths [m] of both ends in the obstacle; the cart stays below it."""
    ends = [(x[0] + LONG * sin(x[1]), LONG * cos(x[1]))]
    ends.append((ends[0][0] + LONG * sin(x[2]), ends[0][1] + LONG * cos(x[2])))
    names = ('first rod', 'second rod')
    depths = [RADIUS - hypot(end[0], end[1] - HEIGHT) for end in ends]
    return dict(zip(names, depths, strict=True))


pendulum = System(
    name='dompc_double_pendulum',
    dynamics=dynamics,
    discrete=True,
    constraints=constraints,
    residuals=height,
    terminal_residuals=energy,
    state_names=('x', 'first', 'second', 'v', 'first_rate', 'second_rate', 'force'),
    state_units=('m', 'rad', 'rad', 'm/s', 'rad/s', 'rad/s', 'N'),
    control_names=('change_of_force',),
    control_units=('N',),
    joints=(),
    angles=('first', 'second'),
    dt=DT,
    horizon=100,
    u_min=[-8.0],
    u_max=[8.0],
    u_trim=lambda: [0.0],  # also along a reference
    x_min=[*[None] * 6, -4.0],
    x_max=[*[None] * 6, 4.0],
    Q=[10.0, *[0.0] * 6],
    R=[0.1],
    Q_f=[0.0] * 7,
    x0_box=[
        [-0.3, 0.8 * np.pi, 0.8 * np.pi, -0.1, -0.1, -0.1, 0.0],
        [0.3, 1.2 * np.pi, 1.2 * np.pi, 0.1, 0.1, 0.1, 0.0],
    ],
    goal_box=[[-0.8, 0, 0, 0, 0, 0, 0], [-0.8, 0, 0, 0, 0, 0, 0]],
    constraint_tolerance=1e-3,
    goal_tolerance=[0.3, 0.3, 0.3, 1.0, 1.0, 1.0, None],
)


def reference(time, x):
    """The cart's place (T + 1, 7), which the plans learn of when it changes."""
    r = np.zeros((pendulum.horizon + 1, pendulum.n_x))
    r[:, 0] = -0.8 if time <= 4.0 else 0.8
    return r
