"""A reference is checked on arrival, and every plan gets the part that begins with its state."""

from dataclasses import replace

import numpy as np
import pytest

from trc_core import get_system
from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import Pilot
from trc_core.flight.reference import BadReference, ReferenceTrack, state_at, target_from
from trc_core.flight.safety import Measurement, SafetyMonitor
from trc_core.flight.settings import Settings, weights_of
from trc_core.numerics.plan import Plan

SYSTEM = get_system('double_integrator')
PENDULUM = replace(get_system('pendulum'), angles=('angle',))
TIMES = np.array([1.0, 1.5, 3.0])
STATES = np.array([[0.0, 1.0], [0.5, 1.0], [2.0, -1.0]])


def track(system=SYSTEM, times=TIMES, states=STATES, now=0.0, **how):
    return ReferenceTrack.checked(system, times, states, now, **how)


def test_it_is_linear_between_its_points_and_at_rest_beyond_its_ends():
    found = track().at(np.array([0.2, 1.0, 1.25, 1.5, 2.0, 3.0, 9.0]))
    expected = [[0, 0], [0, 1], [0.25, 1], [0.5, 1], [1, 1 / 3], [2, -1], [2, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_part_of_a_plan_begins_at_its_state_and_has_a_state_for_every_step():
    window = track().window(1.1)
    assert window.shape == (SYSTEM.horizon + 1, SYSTEM.n_x)
    for k, state in enumerate(window):
        time = 1.1 + k * SYSTEM.dt
        assert state[0] == pytest.approx(np.interp(time, TIMES, STATES[:, 0]))
    np.testing.assert_allclose(track().later(0.7).window(1.8), window, atol=1e-12)


def test_velocities_that_are_missing_are_differences_of_positions():
    times = np.array([0.0, 0.3, 0.4, 1.0, 1.3])  # of a parabola: second order is exact
    states = np.stack([2.0 - 3.0 * times + 4.0 * times**2, 77.0 + 0.0 * times], 1)
    found = track(times=times, states=states, moving=False)
    np.testing.assert_allclose(found.states[:, 1], -3.0 + 8.0 * times, atol=1e-9)
    two = track(times=times[:2], states=states[:2], moving=False)
    np.testing.assert_allclose(two.states[:, 1], -1.8, atol=1e-9)
    assert track(times=times, states=states).states[:, 1].tolist() == [77.0] * 5


def test_angles_turn_the_short_way():
    states = np.array([[3.0, 0.0], [-3.0, 0.0], [-2.8, 0.0]])
    found = track(PENDULUM, states=states).at(np.array([1.25]))[0, 0]
    assert np.cos(found) == pytest.approx(-1.0)  # hanging, half way between 3 and -3 + 2 pi
    rate = track(PENDULUM, states=states, moving=False).states[:, 1]
    assert (rate[:2] > 0.0).all()
    straight = track(replace(PENDULUM, angles=()), states=states)
    assert straight.at(np.array([1.25]))[0, 0] == pytest.approx(0.0)


BAD = {
    'one_point': ({'times': [1.0], 'states': [[0.0, 0.0]]}, '1 points; write two or more'),
    'wrong_size': ({'states': np.zeros((3, 3))}, r'\(3, 3\); write \(3, 2\) numbers'),
    'not_finite': ({'states': np.where(STATES == 2.0, np.nan, STATES)}, 'point 2 is'),
    'out_of_order': ({'times': [1.0, 3.0, 1.5]}, 'point 2 is not later than point 1 but 1.5 s'),
    'past': ({'now': 3.25}, 'it ended 0.25 s ago; stamp it by the clock of the states'),
}


@pytest.mark.parametrize('reason', BAD)
def test_what_cannot_be_followed_is_refused_in_one_line(reason):
    changes, line = BAD[reason]
    with pytest.raises(BadReference, match=line) as refusal:
        track(**changes)
    assert refusal.value.reason == reason
    assert '\n' not in str(refusal.value)


def test_a_goal_is_a_state_or_a_track():
    goal = np.array([1.0, 0.0])
    assert state_at(goal, 5.0) is goal
    assert target_from(goal, 5.0) is goal
    np.testing.assert_allclose(state_at(track(), 1.25), [0.25, 1.0])
    np.testing.assert_allclose(target_from(track(), 1.25), track().window(1.25))


class Asked:
    """A controller that remembers how it was asked."""

    system, cycles, adjustable, correction = SYSTEM, 3, False, None

    def plan(self, x, goal, **known):
        self.goal, self.known = goal, known
        u, states = np.zeros((SYSTEM.horizon, 1)), np.zeros((SYSTEM.horizon + 1, 2))
        return Plan(u, states, 1.0, 'test')


def pilot_of(controller, **settings):
    monitor = SafetyMonitor(SYSTEM, Settings(CommandLimits.of(SYSTEM), 1.0, **settings))
    return Pilot(controller, monitor, 0.02, lambda: 1.3, input_delay=0.2)


def test_the_pilot_plans_along_the_track_from_when_its_command_takes_effect():
    controller = Asked()
    decision = pilot_of(controller).fly(Measurement(np.zeros(2), 1.25), track())
    assert decision.reason == 'plan accepted'
    np.testing.assert_allclose(controller.goal, track().window(1.45))
    assert not {'p', 'weights'} & set(controller.known)


def test_the_pilot_hands_on_weights_and_parameters():
    controller = Asked()
    controller.system = system = get_system('pendulum')
    weights = weights_of(system, R=[2.0])
    settings = Settings(CommandLimits.of(system), 1.0, weights=weights)
    pilot = Pilot(controller, SafetyMonitor(system, settings), 0.02, lambda: 0.0)
    pilot.fly(Measurement(np.zeros(2), 0.0), np.zeros(2), parameters={'damping': 0.3})
    assert controller.known['weights'] is weights
    assert controller.known['p'].tolist() == [9.81, 0.3]
    assert system.p.tolist() == [9.81, 0.1]


WRONG_WEIGHTS = {
    'length': ({'Q': [1.0]}, r"weights.Q has 1 values; write one for each of \['position', 'vel"),
    'sign': ({'Q_f': [1.0, -1.0]}, r'weights.Q_f is \[1.0, -1.0\]; write numbers that are not'),
    'zero': ({'R': [0.0]}, r'weights.R is \[0.0\]; write positive numbers'),
}


@pytest.mark.parametrize('wrong', WRONG_WEIGHTS)
def test_weights_of_another_length_or_sign_are_refused(wrong):
    given, line = WRONG_WEIGHTS[wrong]
    with pytest.raises(ValueError, match=line):
        weights_of(SYSTEM, **given)


def test_weights_that_are_left_out_are_the_systems_own():
    assert weights_of(SYSTEM) == {}
    assert {k: v.tolist() for k, v in weights_of(SYSTEM, R=[3.0]).items()} == {'R': [3.0]}
