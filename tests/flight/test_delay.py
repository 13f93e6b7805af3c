"""Commands that take effect late are made up for by planning from the state of that time."""

import math
from bisect import bisect_right

import numpy as np
import pytest

from trc_core import Controller, get_system
from trc_core.flight.delay import PendingCommands
from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Measurement, SafetyMonitor
from trc_core.flight.settings import Settings

SYSTEM = get_system('cartpole')
DELAY, PERIOD, FINE = 0.1, 0.02, 0.01  # [s]
X = np.array([0.2, -0.1, 0.3, 0.4])


def held(x, *commands):
    """The state after holding each control for its seconds, in fine steps of the plant."""
    for control, seconds in commands:
        n = max(1, round(seconds / 0.001))
        for _ in range(n):
            x = SYSTEM.step(x, control, seconds / n)
    return x


def test_the_prediction_is_where_the_commands_under_way_lead():
    pending = PendingCommands(SYSTEM, DELAY)
    for time, u in ((0.80, 9.0), (0.88, 4.0), (0.93, -6.0), (0.97, 2.0), (1.03, 8.0)):
        pending.issued(time, np.array([u]), oldest=0.0)
    predicted = pending.predicted(Measurement(X, 1.0))
    assert predicted.time == 1.0
    # In the 0.1 s after the measurement the plant obeys what was issued from 0.9 s on.
    expected = held(X, ([4.0], 0.03), ([-6.0], 0.04), ([2.0], 0.03))
    np.testing.assert_allclose(predicted.x, expected, atol=1e-5)


def test_before_any_command_the_plant_is_predicted_under_its_trim_control():
    predicted = PendingCommands(SYSTEM, DELAY).predicted(Measurement(X, 1.0))
    np.testing.assert_allclose(predicted.x, held(X, (SYSTEM.u_trim, DELAY)), atol=1e-5)


def test_without_a_delay_nothing_is_predicted():
    pending = PendingCommands(SYSTEM, 0.0)
    pending.issued(0.0, np.array([5.0]), oldest=0.0)
    measurement = Measurement(X, 1.0)
    assert pending.predicted(measurement) is measurement


def test_commands_are_kept_only_as_long_as_a_measurement_may_ask_for_them():
    pending, control = PendingCommands(SYSTEM, DELAY), np.array([1.0])
    for k in range(1000):
        pending.issued(0.02 * k, control, oldest=0.02 * k - 0.2)
    assert len(pending._commands) == pytest.approx(0.3 / 0.02, abs=2)


def test_a_prediction_that_blows_up_leaves_the_measurement():
    system = get_system('van_der_pol')
    measurement = Measurement(np.array([1e200, 1e200]), 1.0)
    with np.errstate(all='ignore'):
        assert PendingCommands(system, DELAY).predicted(measurement) is measurement


class DelayedPlant:
    """A cart-pole that obeys every command `DELAY` seconds after it was given."""

    def __init__(self, x):
        self.x, self.time = np.array(x), 0.0
        self.times, self.controls = [-math.inf], [SYSTEM.u_trim]

    def command(self, control):
        self.times.append(self.time + DELAY - 1e-9)
        self.controls.append(control)

    def advance(self, seconds):
        for _ in range(round(seconds / FINE)):
            control = self.controls[bisect_right(self.times, self.time) - 1]
            self.x = SYSTEM.step(self.x, control, FINE)
            self.time += FINE


def flown(controller, input_delay, seconds=5.0):
    """Cost per time of a flight from a leaning pole, and how far it ever leaned [rad]."""
    plant, goal = DelayedPlant([0.0, 0.0, 0.25, 0.0]), np.zeros(4)
    settings = Settings(CommandLimits.of(SYSTEM), state_timeout=0.2)
    monitor = SafetyMonitor(SYSTEM, settings)
    pilot = Pilot(controller, monitor, PERIOD, lambda: plant.time, input_delay)
    J, lean = 0.0, 0.0
    for _ in range(round(seconds / PERIOD)):
        control = pilot.fly(Measurement(plant.x, plant.time), goal).control
        plant.command(control)
        J += float(plant.x @ SYSTEM.Q @ plant.x + control @ SYSTEM.R @ control) * PERIOD
        lean = max(lean, abs(plant.x[2]))
        plant.advance(PERIOD)
        if lean > math.pi / 2:
            return math.inf, lean
    return J, lean


def test_a_delayed_pole_falls_without_compensation_and_stands_with_it():
    controller = Controller.load('cartpole')
    controller.warm_up()
    cost, lean = flown(controller, DELAY)
    assert cost < 15.0
    assert lean < 0.35  # from 0.25 at the start
    assert flown(controller, 0.0)[0] == math.inf
