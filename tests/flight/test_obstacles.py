"""Obstacles that were seen are where they must be by now, in the rows of the constraints."""

import numpy as np
import pytest

from trc_core import get_system
from trc_core.flight.obstacles import FAR, ObstacleField
from trc_core.systems.bicycle_circles import CIRCLES, bicycle_circles

HERE = (0.0, 0.0, 0.0)


def seen(field, *places, time=0.0, radius=0.5):
    """The field with obstacles seen at (number, x, y)."""
    for number, x, y in places:
        field = field.seen((number, ''), (x, y, 0.0), radius, time)
    return field


def row(field, k, time=0.0, near=HERE):
    values = field.at(time, near)
    return [values[f'{name}{k}'] for name in ('x', 'y', 'vx', 'vy')]


@pytest.fixture
def field():
    return ObstacleField(bicycle_circles)


def test_before_anything_was_seen_the_systems_own_hold(field):
    assert field.at(0.0, HERE) == {}


def test_rows_are_filled_by_number_and_the_rest_lies_far_away(field):
    field = seen(field, (7, 2.0, 1.0), (3, 4.0, -1.0))
    assert row(field, 1) == [4.0, -1.0, 0.0, 0.0]
    assert row(field, 2) == [2.0, 1.0, 0.0, 0.0]
    assert [row(field, k)[0] for k in range(3, CIRCLES + 1)] == [FAR] * (CIRCLES - 2)
    values = field.at(0.0, HERE)
    assert values['r1'] == 0.5
    bicycle_circles.parameter_rows(values)  # every name exists


def test_an_obstacle_goes_on_as_it_moved_between_two_sights(field):
    field = seen(seen(field, (1, 2.0, 1.0), time=10.0), (1, 2.2, 0.9), time=10.5)
    np.testing.assert_allclose(row(field, 1, 10.5), [2.2, 0.9, 0.4, -0.2])
    np.testing.assert_allclose(row(field, 1, 11.5), [2.6, 0.7, 0.4, -0.2])
    again = seen(field, (1, 2.2, 0.9), time=10.5)  # the same message once more
    assert row(again, 1, 11.5) == row(field, 1, 11.5)
    back = seen(field, (1, 2.0, 0.0), time=3.0)  # the clock has started over
    assert row(back, 1, 4.0) == [2.0, 0.0, 0.0, 0.0]


def test_of_too_many_the_nearest_surfaces_count(field):
    places = [(k, float(k), 0.0) for k in range(1, CIRCLES + 3)]
    many = seen(field, *places)
    assert (field.surplus, many.surplus) == (0, 2)
    assert [row(many, k)[0] for k in range(1, CIRCLES + 1)] == [1, 2, 3, 4, 5, 6]
    there = (8.0, 0.0, 50.0)  # circles: the height does not matter
    assert [row(many, k, near=there)[0] for k in range(1, CIRCLES + 1)] == [3, 4, 5, 6, 7, 8]
    wide = seen(many, (8, 8.0, 0.0), radius=7.5)
    assert [row(wide, k)[0] for k in range(1, CIRCLES + 1)] == [1, 2, 3, 4, 5, 8]


def test_what_is_gone_is_far_away(field):
    field = seen(field, (1, 2.0, 0.0), (2, 3.0, 0.0))
    assert row(field.without((1, '')), 1)[0] == 3.0
    assert row(field.cleared(), 1)[0] == FAR
    assert row(field.without((9, '')), 1)[0] == 2.0


def test_a_system_without_obstacles_says_so():
    with pytest.raises(ValueError, match="'pendulum' declares no obstacles: give its System some"):
        ObstacleField(get_system('pendulum'))
