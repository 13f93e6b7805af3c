"""A car changes lane at 10 m/s: the reference moves along the road, and the plan with it.

The car is that of python-control's steering example, written as its author meant it: no moving
coordinates. Run: python lane_change.py
"""

import numpy as np
from numpy import cos, sin, tan

from trc_core import Controller, System

CRUISE = 10.0  # [m/s]


def dynamics(x, u, wheelbase):
    """The kinematic car: speed and steering angle are its controls."""
    speed, steering = u
    heading = x[2]
    turn = speed * tan(steering) / wheelbase
    return [speed * cos(heading), speed * sin(heading), turn]


car = System(
    name='lane_change',
    dynamics=dynamics,
    parameters={'wheelbase': 3.0},
    state_names=('along', 'across', 'heading'),
    state_units=('m', 'm', 'rad'),
    control_names=('speed', 'steering'),
    control_units=('m/s', 'rad'),
    joints=(),
    angles=('heading',),
    x_min=[None, -3.0, None],  # the edges of the road
    x_max=[None, 3.0, None],
    dt=0.2,
    horizon=50,
    u_min=[8.0, -0.1],
    u_max=[12.0, 0.1],
    u_trim=[CRUISE, 0.0],
    Q=[0.1, 10.0, 0.1],
    R=[0.1, 1.0],
    Q_f=[1.0, 10.0, 10.0],
    x0_box=[2.0, 2.5, 0.1],
    goal_box=[0.0, 2.0, 0.0],
)


def lane(since, across=2.0):
    """The reference (T + 1, 3) of a car in a lane, `since` seconds after the start."""
    time = since + car.dt * np.arange(car.horizon + 1)
    return np.stack([CRUISE * time, np.full_like(time, across), np.zeros_like(time)], axis=1)


if __name__ == '__main__':
    controller, x, plan = Controller.classical(car), np.array([0.0, -2.0, 0.0]), None
    for tick in range(50):
        plan = controller.plan(x, lane(tick * car.dt), warm_start=plan)
        x = car.step(x, plan.controls[0])
    print(f'{x[0]:.1f} m along, {x[1]:.2f} m across, heading {x[2]:.3f} rad')
