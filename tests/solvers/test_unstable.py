"""A plant that no double holds open loop over its horizon: its optima are found, and are true."""

import numpy as np
import pytest
from numpy import sin

from trc_core import System
from trc_core.data.lqr_generator import generate
from trc_core.data.recipe import Recipe
from trc_core.evaluation.problems import Problems
from trc_core.evaluation.reference import best_known_optima
from trc_core.numerics.cost import trajectory_cost
from trc_core.solvers import fatrop, ilqr, nlp
from trc_core.solvers.problem import Problem

fast_pole = System(
    name='fast_pole',
    dynamics=lambda x, u, stiffness: [x[1], stiffness * sin(x[0]) + u[0] - 5.3],
    state_names=('angle', 'rate'),
    state_units=('rad', 'rad/s'),
    control_names=('push',),
    control_units=('rad/s^2',),
    joints=(),
    dt=0.05,
    horizon=120,
    u_min=[-60.0],
    u_max=[60.0],
    u_trim=[5.3],
    Q=[10.0, 1.0],
    R=[0.01],
    x0_box=[0.15, 0.5],
    goal_box=[0.0, 0.0],
    parameters={'stiffness': 100.0},
)


def problems(count):
    return fast_pole.sample(np.random.default_rng(0), count)


def test_the_last_digit_of_a_state_grows_beyond_all_bounds():
    A, _ = fast_pole.step_jacobian(np.zeros(2), np.array([5.3]))
    assert np.abs(np.linalg.eigvals(A)).max() ** fast_pole.horizon > 1e20
    (x0, *_), (goal, *_) = problems(1)
    problem = Problem.of(fast_pole, x0, goal)
    found = nlp.answer(nlp.IPOPT, problem, *nlp.straight_line(problem))
    assert found.success and problem.replay(found.controls)[1] > 100.0 * found.cost


@pytest.mark.parametrize('expert', [nlp, fatrop])
def test_optima_are_trajectories_of_their_own_cost_that_another_method_confirms(expert):
    for x0, goal in zip(*problems(4), strict=True):
        plan = expert.solve(fast_pole, x0, goal)
        assert plan.converged
        stepped = fast_pole.step(plan.states[:-1], plan.controls)
        np.testing.assert_allclose(plan.states[1:], stepped, atol=1e-12)
        assert np.all(np.abs(plan.controls) <= 60.0)
        J = trajectory_cost(fast_pole, plan.states, plan.controls, goal)
        assert plan.cost == pytest.approx(J, rel=1e-10)
        assert plan.cost == pytest.approx(ilqr.solve(fast_pole, x0, goal).cost, rel=1e-7)


def test_states_that_the_plant_cannot_follow_are_no_optimum():
    (x0, *_), (goal, *_) = problems(1)
    problem = Problem.of(fast_pole, x0, goal)
    found = nlp.answer(nlp.IPOPT, problem, *nlp.straight_line(problem))
    assert nlp.flown(nlp.IPOPT, problem, found).converged
    moved = found._replace(states=np.vstack([x0, 0.9 * found.states[1:]]))
    assert not nlp.flown(nlp.IPOPT, problem, moved).converged
    cheaper = found._replace(cost=0.9 * found.cost)
    assert not nlp.flown(nlp.IPOPT, problem, cheaper).converged


def test_labels_are_generated_and_optima_are_known(tmp_path, monkeypatch):
    data = generate(Recipe(fast_pole, 'nlp', 3), tmp_path / 'data', workers=1)
    assert len(data) == 3 and data.metadata['rejected'] == []
    monkeypatch.setattr('trc_core.evaluation.reference.cache_folder', lambda: tmp_path)
    x0, goal = problems(3)
    optima = best_known_optima(fast_pole, Problems(x0, goal), starts=1)
    assert optima.solved.all()
    best = [ilqr.solve(fast_pole, a, b).cost for a, b in zip(x0, goal, strict=True)]
    np.testing.assert_allclose(optima.cost, best, rtol=1e-7)
