"""Goals lie where a controller was trained, and not far outside."""

from dataclasses import replace

import numpy as np
import pytest

from trc_core import SYSTEMS, get_system
from trc_core.flight.goal_range import out_of_range, trained_goals
from trc_core.flight.ranges import StateBox
from trc_core.systems.bicycle_circles import bicycle_circles

ALL = [*(get_system(name) for name in sorted(SYSTEMS)), bicycle_circles]


@pytest.mark.parametrize('system', ALL, ids=lambda system: system.name)
def test_every_goal_and_every_start_of_the_training_may_be_a_goal(system):
    starts, goals = system.sample(np.random.default_rng(0), 200)
    assert out_of_range(trained_goals(system), np.concatenate([starts, goals])) == ''


@pytest.mark.parametrize('far', [100.0, 1e9, 1e300, -1e300])
@pytest.mark.parametrize('system', ALL, ids=lambda system: system.name)
def test_no_state_may_be_far_away(system, far):
    limits = trained_goals(system)
    for i, name in enumerate(system.state_names):
        if name in system.angles:
            continue
        goal = system.goal_centre.copy()
        goal[i] = far
        assert out_of_range(limits, goal).startswith(f'{name} is {far:g}, outside of ')


def test_the_range_is_half_as_wide_again_as_the_boxes():
    limits = trained_goals(get_system('double_integrator'))
    assert limits.low == (-3.0, -6.0)
    assert limits.high == (3.0, 6.0)


def test_a_reference_may_move_as_fast_as_the_plant_does():
    limits = trained_goals(get_system('pendulum'))
    assert out_of_range(limits, np.array([[1.0, 6.0], [2.0, -6.0]])) == ''


def test_a_state_that_was_never_varied_has_the_range_of_its_unit():
    limits = trained_goals(bicycle_circles)
    assert bicycle_circles.state_names[1] == 'y'
    assert limits.high[1] == -limits.low[1] == 0.75 * 7.0


def test_a_state_without_any_width_has_no_limit():
    slider = get_system('double_integrator')
    still = replace(slider, x0_box=[2.0, 0.0], goal_box=[2.0, 0.0], joints=())
    assert trained_goals(still).high == (3.0, np.inf)


def test_a_line_names_the_point_the_state_the_limits_and_the_parameters():
    limits = StateBox.of(get_system('double_integrator'), [-1.0, -2.0], [1.0, 2.0])
    remedy = 'goal_limits.min and goal_limits.max say where goals may be'
    reason = out_of_range(limits, np.array([[0.0, 0.0], [1.5, 0.0], [9.0, 9.0]]))
    assert reason == f'point 1: position is 1.5, outside of -1 to 1; {remedy}'
    assert out_of_range(limits, np.array([0.0, 3.0])) == (
        f'velocity is 3, outside of -2 to 2; {remedy}'
    )
