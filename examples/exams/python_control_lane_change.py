"""A car changes lane within 100 m and 10 s.

Source: python-control, examples/steering-optimal.py, approach 2: weights (those of the controls
times dt, as they are integrated), bounds, start. The grid there has 10 points and straight lines
of controls between them; here a control is held for 0.2 s.
Run: trc exam python_control_lane_change
"""

from numpy import cos, sin, tan

from trc_core import System

WHEELBASE = 3.0  # m
ONCE = True  # the car cannot stay at its goal
START = [0.0, -2.0, 0.0]
GOAL = [100.0, 2.0, 0.0]


def dynamics(x, u):
    """The kinematic car: speed and steering angle are its controls."""
    speed, steering = u
    return [speed * cos(x[2]), speed * sin(x[2]), speed * tan(steering) / WHEELBASE]


DT = 0.2  # s
car = System(
    name='python_control_lane_change',
    dynamics=dynamics,
    state_names=('along', 'across', 'heading'),
    state_units=('m', 'm', 'rad'),
    control_names=('speed', 'steering'),
    control_units=('m/s', 'rad'),
    joints=(),
    dt=DT,
    horizon=50,
    u_min=[8.0, -0.1],
    u_max=[12.0, 0.1],
    u_trim=[10.0, 0.0],
    Q=[0.0, 0.0, 0.0],
    R=[DT * 0.1, DT * 1.0],
    Q_f=[1.0, 10.0, 10.0],
    x0_box=[[-5.0, -3.0, -0.2], [5.0, 3.0, 0.2]],
    goal_box=[GOAL, GOAL],
)
