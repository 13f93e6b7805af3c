"""Fine-tuning as a command: what it learns, keeps, refuses, and goes on with."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trc_core import SYSTEMS, Controller
from trc_core.checkpoint import load_checkpoint
from trc_core.finetuning import finetuner as rl_finetuner
from trc_core.finetuning.baselines import DelayCompensation, clipped_lqr, ilqr_mpc
from trc_core.finetuning.config import FinetuneConfig
from trc_core.finetuning.flights import Start, fly
from trc_core.finetuning.problems import TEST_SEED, VALIDATION_SEED, Problems
from trc_core.finetuning.report import bootstrap
from trc_core.training.config import parse

ROOT = Path(__file__).parents[2]
SYSTEM = SYSTEMS['double_integrator']
LIMIT = 1.1
TINY = {
    'checkpoint': SYSTEM.name,
    'iterations': 4,
    'groups': 4,
    'members': 4,
    'curriculum': 0.0,
    'delay': [1, 1],
    'parameter_spread': 0.1,
    'noise': 0.001,
    'epochs': 1,
    'validate_every': 2,
    'validation_flights': 8,
    'test_flights': 12,
}


def config(folder, **changes):
    return FinetuneConfig(**{**TINY, 'output_dir': str(folder), **changes})


def tune(folder, **changes):
    """The tuned checkpoint of a tiny run."""
    return load_checkpoint(rl_finetuner.finetune(config(folder, **changes), 'trc finetune TINY'))


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """The folder of a run that has time to learn something."""
    folder = tmp_path_factory.mktemp('run') / 'run'
    settings = {'iterations': 16, 'groups': 12, 'validate_every': 4, 'epochs': 4}
    settings['nominal_limit'] = LIMIT  # a tick is long here, and the run short
    tune(folder, **settings, validation_flights=32, test_flights=64)
    return folder


@pytest.mark.long
def test_it_learns_to_live_with_a_delay_and_says_so(run):
    report = json.loads((run / 'report.json').read_text())
    before, after = (report['rows'][name]['mean'] for name in ('trc, un-tuned', 'trc, tuned'))
    assert report['improvement'] == pytest.approx(1 - after / before)
    low, high = report['improvement_interval']
    assert 0 < low < report['improvement'] < high
    assert report['nominal']['trc, tuned'] < LIMIT
    known = report['rows']['trc, un-tuned, delay known']['mean']
    assert known < after < before  # it learns most of what knowing the delay gives, not more
    text = (run / 'report.md').read_text()
    for label in report['rows']:
        assert f'| {label} |' in text
    assert (run / 'report.png').stat().st_size > 10_000


@pytest.mark.long
def test_the_checkpoint_flies_and_records_how_it_came_about(run):
    checkpoint = load_checkpoint(run / 'best_model.safetensors')
    assert checkpoint.training['command'] == 'trc finetune TINY'
    assert checkpoint.training['config']['delay'] == [1, 1]
    assert checkpoint.training['started_from']['command'].startswith('trc train')
    assert checkpoint.metrics['finetuning']['flights'] == 64
    untouched = load_checkpoint(SYSTEM.name)
    for name, tensor in untouched.tensors.items():
        np.testing.assert_array_equal(checkpoint.tensors[name], tensor)
    tuned, plain = Controller(checkpoint), Controller(untouched)
    x, goal = [1.0, 0.5], [0.0, 0.0]
    first = tuned.plan(x, goal)
    np.testing.assert_array_equal(first.controls, plain.plan(x, goal).controls)
    second = tuned.plan(x, goal, first)
    assert (second.controls != plain.plan(x, goal, first).controls).any()


@pytest.mark.long
def test_the_test_alone_finds_the_same_figures(run, tmp_path):
    before = json.loads((run / 'report.json').read_text())
    changes = {'test_flights': 64, 'evaluate': True, 'report': str(tmp_path / 'again')}
    rl_finetuner.finetune(config(run, **changes), 'trc finetune TINY')
    again = json.loads((tmp_path / 'again.json').read_text())
    for report in (before, again):
        assert report['origin'].pop('date')  # the one thing that a second run says anew
    assert again == before
    with pytest.raises(FileNotFoundError):
        rl_finetuner.finetune(config(tmp_path / 'nothing', evaluate=True), '')


@pytest.mark.long
def test_every_iteration_leaves_its_figures(run):
    with (run / 'csv' / 'metrics.csv').open() as file:
        rows = list(csv.DictReader(file))
    returns = [float(row['value']) for row in rows if row['figure'] == 'return']
    assert len(returns) == 16
    assert {'kl', 'entropy', 'seconds', 'val/score', 'val/nominal'} <= {r['figure'] for r in rows}
    assert list((run / 'tensorboard').iterdir())


@pytest.mark.long
def test_an_interrupted_run_ends_as_one_that_was_not(tmp_path, monkeypatch):
    whole = tune(tmp_path / 'whole')
    calls = []

    def stopping(self):
        calls.append(save(self))
        if len(calls) == 2:
            raise KeyboardInterrupt

    save = rl_finetuner.Finetuning.save
    monkeypatch.setattr(rl_finetuner.Finetuning, 'save', stopping)
    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path / 'parts')
    monkeypatch.undo()
    with pytest.raises(ValueError, match='pass --resume true'):
        tune(tmp_path / 'parts')
    kept = tmp_path / 'parts' / 'last.ckpt'
    contents = kept.read_bytes()
    kept.write_bytes(contents[:-400])
    with pytest.raises(ValueError, match=r"last.ckpt' is damaged"):
        tune(tmp_path / 'parts', resume=True)
    kept.write_bytes(contents)
    resumed = tune(tmp_path / 'parts', resume=True)
    for name, value in whole.correction.items():
        np.testing.assert_array_equal(resumed.correction[name], value)


@pytest.mark.parametrize('seed', [0, 1])
def test_the_seed_decides_every_number(seed):
    problems = Problems(FinetuneConfig(**TINY, seed=seed), SYSTEM)
    once, again = problems.drawn(3), problems.drawn(3)
    np.testing.assert_array_equal(once.plant.draw.p, again.plant.draw.p)
    np.testing.assert_array_equal(once.start.x0, again.start.x0)
    other = Problems(FinetuneConfig(**TINY, seed=seed + 1), SYSTEM).drawn(3)
    assert (once.start.x0 != other.start.x0).all()


def test_what_is_judged_by_was_never_learnt_from():
    problems = Problems(FinetuneConfig(**TINY), SYSTEM)
    judged = [problems.held(40, seed) for seed in (VALIDATION_SEED, TEST_SEED)]
    seen = [problems.drawn(iteration) for iteration in range(4)]
    starts = [tuple(x) for s in [*judged, *seen] for x in np.unique(s.start.x0, axis=0)]
    assert len(starts) == len(set(starts)) == 40 + 40 + 4 * 4


def test_groups_differ_in_nothing_but_their_exploration():
    problems = Problems(FinetuneConfig(**{**TINY, 'disturbance': [0.1, 0.1]}), SYSTEM)
    flown = problems.fly(clipped_lqr(SYSTEM), problems.drawn(0))
    states = flown.states.reshape(len(flown.states), 4, 4, SYSTEM.n_x)
    assert (states == states[:, :, :1]).all()
    assert (states[:, 0, 0] != states[:, 1, 0]).any()


@pytest.mark.parametrize('algorithm', ['policy_gradient', 'analytic'])
def test_a_step_of_every_algorithm_lowers_the_cost(algorithm, tmp_path):
    settings = {'groups': 12, 'noise': 0.0, 'algorithm': algorithm, 'learning_rate': 0.01}
    chosen = config(tmp_path, **settings)
    tuning = rl_finetuner.Finetuning(chosen, load_checkpoint(SYSTEM.name), '')
    for k in range(6):
        figures = tuning.algorithm.improve(tuning.policy, tuning.optimiser, tuning.controller(), k)
        assert np.isfinite(list(figures.values())).all()
    after = tuning.problems.validate(tuning.controller())
    assert after.mismatched.mean() < 0.99 * tuning.baseline.mismatched.mean()


class Scripted:
    """A plant that does what a test says."""

    def __init__(self, returns):
        self.returns = returns
        self.ticks = 0

    def reset(self, x0):
        return x0

    def step(self, u):
        self.ticks += 1
        return self.returns(self.ticks)


def flown_on(returns, ticks=6):
    x, goal = SYSTEM.sample(np.random.default_rng(1), 3)
    return fly(clipped_lqr(SYSTEM), Scripted(returns), SYSTEM, Start(x, goal), ticks)


def test_a_flight_that_ends_early_is_charged_for_where_it_was_last_seen():
    def returns(tick):
        x = np.full((3, 2), 0.01 * tick)
        x[1] = np.nan if tick >= 3 else x[1]
        return x

    flown = flown_on(returns)
    assert flown.ended[:, 1].tolist() == [False] * 3 + [True] * 4
    assert not flown.ended[:, [0, 2]].any()
    np.testing.assert_array_equal(flown.states[3:, 1], np.full((4, 2), 0.02))
    assert flown.fallen.tolist() == [False, True, False]
    assert np.isfinite(flown.total).all()


@pytest.mark.parametrize(
    ('returns', 'message'),
    [
        (lambda tick: np.zeros((3, 4)), r'returned states of shape \(3, 4\), expected \(3, 2\)'),
        (lambda tick: np.full((3, 2), np.nan), 'ended every flight at once, or returned NaN'),
    ],
)
def test_a_plant_that_does_not_fit_is_refused(returns, message):
    with pytest.raises(ValueError, match=message):
        flown_on(returns)


def test_a_run_that_diverges_stops_and_keeps_the_best(tmp_path, capsys, monkeypatch):
    improve = rl_finetuner.ALGORITHMS['policy_gradient'].improve

    def spoiling(self, policy, *rest):
        figures = improve(self, policy, *rest)
        with torch.no_grad():
            policy.trust.fill_(-8.0)
        return figures

    monkeypatch.setattr(rl_finetuner.ALGORITHMS['policy_gradient'], 'improve', spoiling)
    best = tune(tmp_path / 'run', iterations=40, validate_every=1, divergence=1.01)
    out = capsys.readouterr().out
    assert 'stopped at iteration 2: the validation score' in out
    assert 'the best checkpoint before it is kept' in out
    assert best.training['iterations'] == 0 and best.correction['correction.trust'] == 0.0


@pytest.mark.parametrize(('spoilt', 'kept'), [(0, 'there is no model'), (1, 'is kept in')])
def test_a_run_with_nan_fails_with_the_reason(spoilt, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(rl_finetuner.ALGORITHMS['policy_gradient'], 'improve', lambda *_: {'J': 1})
    validate = rl_finetuner.Problems.validate
    calls = iter(range(100))

    def spoiling(self, controller):  # the first is of the controller that it starts from
        found = validate(self, controller)
        factor = np.nan if next(calls) > spoilt else 1.0
        return replace(found, mismatched=factor * found.mismatched)

    monkeypatch.setattr(rl_finetuner.Problems, 'validate', spoiling)
    failed = f'fine-tuning failed: at iteration {spoilt} the validation score is nan; .*{kept}'
    with pytest.raises(ValueError, match=failed):
        tune(tmp_path / 'run', iterations=3, validate_every=1)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'system': 'cartpole'}, "is a controller of 'double_integrator', not of 'cartpole'"),
        ({'physics': 'mujoco'}, "has no model of 'double_integrator'"),
        ({'algorithm': 'analytic', 'friction': [0.1, 0.1]}, 'take policy_gradient'),
        ({'members': 1}, 'members must be at least 2'),
        ({'physics': 'bullet'}, r"choose from \['mujoco', 'system'\]"),
        ({'algorithm': 'dqn'}, r"choose from \['analytic', 'policy_gradient'\]"),
        ({'delay': [2, 1]}, r'delay is \[2, 1\]; write \[low, high\]'),
        ({'parameter_spread': 1.5}, r'parameter_spread is 1.5; choose from \[0, 1\)'),
        ({'discount': 1.5}, r'discount must lie in \[0, 1\]'),
        ({'test_flights': 0}, 'test_flights must be positive'),
    ],
)
def test_a_mistake_is_one_readable_line(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        tune(tmp_path / 'run', **changes)
    assert not (tmp_path / 'run' / 'config.yaml').exists()


def test_the_yaml_names_settings_that_exist_and_flags_win():
    file = str(ROOT / 'params' / 'training' / 'rl_finetuning.yaml')
    found = parse(FinetuneConfig, 'trc finetune', ['--config', file, '--seed', '3'])
    assert (found.seed, list(found.delay), found.parameter_spread) == (3, [2, 2], 0.3)
    with pytest.raises(ValueError, match='--stp is no setting; the flags are --std, '):
        parse(FinetuneConfig, 'trc finetune', ['--stp', '3'])


def test_the_baselines_are_what_they_say():
    x, goal = SYSTEM.sample(np.random.default_rng(2), 5)
    controller = Controller.load(SYSTEM.name)
    baselines = clipped_lqr(SYSTEM), ilqr_mpc(SYSTEM, 20)
    lqr, ilqr = (planner(x, goal, None, []) for planner in baselines)
    for b in range(5):
        plan = controller.lqr_plan(x[b], goal[b])
        np.testing.assert_allclose(lqr.controls[b, 0], plan.controls[0], atol=1e-9)
        assert ilqr.cost[b] <= plan.cost * (1 + 1e-9)
    seen = []

    def planner(x, goal, plan, commands):
        seen.append(x)
        return lqr

    u = [np.full((5, 1), value) for value in (3.0, 1.0, -2.0)]
    DelayCompensation(planner, SYSTEM, 2)(x, goal, None, u)
    for b in range(5):
        expected = SYSTEM.step(SYSTEM.step(x[b], [1.0]), [-2.0])
        np.testing.assert_allclose(seen[0][b], expected, atol=1e-12)


def test_the_interval_covers_what_it_should():
    """95 % intervals of the mean of an exponential variable hold it in about 95 % of cases."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(60):
        low, high = bootstrap(rng.exponential(size=200))
        held += low < 1.0 < high
    assert 50 <= held <= 60
    J = rng.exponential(size=200)
    low, high = bootstrap(0.8 * J, J)
    assert low == pytest.approx(0.2) == high  # in pairs, nothing is left to chance
