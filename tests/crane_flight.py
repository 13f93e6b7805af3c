"""A flight that needs nothing but a checkpoint: run here, and in a child process."""

import sys

import numpy as np

from trc_core import Controller
from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Measurement, SafetyMonitor, SafetyState
from trc_core.flight.settings import Settings
from trc_core.numerics.batch import BatchStep

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
