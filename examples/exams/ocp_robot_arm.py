"""An arm that slides in its shoulder turns by 120 degrees as soon as it can.

Source: OptimalControlProblems.jl, robot; Dolan, Moré, Munson, Benchmarking optimization software
with COPS 3.0 (2004): constants, limits, start and end. Run: trc exam ocp_robot_arm
"""

import numpy as np
from numpy import sin

from trc_core import System

LENGTH = 5.0
START = [4.5, 0.0, 0.0, 0.0, np.pi / 4, 0.0]
END = [4.5, 0.0, 2.0 * np.pi / 3, 0.0, np.pi / 4, 0.0]


def inertia_of(reach):
    """The moment of inertia of the arm about its shoulder."""
    return ((LENGTH - reach) ** 3 + reach**3) / 3.0


def dynamics(x, u):
    """Length beyond the shoulder, angle around and angle from the vertical, each with its rate."""
    reach, reach_rate, _, around_rate, tilt, tilt_rate = x
    inertia = inertia_of(reach)
    around = u[1] / (inertia * sin(tilt) ** 2)
    return [reach_rate, u[0] / LENGTH, around_rate, around, tilt_rate, u[2] / inertia]


def turn(x, goal):
    """A start for plans: around at full torque, and at full torque back; the rest is held."""
    gap, slowing = goal[2] - x[2], 0.9 / (inertia_of(x[0]) * sin(x[4]) ** 2)
    rate = np.sqrt(2.0 * slowing * np.maximum(gap, 1e-9))
    hold = [goal[0] - x[0] - 2.0 * x[1], 0.0, 30.0 * (goal[4] - x[4]) - 60.0 * x[5]]
    hold[1] = 50.0 * (rate - x[3])
    return [np.minimum(np.maximum(u, -1.0), 1.0) for u in hold]


arm = System(
    name='ocp_robot_arm',
    dynamics=dynamics,
    laws={'turn': turn},
    state_names=('reach', 'reach_rate', 'around', 'around_rate', 'tilt', 'tilt_rate'),
    state_units=('1', '1/s', 'rad', 'rad/s', 'rad', 'rad/s'),
    control_names=('push', 'turn', 'lift'),
    control_units=('1', '1', '1'),
    joints=(),
    dt=0.1,
    horizon=100,
    final_time=(2.0, 30.0),
    time_weight=1.0,
    terminal=('reach', 'reach_rate', 'around', 'around_rate', 'tilt', 'tilt_rate'),
    u_min=[-1.0, -1.0, -1.0],
    u_max=[1.0, 1.0, 1.0],
    x_min=[0.0, None, -np.pi, None, 0.0, None],
    x_max=[LENGTH, None, np.pi, None, np.pi, None],
    Q=[0.0] * 6,
    R=[0.0] * 3,
    x0_box=[[4.0, 0.0, -0.3, 0.0, 0.6, 0.0], [4.8, 0.0, 0.3, 0.0, 1.0, 0.0]],
    goal_box=[END, END],
    goal_tolerance=[0.05] * 6,
)


def published(plan):
    """The duration [s], in COPS 3.0 and of a plan."""
    return 9.14138, float(plan.times[-1])
