"""A plant of one's own, and a flight that needs nothing but its checkpoint."""

import sys

import numpy as np

from trc_core import Controller
from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Measurement, SafetyMonitor, SafetyState
from trc_core.flight.settings import Settings
from trc_core.numerics.batch import BatchStep

CRANE = """
from numpy import cos, sin
from trc_core import System
from trc_core.systems import Joint

def dynamics(x, u, m, M, length):
    _, angle, v, w = x
    s, c = sin(angle), cos(angle)
    a = (u[0] - 0.1 * v + m * s * (length * w**2 + 9.81 * c)) / (M + m * s**2)
    return [v, w, a, -(a * c + 9.81 * s) / length]

crane = System(
    name='my_crane', dynamics=dynamics, parameters={'m': 0.7, 'M': 2.0, 'length': 0.8},
    state_names=('position', 'angle', 'velocity', 'rate'),
    state_units=('m', 'rad', 'm/s', 'rad/s'),
    control_names=('force',), control_units=('N',), joints=(Joint('cart', 0, 2, 0),),
    dt=0.05, horizon=40, u_min=[-8.0], u_max=[8.0], Q=[1.0, 1.0, 0.1, 0.1], R=[0.05],
    x0_box=[2.0, 0.6, 0.5, 0.5], goal_box=[0.0] * 4,
)
"""
TICKS = 30
START = (1.0, 0.3, 0.0, 0.0)


def fly(path):
    """J of the first plan, and the states and controls of a flight with a pilot."""
    controller = Controller.load(path)
    system, goal = controller.system, np.zeros(4)
    x, time, flown = np.array(START), 0.0, []
    monitor = SafetyMonitor(system, Settings(CommandLimits.of(system), state_timeout=1.0))
    pilot = Pilot(controller, monitor, system.dt, lambda: time, deadline=np.inf)
    step = BatchStep(system)
    for _ in range(TICKS):
        decision = pilot.fly(Measurement(x, time), goal)
        assert decision.state == SafetyState.ACTIVE, decision
        flown.append([*x, *decision.control])
        x = step(x[None], decision.control[None])[0]
        time += system.dt
    return {
        'cost': controller.plan(START, goal).cost,
        'flown': flown,
        'imported': sorted(name for name in sys.modules if '.' not in name),
    }
