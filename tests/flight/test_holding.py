"""Without a goal a plant stays where it is, if it can; otherwise nobody commands it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from trc_core import SYSTEMS, Controller, get_system
from trc_core.flight.holding import resting_state, staying_state
from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Measurement, SafetyMonitor, SafetyState
from trc_core.flight.settings import Settings
from trc_core.systems.bicycle_circles import bicycle_circles

PERIOD = 0.02


@pytest.mark.parametrize('name', sorted(SYSTEMS))
def test_what_is_held_stays_where_it_is_under_the_trim(name):
    system = get_system(name)
    states, _ = system.sample(np.random.default_rng(0), 20)
    found = [rest for x in states if (rest := resting_state(system, x)) is not None]
    assert found
    for rest in found:
        flown = rest
        for _ in range(5):  # an unstable one falls from it in the end
            flown = system.step(flown, system.trims(flown))
        np.testing.assert_allclose(flown, rest, atol=1e-6)


STAYS = {
    'a slider anywhere, however fast': ('double_integrator', [1.5, -2.0], [1.5, 0.0]),
    'a cart where it stands, its pole upright': (
        'cartpole',
        [0.7, 0.2, 0.05, 0.1],
        [0.7, 0.0, 0.0, 0.0],
    ),
    'a quadrotor in the air, level': (
        'quadrotor_2d',
        [0.5, -1.0, -0.08, 0.3, 0.1, 0.2],
        [0.5, -1.0, 0.0, 0.0, 0.0, 0.0],
    ),
    'a pendulum that hangs': ('pendulum', [3.1, 0.0], [math.pi, 0.0]),
}


@pytest.mark.parametrize('case', STAYS)
def test_what_can_stay_stays(case):
    name, x, expected = STAYS[case]
    np.testing.assert_allclose(staying_state(get_system(name), np.array(x)), expected, atol=1e-9)


FALLS = {
    'a pendulum halfway up': ('pendulum', [1.0, 0.0]),
    'a pendulum that spins through the top': ('pendulum', [0.0, 10.0]),
    'a cart whose pole has fallen': ('cartpole', [0.0, 0.0, 1.2, 0.0]),
    'an oscillator off its centre': ('van_der_pol', [1.0, 0.0]),
    'a quadrotor that lies on its side': ('quadrotor_2d', [0, 0, 1.4, 0, 0, 0]),
    'a slider that is faster than it can be trained for': ('double_integrator', [0.0, 5.0]),
}


@pytest.mark.parametrize('case', FALLS)
def test_what_cannot_stay_is_not_said_to(case):
    name, x = FALLS[case]
    assert staying_state(get_system(name), np.array(x, dtype=float)) is None


def test_a_car_without_joints_stays_behind_its_brakes():
    x = np.array([1.0, 2.0, 0.5, 1.0, 0.2])
    np.testing.assert_allclose(staying_state(bicycle_circles, x), [1, 2, 0.5, 0, 0.2], atol=1e-9)


def test_an_angle_may_have_made_turns():
    pendulum = replace(get_system('pendulum'), angles=('angle',))
    rest = staying_state(pendulum, np.array([9 * math.pi + 0.05, 0.0]))
    assert math.remainder(rest[0] - math.pi, 2 * math.pi) == pytest.approx(0.0, abs=1e-6)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def pilot():
    """Makes pilots with a clock that the test sets."""

    def pilot(name):
        controller = Controller.load(name, backend='numpy')
        system = controller.system
        settings = Settings(CommandLimits.of(system), state_timeout=0.2, cycles=0)
        return Pilot(
            controller, SafetyMonitor(system, settings), PERIOD, Clock(), deadline=math.inf
        )

    return pilot


def test_a_flight_without_a_goal_ends_where_it_began(pilot):
    slider = pilot('double_integrator')
    x, system = np.array([1.2, 0.5]), slider.controller.system
    for _ in range(20):
        slider.clock.now += system.dt
        decision = slider.fly(Measurement(x, slider.clock.now), None)
        x = system.step(x, decision.control)
    np.testing.assert_allclose(slider.held, [1.2, 0.0])
    np.testing.assert_allclose(x, [1.2, 0.0], atol=0.02)


def test_a_stale_state_says_nothing_about_where_to_stay(pilot):
    slider = pilot('double_integrator')
    slider.clock.now = 1.0
    slider.fly(Measurement(np.array([1.0, 0.0]), 0.0), None)
    assert slider.held is None
    slider.fly(Measurement(np.array([-1.0, 0.0]), 1.0), None)
    np.testing.assert_allclose(slider.held, [-1.0, 0.0])


def test_nothing_is_commanded_where_a_plant_cannot_stay_until_a_goal_comes(pilot):
    oscillator = pilot('van_der_pol')
    x = np.array([1.0, 0.0])
    for _ in range(3):
        decision = oscillator.fly(Measurement(x, 0.0), None)
        found = decision.state, decision.control, decision.reason
        assert found == (SafetyState.WAITING, None, 'no goal yet')
    decision = oscillator.fly(Measurement(x, 0.0), np.zeros(2))
    assert decision.state is SafetyState.ACTIVE
    assert decision.control is not None


BEGIN_ANEW = {
    'reset': lambda pilot: pilot.reset(),
    'restart': lambda pilot: pilot.restart(),
    'stood by': lambda pilot: pilot.stand_by(),
}


@pytest.mark.parametrize('how', BEGIN_ANEW)
def test_a_flight_that_begins_anew_stays_where_it_then_is(pilot, how):
    slider = pilot('double_integrator')
    slider.fly(Measurement(np.array([1.0, 0.0]), 0.0), None)
    slider.fly(Measurement(np.array([2.0, 0.0]), 0.0), None)
    np.testing.assert_allclose(slider.held, [1.0, 0.0])
    BEGIN_ANEW[how](slider)
    slider.fly(Measurement(np.array([2.0, 0.0]), 0.0), None)
    np.testing.assert_allclose(slider.held, [2.0, 0.0])


def test_a_plant_that_was_flown_is_not_left_alone(pilot):
    oscillator = pilot('van_der_pol')
    oscillator.fly(Measurement(np.array([1.0, 0.0]), 0.0), np.zeros(2))
    decision = oscillator.fly(Measurement(np.array([1.0, 0.0]), 0.0), None)
    assert decision.state is SafetyState.FALLBACK
    assert decision.control is not None
