"""The certificate of the shipped arm: near the optimum, within its limits, at its goals."""

import numpy as np
import pytest

from trc_core import Controller
from trc_core.checkpoint import load_checkpoint
from trc_core.evaluation.problems import draw_problems
from trc_core.solvers import ilqr


@pytest.fixture(scope='module')
def checkpoint():
    return load_checkpoint('arm')


def test_plans_are_near_the_optimum_within_limits_and_at_their_goals(checkpoint):
    certificate = checkpoint.metrics['certificate']
    assert certificate['states'] >= 100
    scores = certificate['scores']
    ours, optimum = scores['trc, K = 3'], scores['iLQR, 12 starts']
    assert ours['merit'] <= 1.002 and ours['merit_wrong'] <= 0.01
    assert ours['violation'] <= 1e-3
    assert ours['success'] >= optimum['success'] - 0.01
    assert scores['clipped LQR']['merit'] > 2.0  # which breaks the limits of speeds


@pytest.mark.long
def test_plans_are_as_good_as_sweeps_to_the_end_on_other_problems(checkpoint):
    controller, system = Controller.load('arm'), checkpoint.system
    problems = draw_problems(system, 5, seed=17)
    for i, (x0, goal) in enumerate(zip(problems.x0, problems.goal, strict=True)):
        plan = controller.plan(x0, goal, **problems.arguments(i))
        best = ilqr.solve(system, x0, goal)
        assert plan.merit <= 1.01 * best.merit
        assert plan.violation <= system.constraint_tolerance
        assert (np.abs(plan.states[-1] - goal) <= system.goal_tolerance).all()
