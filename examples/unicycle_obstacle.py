"""A unicycle drives to the origin around a round obstacle, whose place is given with the plan.

The plant and its weights are those of acados' unicycle example. Run: python unicycle_obstacle.py
"""

import numpy as np
from numpy import cos, hypot, sin

from trc_core import Controller, Obstacle, System


def dynamics(x, u, **_):
    """Force and torque move a body that only rolls where it heads."""
    _, _, speed, heading, rate = x
    return [speed * cos(heading), speed * sin(heading), u[0], rate, u[1]]


def constraints(x, obstacle_x, obstacle_y, radius):
    """The depth inside the obstacle [m]: a distance, so that it has a unit."""
    return {'obstacle': radius - hypot(x[0] - obstacle_x, x[1] - obstacle_y)}


dt, weights = 0.04, np.array([1e3, 1e3, 1e-4, 1e-3, 1e-3])
unicycle = System(
    name='unicycle',
    dynamics=dynamics,
    constraints=constraints,
    parameters={'obstacle_x': -0.5, 'obstacle_y': -0.5, 'radius': 0.25},
    ranges={'obstacle_x': (-0.8, -0.2), 'obstacle_y': (-0.8, -0.2), 'radius': (0.1, 0.3)},
    obstacles=(Obstacle('obstacle_x', 'obstacle_y', 'radius'),),
    state_names=('x', 'y', 'speed', 'heading', 'turn_rate'),
    state_units=('m', 'm', 'm/s', 'rad', 'rad/s'),
    control_names=('force', 'torque'),
    control_units=('N', 'N m'),
    joints=(),
    angles=('heading',),
    dt=dt,
    horizon=50,
    u_min=[-10.0, -50.0],
    u_max=[10.0, 50.0],
    Q=dt * weights,
    R=[dt * 0.5, dt * 0.05],
    Q_f=weights,
    x0_box=[1.0, 1.0, 0.1, 0.5, 0.1],
    goal_box=np.zeros(5),
)

if __name__ == '__main__':
    controller, x, goal = Controller.classical(unicycle), [-1.0, -1.0, 0.0, 0.0, 0.0], np.zeros(5)
    for place in ({}, {'obstacle_x': -0.3, 'obstacle_y': -0.6}):
        plan = controller.plan(x, goal, parameters=place)
        print(f'{place or "as declared"}: J {plan.cost:.1f}, inside by {plan.violation:.1e} m')
