"""The plant says how far its true state breaks the constraints, and the worst so far."""

import numpy as np
import pytest

pytest.importorskip('rclpy')

from trc_core import get_system
from trc_core.systems.bicycle_circles import bicycle_circles
from trc_ros.inputs import ThrottledLog
from trc_ros.plant.constraint_monitor import ConstraintMonitor

U = np.zeros(2)
CIRCLE = {'x2': 2.0, 'y2': 0.0, 'r2': 0.5}


@pytest.fixture
def monitored():
    lines = []
    return ConstraintMonitor(bicycle_circles, ThrottledLog(lines.append)), lines


def at(x, speed=0.0):
    return np.array([x, 0.0, 0.0, speed, 0.0])


def test_a_state_inside_an_obstacle_is_reported_once_and_remembered(monitored):
    monitor, lines = monitored
    monitor.check(at(1.4), U, CIRCLE, 0.01)
    assert (monitor.present, monitor.status(0.01).level, lines) == (0.0, 0, [])
    for x in (1.505, 1.6, 1.8, 1.7):
        monitor.check(at(x), U, CIRCLE, 0.01)
    assert monitor.present == pytest.approx(0.2)
    assert monitor.largest == pytest.approx(0.3)
    assert lines == [
        "constraint 'circle_2' is broken by 0.1; the largest so far is 0.1 of 'circle_2'"
    ]
    monitor.check(at(3.0), U, CIRCLE, 0.01)
    left, later = monitor.status(0.01), monitor.status(0.01)
    assert (left.level, later.level) == (1, 0)  # broken since the last report, and no more
    assert later.values['largest_violation'] == pytest.approx(0.3)
    assert later.values['worst_constraint'] == 'circle_2'
    monitor.reset()
    assert monitor.status(0.01).values['largest_violation'] == 0.0


def test_without_the_obstacle_only_state_limits_can_be_broken(monitored):
    monitor, lines = monitored
    monitor.check(at(1.8, speed=2.25), U, {}, 0.01)
    assert monitor.present == pytest.approx(0.25)  # of at most 2 m/s
    assert len(lines) == 1
    assert 'speed' in lines[0]


def test_a_system_without_constraints_says_so():
    monitor = ConstraintMonitor(get_system('pendulum'), ThrottledLog(pytest.fail))
    monitor.check(np.ones(2), np.ones(1), {}, 0.0)
    status = monitor.status(0.0)
    assert status.message == 'no constraints'
    assert status.values['largest_violation'] == 0.0
