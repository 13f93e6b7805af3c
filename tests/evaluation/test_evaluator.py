"""The figures: right by hand, and 1 where the optimum is scored against itself."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from trc_core import Controller, get_system
from trc_core.checkpoint import find_checkpoint, load_checkpoint
from trc_core.commands.evaluate import main
from trc_core.data import LQRDataset, lqr_generator
from trc_core.evaluation import reference
from trc_core.evaluation.baselines import (
    STORED_SEED,
    NearestPlan,
    baseline_planners,
    planners,
)
from trc_core.evaluation.evaluator import (
    Scores,
    evaluate_model,
    score,
)
from trc_core.evaluation.problems import Problems, fresh_problems
from trc_core.evaluation.reference import Optima, best_known, starts_needed
from trc_core.models.persistence import load_model
from trc_core.numerics.cost import is_success
from trc_core.numerics.plan import cost_ratio
from trc_core.solvers import nlp
from trc_core.systems import SYSTEMS, pendulum


def test_scores_are_the_figures_of_the_ratios():
    scores = Scores.of(np.array([1.0, 1.0, 1.0, 1.4]), np.array([True, True, True, False]))
    assert (scores.mean, scores.median, scores.worst) == pytest.approx((1.1, 1.0, 1.4))
    assert scores.success == 0.75


def test_a_plan_that_costs_nothing_is_the_optimum_where_that_costs_nothing():
    assert cost_ratio(0.0, 0.0) == 1.0 and cost_ratio(1.0, 0.0) > 1e90
    cost = torch.tensor([3e-7, 5.0, 7e12], dtype=torch.float64)
    assert torch.equal(cost_ratio(cost, 3.0), cost / 3.0)  # others are divided, to the last bit


def test_the_optimum_scores_one_and_lqr_more():
    system = get_system('van_der_pol')
    x0, goal = fresh_problems(system, 8)
    optimum = np.array([nlp.solve(system, a, b).cost for a, b in zip(x0, goal, strict=True)])
    problems, optima = Problems(x0, goal), Optima(optimum, optimum, np.ones(8, dtype=bool))
    itself = score(system, lambda a, b: nlp.solve(system, a, b), problems, optima)
    assert itself.worst == pytest.approx(1.0, abs=1e-9)
    controller = Controller.load('van_der_pol')
    table = {
        label: score(system, planner, problems, optima)
        for label, planner in planners(controller, (0, 3)).items()
    }
    assert table['trc, K = 3'].mean <= table['trc, K = 0'].mean <= table['clipped LQR'].mean
    assert table['LQR + 3 iLQR sweeps'].mean <= table['LQR + 1 iLQR sweep'].mean
    assert table['clipped LQR'].mean > 1.0005
    assert table['trc, K = 0 + 1 sweep'].mean < table['trc, K = 0'].mean
    assert table['iLQR, 12 starts'].mean == pytest.approx(1.0, abs=1e-6)
    assert table['nearest plan + iLQR'].mean == pytest.approx(1.0, abs=1e-6)


def test_evaluate_model_gives_the_figures_of_the_guide(tmp_path):
    lqr_generator.main(
        ['--num_samples', '20', '--system', 'van_der_pol', '--output', str(tmp_path)]
    )
    dataset = LQRDataset(tmp_path)
    model, _ = load_model('van_der_pol')
    figures = evaluate_model(model, dataset)
    assert figures['cost_ratio'] == pytest.approx(1.0, abs=2e-4)
    assert figures['success_rate'] == np.mean(
        is_success(dataset.system, dataset.data.states, dataset.data.target_state)
    )
    assert figures['control_cost'] == pytest.approx(dataset.data.cost.mean(), rel=2e-4)
    assert 0 <= figures['mean_error'] < 0.1
    assert 1 - 1e-6 <= figures['cost_ratio_median'] <= figures['cost_ratio_p95']
    assert figures['cost_ratio_p95'] <= figures['cost_ratio_max'] < 1.001
    assert figures['latency_ms'] > 0


def test_evaluate_model_says_what_each_cycle_gains_and_how_often_a_bound_holds(tmp_path):
    lqr_generator.main(
        ['--num_samples', '6', '--system', 'van_der_pol', '--output', str(tmp_path)]
    )
    dataset = LQRDataset(tmp_path)
    model, checkpoint = load_model('van_der_pol')
    figures = evaluate_model(model, dataset)
    controllers = [Controller(checkpoint, cycles=K) for K in range(model.config.cycles + 1)]
    data = dataset.data
    problems = list(zip(data.current_state, data.target_state, strict=True))
    plans = [[controller.plan(*p) for p in problems] for controller in controllers]
    J = np.array([[plan.cost for plan in row] for row in plans])
    np.testing.assert_allclose(figures['refinement_gain'], (1 - J[1:] / J[:-1]).mean(1), atol=1e-5)
    limit = checkpoint.system.u_max - 1e-9
    held = np.mean([np.abs(plan.controls) >= limit for plan in plans[-1]])
    assert 0 < held < 1
    assert figures['bound_activity'] == pytest.approx(held, abs=0.02)


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
    table = baseline_planners(system, ['lqr', 'ilqr1', 'ilqr12', 'nlp'])
    plans = {name: planner(x0[0], goal[0]) for name, planner in table.items()}
    assert [plan.source for plan in plans.values()] == ['lqr', 'ilqr', 'ilqr', 'nlp']
    assert plans['ilqr1'].cycles == 1 < plans['ilqr12'].cycles <= 12
    with pytest.raises(ValueError, match=r"unknown expert 'pid'; choose from .* or ilqr<sweeps>"):
        baseline_planners(system, ['pid'])


@pytest.mark.long
@pytest.mark.parametrize('name', sorted(SYSTEMS))
def test_no_expert_beats_the_best_known_optimum(name):
    system = get_system(name)
    x0, goal = fresh_problems(system, 3)
    for a, b in zip(x0, goal, strict=True):
        optimum, solved = best_known(system, a, b, starts_needed(system))
        assert solved
        for planner in baseline_planners(system, ['lqr', 'ilqr3', 'ilqr', 'nlp']).values():
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


def test_the_baselines_beside_a_checkpoint_can_be_chosen(capsys, tmp_path):
    output = tmp_path / 'figures.json'
    main(['--states', '3', '--baseline', 'lqr,nlp', '--output', str(output)])
    figures = json.loads(output.read_text())
    assert [label for label in figures if not label.startswith('trc')] == ['clipped LQR', 'nlp']
    assert figures['nlp']['mean'] == pytest.approx(1, abs=1e-6)
    assert figures['nlp']['milliseconds'] > 0 and 0 < figures['nlp']['on_bound'] < 1
    assert figures['nlp']['error'] < 0.1
    assert (tmp_path / 'figures.png').stat().st_size > 1000
    assert 'on bound' in capsys.readouterr().out


@pytest.mark.long
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
        ('--set nu=0.2', "system 'van_der_pol' has no parameter ['nu']"),
        (
            '--expert lqr --checkpoint van_der_pol',
            '--expert goes with --system, --task, --set, --states, --seed, --output only, '
            'not with --checkpoint',
        ),
        ('--expert lqr --record', 'only, not with --record'),
        ('--expert lqr --baseline ilqr', 'only, not with --baseline'),
        ('--closed_loop --baseline foo', '--closed_loop goes with --checkpoint, --system, --task'),
        ('--closed_loop 0.1 --record --output a.json', 'only, not with --output'),
        ('--ros --closed_loop --baseline lqr', '--ros goes with --closed_loop, --checkpoint'),
        ('--ros', '--ros goes with --closed_loop, on a plant without error'),
        ('--ros --closed_loop 0.1', '--ros goes with --closed_loop, on a plant without error'),
        ('--output figures.png', "the output 'figures.png' must end in .json"),
        ('--output /proc/no/figures.json', "cannot make the folder of '/proc/no/figures.json'"),
        ('--expert lqr --set mu=1', '--set needs --system'),
        ('--expert nearest,magic --system pendulum', "unknown expert 'magic'"),
        ('--expert qp --system pendulum --states 1', "'pendulum' is not linear"),
    ],
)
def test_flags_that_do_not_fit_are_one_readable_line_before_any_work(
    capsys, monkeypatch, flags, message
):
    monkeypatch.setattr(NearestPlan, '__init__', None)  # takes minutes
    with pytest.raises(SystemExit, match='1'):
        main(flags.split())
    error = capsys.readouterr().err.replace('\r', '\n').strip().splitlines()[-1]
    assert message in error


def test_the_certificate_is_kept_in_the_checkpoint_and_everything_else_stays(tmp_path, capsys):
    path = tmp_path / 'c.safetensors'
    shutil.copy(find_checkpoint('double_integrator'), path)
    before = load_checkpoint(path)
    main(['--checkpoint', str(path), '--states', '6', '--record'])
    after = load_checkpoint(path)
    certificate = after.metrics['certificate']
    assert certificate['command'] == f'trc evaluate --checkpoint {path} --states 6 --record'
    assert certificate['states'] == 6
    assert certificate['scores']['trc, K = 3']['mean'] == pytest.approx(1.0, abs=1e-4)
    assert set(before.metrics) <= set(after.metrics)
    assert before.training == after.training
    for name, tensor in before.tensors.items():
        np.testing.assert_array_equal(after.tensors[name], tensor)


def test_figures_are_not_recorded_in_a_graph(tmp_path, capsys):
    path = tmp_path / 'v.onnx'
    path.write_bytes(b'weights')
    with pytest.raises(SystemExit, match='1'):
        main(['--checkpoint', str(path), '--record'])
    assert "--record cannot write into the graph '" in capsys.readouterr().err
    assert path.read_bytes() == b'weights'


def test_the_folder_of_the_figures_is_made_and_no_folder_is_written_over(tmp_path, capsys):
    output = tmp_path / 'new' / 'figures.json'
    command = ['--system', 'double_integrator', '--expert', 'lqr', '--states', '2', '--output']
    main([*command, str(output)])
    assert set(json.loads(output.read_text())) == {'lqr'}
    (tmp_path / 'folder.json').mkdir()
    with pytest.raises(SystemExit, match='1'):
        main([*command, str(tmp_path / 'folder.json')])
    assert "folder.json' is a folder; give a file in it" in capsys.readouterr().err


def test_workers_solve_a_plant_that_only_a_file_defines(tmp_path, monkeypatch):
    monkeypatch.setenv('TRC_CACHE_DIR', str(tmp_path))
    path = tmp_path / 'mine.py'
    path.write_text(Path(pendulum.__file__).read_text())
    system = get_system(str(path))
    monkeypatch.setattr(  # solvers would be compiled for half a minute
        reference,
        'best_known',
        lambda system, x0, goal, starts: (
            float(system.dynamics(x0, [0.0], **system.parameters)[0]),
            True,
        ),
    )
    x0, goal = fresh_problems(system, 3)
    rates, solved = reference.reference_optima(system, x0, goal, starts=2)
    assert solved.all()
    np.testing.assert_array_equal(rates, x0[:, 1])


def test_reference_optima_are_computed_once(tmp_path, monkeypatch):
    monkeypatch.setenv('TRC_CACHE_DIR', str(tmp_path))
    system = get_system('double_integrator')
    x0, goal = fresh_problems(system, 4)
    first, solved = reference.reference_optima(system, x0, goal, 1)
    assert solved.all()
    monkeypatch.setattr(reference, 'best_known', None)  # a second computation would fail
    again, _ = reference.reference_optima(system, x0, goal, 1)
    np.testing.assert_array_equal(first, again)
    with pytest.raises(TypeError):
        reference.reference_optima(system, x0 / 2, goal, 1)


def test_the_nearest_stored_plan_is_found_and_improved():
    system = get_system('van_der_pol')
    baseline = NearestPlan(system, count=50, sweeps=0)
    x0, goal = system.sample(np.random.default_rng(STORED_SEED), 50)
    for i in (0, 17):
        plan = baseline(x0[i], goal[i])
        assert plan.cost == pytest.approx(baseline.cost[i], rel=1e-9)
    moved = x0[0] + 0.01
    assert NearestPlan(system, count=50)(moved, goal[0]).cost <= baseline(moved, goal[0]).cost


def test_flying_over_ros_is_refused_where_it_would_ignore_a_flag(capsys):
    with pytest.raises(SystemExit):
        main(['--ros', '--expert', 'lqr'])
    assert '--ros goes with --closed_loop' in capsys.readouterr().err
