"""Random starts: a first plan finds another way round, and nothing else gets slower."""

import numpy as np
import pytest

from trc_core import Controller
from trc_core.lab.exam.files import load, paths_of
from trc_core.solvers import multistart, nlp


@pytest.fixture(scope='module')
def swing_up():
    """A cart-pole that has to swing several times, and a state that it hangs in."""
    return load(*paths_of(['dmc_cartpole']))


def test_random_starts_find_what_many_starts_of_an_expert_find(swing_up):
    system, x0, goal = swing_up.system, swing_up.start, swing_up.system.goal_centre
    alone = Controller.classical(system).plan(x0, goal)
    ours = Controller.classical(system, starts=128).plan(x0, goal)
    best = multistart.solve(system, x0, goal, starts=128, seed=7)
    assert alone.cost > 1.2 * best.cost
    assert ours.cost < 1.03 * best.cost
    assert ours.source == 'refined' and ours.cost <= alone.cost


def test_a_plan_that_goes_on_tries_none(swing_up):
    controller = Controller.classical(swing_up.system, starts=16)
    first = controller.plan(swing_up.start, swing_up.system.goal_centre)
    assert first.cycles > 16
    after = controller.plan(first.states[1], swing_up.system.goal_centre, first)
    assert after.cycles <= 1


def test_the_same_problem_gets_the_same_plan(swing_up):
    plans = [
        Controller.classical(swing_up.system, starts=8).plan(
            swing_up.start, swing_up.system.goal_centre
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(plans[0].controls, plans[1].controls)


def test_starts_are_for_controllers_without_a_network(swing_up):
    with pytest.raises(ValueError, match='must not be negative'):
        Controller.classical(swing_up.system, starts=-1)
    checkpoint = Controller.load('van_der_pol').checkpoint
    with pytest.raises(ValueError, match=r'Controller\.classical'):
        Controller(checkpoint, starts=4)


@pytest.mark.parametrize('starts', [0, 4])
def test_a_shortest_time_whose_curvature_is_of_either_sign_is_that_of_ipopt(starts):
    exam = load(*paths_of(['ocp_moonlander']))
    theirs = nlp.solve(exam.system, exam.start, exam.system.goal_centre)
    ours = Controller.classical(exam.system, starts=starts).plan(
        exam.start, exam.system.goal_centre
    )
    assert ours.converged and ours.violation < 1e-6
    assert ours.times[-1] == pytest.approx(theirs.times[-1], rel=1e-4)
