"""A box of states says what lies outside of it, whatever turns an angle has made."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trc_core import Controller, get_system
from trc_core.flight.ranges import StateBox, trained_box

SLIDER = get_system('double_integrator')
PENDULUM = replace(get_system('pendulum'), angles=('angle',))
TURN = 2 * math.pi


def box(low=(-1.0, -2.0), high=(1.0, 2.0), system=SLIDER):
    return StateBox.of(system, low, high)


def test_a_state_inside_is_no_reason():
    assert box().outside(np.array([1.0, -2.0])) == ''


def test_every_coordinate_outside_is_named_with_its_limits():
    reason = box().outside(np.array([1.5, 1e9]))
    assert reason == 'position is 1.5, outside of -1 to 1; velocity is 1e+09, outside of -2 to 2'


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_lies_outside(value):
    assert box().outside(np.array([value, 0.0])).startswith('position is')


@given(angle=st.floats(-50, 50), turns=st.integers(-5, 5))
def test_whole_turns_of_an_angle_make_no_difference(angle, turns):
    around = StateBox.of(PENDULUM, (-0.5, -9), (1.0, 9))
    inside = -0.5 <= math.remainder(angle, TURN) <= 1.0
    near_a_limit = min(abs(math.remainder(angle - limit, TURN)) for limit in (-0.5, 1.0)) < 1e-6
    if not near_a_limit:
        assert (around.outside(np.array([angle + turns * TURN, 0.0])) == '') == inside


def test_an_angle_on_its_limit_is_inside_after_any_turns():
    around = StateBox.of(PENDULUM, (-0.3, -9), (0.7, 9))
    for turns in range(-20, 21):
        for limit in (-0.3, 0.7):
            assert around.outside(np.array([limit + turns * TURN, 0.0])) == ''


def test_a_range_of_a_turn_holds_every_angle():
    assert StateBox.of(PENDULUM, (-math.pi, -9), (math.pi, 9)).outside(np.array([77.0, 0])) == ''


def test_a_state_that_is_no_angle_does_not_turn():
    assert StateBox.of(PENDULUM, (-1, -3), (1, 3)).outside(np.array([0.0, 2 * TURN])) != ''


def test_an_empty_side_keeps_the_default():
    stated = StateBox.stated('state_limits', box(), low=(), high=(3.0, 4.0))
    assert stated.low == (-1.0, -2.0)
    assert stated.high == (3.0, 4.0)
    everywhere = StateBox.stated('state_limits', StateBox.unlimited(SLIDER), low=(0.0, 0.0))
    assert everywhere.outside(np.array([1e300, 0.0])) == ''
    assert everywhere.outside(np.array([-1e-3, 0.0])) != ''


MISTAKES = {
    "goal_limits.min has 1 values; write one for each of ['position', 'velocity'], or []": (
        [1.0],
        [],
    ),
    'goal_limits.min is 2 for position, above goal_limits.max 1; '
    'in flight, change the other one first': ([2.0, 0.0], []),
}


@pytest.mark.parametrize('message', MISTAKES)
def test_limits_that_cannot_be_are_refused(message):
    low, high = MISTAKES[message]
    with pytest.raises(ValueError) as error:
        StateBox.stated('goal_limits', box(), low, high)
    assert str(error.value) == message


def test_a_box_grows_about_its_centre():
    assert box((0, 0), (2, 4)).widened(2.0).low == (-1.0, -2.0)
    assert box((0, 0), (2, 4)).widened(2.0).high == (3.0, 6.0)


def test_only_the_coordinates_that_count_are_looked_at():
    assert box().outside(np.array([9.0, 9.0]), places=[1]).startswith('velocity is 9')
    assert box().outside(np.array([9.0, 0.0]), places=[1]) == ''


def test_the_states_of_training_are_those_that_plans_pass_and_more_is_far():
    controller = Controller.load('pendulum')
    swing = controller.plan([math.pi, 0.0], [0.0, 0.0]).states
    known = trained_box(controller)
    assert np.abs(swing[:, 1]).max() > 2 * controller.system.x0_box[1]
    assert all(known.outside(x) == '' for x in swing)
    assert known.outside(np.array([0.0, 100.0])).startswith('rate is 100, outside of')


def test_without_a_network_no_state_is_far():
    assert trained_box(Controller.classical(SLIDER)).outside(np.array([1e9, 0.0])) == ''


def test_a_box_grows_about_its_centre_and_around_states():
    assert box((0, 0), (2, 4)).widened(2.0).low == (-1.0, -2.0)
    assert box((0, 0), (2, 4)).widened(2.0).high == (3.0, 6.0)
    grown = box().with_states(np.array([[0.0, 5.0], [-3.0, 0.0]]))
    assert grown.low == (-3.0, -2.0)
    assert grown.high == (1.0, 5.0)
