"""A state that arrives in parts is complete, consistent, and as old as its oldest part."""

import numpy as np
import pytest

from trc_core import get_system
from trc_core.flight.assembly import Incomplete, StateAssembly, StatePart
from trc_core.flight.velocity import VelocityFilter

SYSTEM = get_system('cartpole')
CART, POLE = (0, 1), (2, 3)
EVERYTHING = (0, 1, 2, 3)


def part(places, value=0.0):
    return StatePart(np.full(4, float(value)), places)


def add(assembly, places, value, time):
    """The state after one message that arrived alone; None if there is no new one."""
    assembly.begin()
    try:
        return assembly.add(part(places, value), time, f'stamp {time}', time)
    except Incomplete:
        return None


@pytest.fixture
def assembly():
    return StateAssembly(SYSTEM)


def test_a_whole_state_is_one_at_once(assembly):
    measurement, stamp = add(assembly, EVERYTHING, 2.0, 5.0)
    assert measurement.x.tolist() == [2.0] * 4
    assert (measurement.time, stamp) == (5.0, 'stamp 5.0')


def test_parts_are_a_state_when_all_are_there_and_the_oldest_stamp_counts(assembly):
    assert add(assembly, CART, 1.0, 5.0) is None
    measurement, stamp = add(assembly, POLE, 2.0, 5.25)
    assert measurement.x.tolist() == [1.0, 1.0, 2.0, 2.0]
    assert (measurement.time, stamp) == (5.0, 'stamp 5.0')


def test_what_is_missing_is_named(assembly):
    assembly.begin()
    with pytest.raises(Incomplete, match='no pole_angle, pole_rate so far'):
        assembly.add(part(CART), 1.0, '', 1.0)


def test_a_part_that_comes_more_often_waits_for_the_others(assembly):
    add(assembly, POLE, 0.0, 1.0)
    add(assembly, CART, 0.0, 1.0)
    assert add(assembly, CART, 1.0, 1.1) is None
    assert add(assembly, CART, 2.0, 1.2) is None
    measurement, _ = add(assembly, POLE, 5.0, 1.2)
    assert measurement.x.tolist() == [2.0, 2.0, 5.0, 5.0]
    assert measurement.time == 1.2


def test_a_part_that_stops_is_named_and_how_long_ago_it_came(assembly):
    add(assembly, POLE, 0.0, 1.0)
    add(assembly, CART, 0.0, 1.0)
    assembly.begin()
    with pytest.raises(Incomplete, match=r'pole_angle, pole_rate last measured 2\.5 s before'):
        assembly.add(part(CART), 3.5, '', 3.5)


def test_a_state_does_not_change_after_it_was_returned(assembly):
    add(assembly, CART, 1.0, 1.0)
    measurement, _ = add(assembly, POLE, 1.0, 1.0)
    add(assembly, CART, 7.0, 1.1)
    assert measurement.x.tolist() == [1.0] * 4


def test_in_a_batch_the_newest_value_of_every_coordinate_counts(assembly):
    assembly.begin()
    with pytest.raises(Incomplete):
        assembly.add(part(POLE, 9.0), 1.3, '', 1.3)
    assert not assembly.is_fresh
    with pytest.raises(Incomplete):
        assembly.add(part(POLE, 8.0), 1.2, '', 1.2)
    measurement, _ = assembly.add(part(EVERYTHING, 7.0), 1.1, '', 1.1)
    assert assembly.is_fresh
    assert measurement.x.tolist() == [7.0, 7.0, 9.0, 9.0]
    assert measurement.time == 1.1


def test_when_time_starts_over_nothing_of_before_is_kept(assembly):
    add(assembly, CART, 1.0, 100.0)
    add(assembly, POLE, 1.0, 100.0)
    assert add(assembly, CART, 2.0, 0.0) is None
    measurement, _ = add(assembly, POLE, 2.0, 0.0)
    assert measurement.x.tolist() == [2.0] * 4
    assert measurement.time == 0.0


def test_velocities_that_are_not_measured_are_differences():
    assembly = StateAssembly(SYSTEM, VelocityFilter(1e3, 1.0))

    def send(k):
        x = np.array([0.5 * k, 0.0, -1.0 * k, 0.0])
        assembly.begin()
        return assembly.add(StatePart(x, (0, 2), ((0, 1), (2, 3))), 0.1 * k, '', 0.1 * k)

    with pytest.raises(Incomplete, match='no cart_velocity, pole_rate so far'):
        send(0)
    send(1)
    measurement, _ = send(2)
    np.testing.assert_allclose(measurement.x, [1.0, 5.0, -2.0, -10.0])
