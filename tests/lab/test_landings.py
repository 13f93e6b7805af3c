"""Flights of landers, and what they are compared with."""

import math

import numpy as np
import pytest

from trc_core.evaluation.arrivals import errors_by_unit, has_arrived, spent
from trc_core.lab.landings import ALL, Lander, fly, held_between, rotation
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.systems.rocket_landing import rocket_landing

STATES = (
    np.array([2000.0, -1500.0, 2500.0, 40.0, -20.0, -60.0, 2200.0]),
    np.array([-900.0, 2500.0, 1800.0, 20.0, 30.0, -40.0, 1900.0]),
)


def test_controls_are_held_for_as_long_as_a_plan_says():
    times = np.array([0.0, 2.0, 4.0, 6.0])
    plan = Plan(np.array([[1.0], [2.0], [3.0]]), np.zeros((4, 1)), 0.0, 'mine', times=times)
    held = list(held_between(plan, 1.0, 4.5))
    assert [(float(u[0]), seconds) for u, seconds in held] == [(1.0, 1.0), (2.0, 2.0), (3.0, 0.5)]


def test_a_rotation_turns_by_its_angle_and_leaves_its_axis():
    axis = np.array([2.0, -1.0, 2.0]) / 3.0
    turn = rotation(axis, 0.3)
    assert np.allclose(turn @ turn.T, np.eye(3)) and np.allclose(turn @ axis, axis)
    assert math.acos((np.trace(turn) - 1.0) / 2.0) == pytest.approx(0.3)


def test_errors_of_place_and_speed_are_lengths_and_the_slope_counts():
    ends = np.zeros((4, 7))
    ends[0, :3], ends[1, :3], ends[2, 3:6] = (6.0, 6.0, 6.0), (5.0, 5.0, 5.0), (3.0, 0.0, 4.1)
    goal, violation = np.zeros((4, 7)), np.array([0.0, 0.9, 0.0, 1.1])
    errors = errors_by_unit(rocket_landing, ends, goal)
    assert errors['m'][0] == pytest.approx(math.sqrt(108.0)) and set(errors) == {'m', 'm/s'}
    arrived = has_arrived(rocket_landing, ends, goal, violation)
    assert arrived.tolist() == [False, True, False, False]


def test_what_a_lander_spends_is_its_fuel():
    x0 = np.tile(STATES[0], (2, 1))
    assert np.allclose(spent(rocket_landing, x0, np.array([-1800.0, -2000.0])), [400.0, 200.0])


@pytest.mark.long
def test_flights_land_and_with_a_reserve_also_where_everything_is_a_little_wrong():
    controller, goal = Controller.load('rocket_landing'), np.zeros(7)
    for n, x0 in enumerate(STATES):
        least = x0[6] + controller.plan(x0, goal).cost
        exact = fly(controller, x0, Lander(), np.random.default_rng(n))
        assert exact.place < 0.02 and exact.speed < 0.5 and exact.fuel < 1.005 * least
        rough = fly(controller, x0, ALL, np.random.default_rng(n), reserve=0.08)
        assert rough.place < 5.0 and rough.fuel < 1.08 * least
        without = fly(controller, x0, ALL, np.random.default_rng(n))
        assert without.place > rough.place
