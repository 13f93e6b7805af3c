"""The figures: right by hand, and 1 where the optimum is scored against itself."""

import json
import re

import numpy as np
import pytest

from trc_core import Controller, get_system
from trc_core.cost import is_success
from trc_core.data import LQRDataset, lqr_generator
from trc_core.evaluation.baselines import best_known, expert_planners, starts_needed
from trc_core.evaluation.command import main
from trc_core.evaluation.evaluator import (
    Scores,
    evaluate_model,
    fresh_problems,
    planners,
    score,
)
from trc_core.models.persistence import load_model
from trc_core.solvers import nlp
from trc_core.systems import SYSTEMS


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


def test_wrong_counts_what_is_not_within_two_percent_of_the_best():
    ratio = np.array([0.99, 1.019, 1.021, np.nan])
    assert Scores.of(ratio, np.ones(4, dtype=bool)).wrong == 0.5


def test_experts_are_planners_by_name():
    system = get_system('van_der_pol')
    x0, goal = fresh_problems(system, 1)
    table = expert_planners(system, ['lqr', 'ilqr1', 'ilqr12', 'nlp'])
    plans = {name: planner(x0[0], goal[0]) for name, planner in table.items()}
    assert [plan.source for plan in plans.values()] == ['lqr', 'ilqr', 'ilqr', 'nlp']
    assert plans['ilqr1'].cycles == 1 < plans['ilqr12'].cycles <= 12
    with pytest.raises(ValueError, match=r"unknown expert 'pid'; choose from .* or ilqr<sweeps>"):
        expert_planners(system, ['pid'])


@pytest.mark.parametrize('name', sorted(SYSTEMS))
def test_no_expert_beats_the_best_known_optimum(name):
    system = get_system(name)
    x0, goal = fresh_problems(system, 3)
    for a, b in zip(x0, goal, strict=True):
        optimum, solved = best_known(system, a, b, starts_needed(system))
        assert solved
        for planner in expert_planners(system, ['lqr', 'ilqr3', 'ilqr', 'nlp']).values():
            assert planner(a, b).cost >= optimum * (1 - 1e-5)


def test_the_table_of_baselines_is_the_known_one(capsys, tmp_path):
    output = tmp_path / 'figures.json'
    command = '--system van_der_pol --expert lqr,ilqr1,ilqr2,ilqr3,ilqr --states 40 --output'
    main([*command.split(), str(output)])
    figures = json.loads(output.read_text())
    mean = [figures[name]['mean'] for name in ('lqr', 'ilqr1', 'ilqr2', 'ilqr3', 'ilqr')]
    assert np.all(np.diff(mean) <= 1e-9) and mean[-1] == pytest.approx(1.0, abs=1e-6)
    assert mean[0] == pytest.approx(1.0026, abs=0.0015)
    out = capsys.readouterr().out
    assert 'van_der_pol: J/J* against IPOPT on 40 states' in out and '> 2 %' in out


def test_the_lqr_fails_most_swing_ups(capsys):
    main(['--system', 'pendulum', '--expert', 'lqr', '--states', '12'])
    out = capsys.readouterr().out
    assert 'against the best of 12 starts' in out
    wrong, success = re.search(r'([\d.]+)% +([\d.]+)%', out).groups()
    assert float(wrong) > 50 and float(success) < 50


def test_the_plant_parameters_of_the_baselines_can_be_set(capsys):
    main(['--system', 'van_der_pol', '--set', 'mu=0.2', '--expert', 'lqr,ilqr', '--states', '8'])
    nominal_lqr = capsys.readouterr().out.splitlines()[2]
    main(['--system', 'van_der_pol', '--expert', 'lqr,ilqr', '--states', '8'])
    assert nominal_lqr != capsys.readouterr().out.splitlines()[2]


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        ('--set mu=0.2', '--set goes with --expert'),
        ('--expert lqr --checkpoint van_der_pol', 'give either --checkpoint or --expert'),
        ('--expert lqr --set mu=1', '--set needs --system'),
        ('--expert magic --system pendulum', "unknown expert 'magic'"),
        ('--expert qp --system pendulum --states 1', "'pendulum' is not linear"),
    ],
)
def test_flags_that_do_not_fit_are_one_readable_line(capsys, flags, message):
    with pytest.raises(SystemExit, match='1'):
        main(flags.split())
    error = capsys.readouterr().err.replace('\r', '\n').strip().splitlines()[-1]
    assert message in error
