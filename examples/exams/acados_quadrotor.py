"""A small quadrotor flies along a helix, in coordinates of the curve, by its rotors' spin-up.

Source: acados, examples/acados_python/quadrotor_nav; Arrizabalaga and Ryll, Towards time-optimal
tunnel-following for quadrotors (2022): constants, weights, constraint, reference, and the helix of
radius 1 m and slope 0.025, here from the start on. The rotors' acceleration is not bounded there.
Run: trc exam acados_quadrotor
"""

import numpy as np
from numpy import cos, sin

from trc_core import System

MASS, IX, IZ, GRAVITY = 31e-3, 1.395e-5, 2.173e-5, 9.80665  # kg, kg m^2, kg m^2, m/s^2
DRAG, THRUST, ARM = 7.9379e-06, 3.25e-4, 0.046  # N/krpm^2, N/krpm^2, m
SLOPE = np.arctan(0.025)
BEND, TWIST = np.cos(SLOPE) ** 2, np.cos(SLOPE) * np.sin(SLOPE)  # 1/m, of a radius of 1 m
HOVER = np.sqrt(MASS * GRAVITY / (4 * THRUST))  # krpm
AHEAD, DT, HORIZON = 0.1875, 0.02, 50  # m of the reference at the end of a plan, s
START = [0.05, 0, 0, 1, 0, 0, 0, 0.02, 0, 0, 0, 0, 0, 0, 0, 0, *[HOVER] * 4]


def frame(s):
    """The tangent, the normal and the binormal of the helix at a place s [m]."""
    turned, c, k = s * np.cos(SLOPE), np.cos(SLOPE), np.sin(SLOPE)
    tangent = [c * cos(turned), c * sin(turned), k]
    return tangent, [-sin(turned), cos(turned), 0.0], [-k * cos(turned), -k * sin(turned), c]


def dot(a, b):
    """The product of two vectors."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def dynamics(x, u):
    """Place beside the helix, quaternion, its rates, body rates, velocity, speeds of rotors."""
    s, n, b, w, i, j, k = x[:7]
    p, q, r = x[10:13]
    v, squares = x[13:16], [rotor**2 for rotor in x[16:20]]
    total = THRUST * (squares[0] + squares[1] + squares[2] + squares[3]) / MASS
    a = [
        2.0 * (w * j + i * k) * total - DRAG / MASS * 2.0 * v[0],
        2.0 * (j * k - w * i) * total - DRAG / MASS * 2.0 * v[1],
        (2.0 * (w**2 + k**2) - 1.0) * total - GRAVITY - DRAG / MASS * v[2] ** 2,
    ]
    roll = THRUST * ARM * (squares[0] + squares[1] - squares[2] - squares[3])
    pitch = THRUST * ARM * (squares[0] - squares[1] - squares[2] + squares[3])
    yaw = DRAG * (squares[0] - squares[1] + squares[2] - squares[3])
    tangent, normal, binormal = frame(s)
    gap, forward = 1.0 - BEND * n, dot(tangent, v)
    ds = forward / gap
    dn = dot(normal, v) + TWIST * ds * b
    db = dot(binormal, v) - TWIST * ds * n
    dds = (dot(tangent, a) + BEND * ds * dot(normal, v)) / gap + forward * dn * BEND / gap**2
    turning = TWIST * ds * dot(binormal, v) - BEND * ds * forward  # of the normal
    ddn = dot(normal, a) + turning + TWIST * (dds * b + ds * db)
    ddb = dot(binormal, a) - TWIST * ds * dot(normal, v) - TWIST * (dds * n + ds * dn)
    turn = [-i * p - j * q - k * r, w * p - k * q + j * r, k * p + w * q - i * r]
    turn = [0.5 * rate for rate in (*turn, -j * p + i * q + w * r)]
    spin = [(roll - (IZ - IX) * q * r) / IX, (pitch + (IZ - IX) * p * r) / IX, yaw / IZ]
    return [ds, dn, db, *turn, dds, ddn, ddb, *spin, *a, *u]


SMALL = [1e-5] * 13
WEIGHTS = DT / 2 * np.array([1.0, 0.1, 0.1, *SMALL, *[1e-8] * 4])
FAR = np.array(
    [0.05, 0.05, 0.05, 0, 0.05, 0.05, 0.05, 0.02, 0, 0, *[0.2] * 3, *[0.05] * 3, *[0] * 4]
)
quadrotor = System(
    name='acados_quadrotor',
    dynamics=dynamics,
    constraints=lambda x: {'inside the bend': x[1] - 1.0 / BEND},
    state_names=(
        *('along', 'normal', 'binormal', 'q_w', 'q_x', 'q_y', 'q_z', 'd_along', 'd_normal'),
        *('d_binormal', 'p', 'q', 'r', 'v_x', 'v_y', 'v_z', 'rotor_1', 'rotor_2', 'rotor_3'),
        'rotor_4',
    ),
    state_units=(
        *(*['m'] * 3, *['1'] * 4, *['m/s'] * 3),
        *(*['rad/s'] * 3, *['m/s'] * 3, *['krpm'] * 4),
    ),
    control_names=tuple(f'spin_up_{rotor}' for rotor in range(1, 5)),
    control_units=('krpm/s',) * 4,
    joints=(),
    dt=DT,
    horizon=HORIZON,
    u_min=[-500.0] * 4,
    u_max=[500.0] * 4,
    u_trim=lambda: [0.0] * 4,  # also along a reference
    Q=WEIGHTS,
    R=[DT / 2 * 1e-5] * 4,
    Q_f=np.array([10.0, 1e-3, 1e-2, *SMALL, *[1e-8] * 4]) / 2,
    x0_box=[np.array(START) - FAR, np.array(START) + FAR],
    goal_box=[START, START],
)


def reference(time, x):
    """Places (T + 1, 20) that run ahead of a state, whatever the time."""
    r = np.zeros((HORIZON + 1, quadrotor.n_x))
    r[:, 0] = x[0] + np.linspace(0.0, AHEAD, HORIZON + 1)
    r[:, 7], r[:, 16:] = AHEAD / (DT * HORIZON), HOVER
    return r
