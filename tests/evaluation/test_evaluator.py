"""The figures: right by hand, and 1 where the optimum is scored against itself."""

import numpy as np
import pytest

from trc_core import Controller, get_system
from trc_core.cost import is_success
from trc_core.data import LQRDataset, lqr_generator
from trc_core.evaluation.evaluator import (
    Scores,
    evaluate_model,
    fresh_problems,
    planners,
    score,
)
from trc_core.models.persistence import load_model
from trc_core.solvers import nlp


def test_scores_are_the_figures_of_the_ratios():
    scores = Scores.of(np.array([1.0, 1.0, 1.0, 1.4]), np.array([True, True, True, False]))
    assert (scores.mean, scores.median, scores.worst) == pytest.approx((1.1, 1.0, 1.4))
    assert scores.success == 0.75


def test_the_optimum_scores_one_and_lqr_more():
    system = get_system('van_der_pol')
    x0, goal = fresh_problems(system, 8)
    optimum = np.array([nlp.solve(system, a, b).cost for a, b in zip(x0, goal, strict=True)])
    itself = score(lambda a, b: nlp.solve(system, a, b), x0, goal, optimum)
    assert itself.worst == pytest.approx(1.0, abs=1e-9)
    controller = Controller.load('van_der_pol')
    table = {
        label: score(planner, x0, goal, optimum)
        for label, planner in planners(controller, (0, 3)).items()
    }
    assert table['trc, K = 3'].mean <= table['trc, K = 0'].mean <= table['clipped LQR'].mean
    assert table['LQR + 3 iLQR sweeps'].mean <= table['LQR + 1 iLQR sweep'].mean
    assert table['clipped LQR'].mean > 1.0005


def test_evaluate_model_gives_the_figures_of_the_guide(tmp_path):
    lqr_generator.main(
        ['--num_samples', '20', '--system', 'van_der_pol', '--output', str(tmp_path)]
    )
    dataset = LQRDataset(tmp_path)
    model, _ = load_model('van_der_pol')
    figures = evaluate_model(model, dataset)
    assert figures['cost_ratio'] == pytest.approx(1.0, abs=2e-4)
    assert figures['success_rate'] == np.mean(
        is_success(dataset.data.states, dataset.data.target_state)
    )
    assert figures['control_cost'] == pytest.approx(dataset.data.cost.mean(), rel=2e-4)
    assert 0 <= figures['mean_error'] < 0.1


def test_test_states_are_drawn_from_a_seed_of_their_own():
    system = get_system('van_der_pol')
    evaluated, _ = fresh_problems(system, 50)
    for seed in (0, 7_000_000, 8_000_001):
        other, _ = system.sample(np.random.default_rng(seed), 50)
        assert not np.isin(evaluated, other).any()
