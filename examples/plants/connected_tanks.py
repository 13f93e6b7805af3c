"""Two tanks one above the other; a pump that can only fill sets the level of the lower one.

Torricelli's law: outflow is a sqrt(2 g h). Johansson, The quadruple-tank process (2000), halved.
Levels are between 2 and 4 m, so nothing here is near zero; only the lower one has a goal.
Run: trc train --system connected_tanks.py
"""

from numpy import sqrt

from trc_core import System

AREA, HOLE, GRAVITY = 0.5, 0.004, 9.81  # [m^2], [m^2], [m/s^2]


def dynamics(x, u):
    """What flows in less what flows out, over the area."""
    upper, lower = HOLE * sqrt(2.0 * GRAVITY * x[0]), HOLE * sqrt(2.0 * GRAVITY * x[1])
    return [(u[0] - upper) / AREA, (upper - lower) / AREA]


connected_tanks = System(
    name='connected_tanks',
    dynamics=dynamics,
    state_names=('upper_level', 'lower_level'),
    state_units=('m', 'm'),
    control_names=('pump',),
    control_units=('m^3/s',),
    joints=(),
    dt=5.0,
    horizon=40,
    u_min=[0.0],
    u_max=[0.06],
    u_trim='equilibrium',
    Q=[0.0, 1.0],
    R=[100.0],
    x0_box=[[2.0, 2.0], [4.0, 4.0]],
    goal_box=[[3.0, 2.0], [3.0, 4.0]],
    goal_tolerance=[None, 0.1],
)
