"""A unicycle in steps of 0.1 s drives to the origin.

Source: Crocoddyl, core/actions/unicycle.hxx and notebooks/unicycle_towards_origin.py: the step,
the weights (which the cost there halves), start and horizon. It knows no bounds; these are wider
than what plans use. Run: trc exam crocoddyl_unicycle
"""

from numpy import cos, sin

from trc_core import System

START = [-1.0, -1.0, 1.0]
DT = 0.1  # s


def dynamics(x, u):
    """The next state; the heading is that of the beginning of the step."""
    return [x[0] + DT * u[0] * cos(x[2]), x[1] + DT * u[0] * sin(x[2]), x[2] + DT * u[1]]


unicycle = System(
    name='crocoddyl_unicycle',
    dynamics=dynamics,
    discrete=True,
    state_names=('x', 'y', 'heading'),
    state_units=('m', 'm', 'rad'),
    control_names=('speed', 'turn_rate'),
    control_units=('m/s', 'rad/s'),
    joints=(),
    dt=DT,
    horizon=20,
    u_min=[-30.0, -30.0],
    u_max=[30.0, 30.0],
    Q=[50.0, 50.0, 50.0],
    R=[0.5, 0.5],
    Q_f=[50.0, 50.0, 50.0],
    x0_box=[2.0, 2.0, 3.0],
    goal_box=[0.0, 0.0, 0.0],
)
