"""A hanging chain of five masses comes to rest beside a wall; its last mass is moved by hand.

Source: acados, examples/acados_python/chain_mass; Kouzoupis et al., Recent advances in quadratic
programming algorithms for nonlinear model predictive control (2018): constants, weights (those of
a stage times dt), bounds, the wall (soft there), start. Run: trc exam acados_chain
"""

import numpy as np

from trc_core import System

FREE, MASS, SPRING, LENGTH, GRAVITY = 3, 0.033, 1.0, 0.033, 9.81  # 1, kg, N, m, m/s^2
PLACES = 3 * (FREE + 1)  # of the masses that move
SIZE = PLACES + 3 * FREE
END = np.array([6.0 * LENGTH * (FREE + 1), 0.0, 0.0])  # m, where the last mass rests
WALL, DT = -0.05, 0.2  # m, s


def pulls(places):
    """The forces of the springs on the free masses over their mass, and gravity (3 FREE,)."""
    found = [0.0, 0.0, -GRAVITY] * FREE
    for i in range(FREE + 1):
        before = places[3 * i - 3 : 3 * i] if i else [0.0, 0.0, 0.0]
        gap = [here - there for here, there in zip(places[3 * i : 3 * i + 3], before, strict=True)]
        stretch = np.sqrt(gap[0] ** 2 + gap[1] ** 2 + gap[2] ** 2)
        for axis in range(3):
            pull = SPRING / MASS * (1.0 - LENGTH / stretch) * gap[axis]
            if i < FREE:
                found[3 * i + axis] -= pull
            if i > 0:
                found[3 * i - 3 + axis] += pull
    return found


def dynamics(x, u):
    """Masses are pulled by their springs; the last one has the speed that it is given."""
    return [*x[PLACES:], *u, *pulls(list(x[:PLACES]))]


def rest():
    """Where the chain hangs still (SIZE,), by Newton's method."""
    free = np.zeros(3 * FREE)
    free[::3], free[2::3] = np.linspace(0.0, END[0], FREE + 2)[1:-1], -0.3
    for _ in range(50):
        off = np.array(pulls([*free, *END]))
        nudges = 1e-7 * np.eye(3 * FREE)
        slopes = [(np.array(pulls([*(free + nudge), *END])) - off) / 1e-7 for nudge in nudges]
        free = free - 0.5 * np.linalg.solve(np.array(slopes).T, off)
    return np.array([*free, *END, *[0.0] * (3 * FREE)])


def pushed(x, u, seconds):
    """The chain after its last mass was moved at a constant speed (SIZE,)."""
    h = 1e-3
    for _ in range(round(seconds / h)):  # the midpoint rule
        middle = x + 0.5 * h * np.array(dynamics(x, u))
        x = x + h * np.array(dynamics(middle, u))
    return x


REST = rest()
START = pushed(REST, [-1.0, 1.0, 1.0], 5 * DT)
FAR = np.array([0.05] * PLACES + [0.2] * 3 * FREE)
WEIGHTS = np.array([1.0] * (PLACES - 3) + [FREE + 1.0] * 3 + [1.0] * 3 * FREE)
chain = System(
    name='acados_chain',
    dynamics=dynamics,
    state_names=(
        *(f'{axis}_{i}' for i in range(1, FREE + 2) for axis in 'xyz'),
        *(f'v_{axis}_{i}' for i in range(1, FREE + 1) for axis in 'xyz'),
    ),
    state_units=('m',) * PLACES + ('m/s',) * (3 * FREE),
    control_names=('v_x', 'v_y', 'v_z'),
    control_units=('m/s',) * 3,
    joints=(),
    dt=DT,
    horizon=40,
    u_min=[-1.0] * 3,
    u_max=[1.0] * 3,
    x_min=[None, WALL, None] * (FREE + 1) + [None] * (3 * FREE),
    Q=DT * WEIGHTS,
    R=[DT * 1e-2] * 3,
    Q_f=WEIGHTS,
    x0_box=[START - FAR, START + FAR],
    goal_box=[REST, REST],
)
