"""The trainers: they learn, resume, reproduce, and say what is wrong."""

import csv
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from trc_core import Controller
from trc_core.checkpoint import load_checkpoint
from trc_core.data import lqr_generator
from trc_core.systems import SYSTEMS
from trc_core.training import cost_trainer, supervised_trainer
from trc_core.training.cost_trainer import CostTrainingConfig
from trc_core.training.fitting import WholeCheckpoints, moving_average
from trc_core.training.run_folder import run_folder

TINY = ['--latent_dim', '16', '--hidden_dim', '16']


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    lqr_generator.main(['--num_samples', '120', '--output_dir', str(folder), '--expert', 'ilqr'])
    return folder


def supervised(dataset, output, *flags):
    base = ['--data_dir', str(dataset), '--output_dir', str(output), '--num_heads', '2', *TINY]
    supervised_trainer.main([*base, '--warmup_steps', '10', '--batch_size', '16', *flags])


def logged(output, key):
    with open(output / 'csv' / 'metrics.csv') as file:
        return [float(row[key]) for row in csv.DictReader(file) if row.get(key)]


def test_imitation_halves_its_loss_and_leaves_a_flyable_checkpoint(dataset, tmp_path):
    supervised(dataset, tmp_path / 'run', '--epochs', '60')
    losses = logged(tmp_path / 'run', 'train/loss')
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])
    best = load_checkpoint(tmp_path / 'run' / 'best_model.safetensors')
    assert best.metrics['cost_ratio_mean'] >= 1 - 1e-6
    assert best.training['command'].startswith('python -m trc_core.training.supervised_trainer')
    plan = Controller.load(tmp_path / 'run' / 'last_model.safetensors').plan([1, 0], [0, 0])
    assert np.isfinite(plan.controls).all()


@pytest.mark.long
def test_process_supervision_lowers_the_cost_and_names_its_choices(dataset, tmp_path, capsys):
    supervised(dataset, tmp_path / 'run', '--epochs', '30', '--supervision', 'process')
    losses = logged(tmp_path / 'run', 'train/loss')
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
    with pytest.raises(SystemExit):
        supervised(dataset, tmp_path / 'other', '--supervision', 'reward')
    message = "unknown supervision 'reward'; choose from ['imitation', 'process']"
    assert message in capsys.readouterr().err


RANGED = """
from dataclasses import replace

from trc_core.systems.van_der_pol import van_der_pol

ranged = replace(van_der_pol, name='ranged', horizon=10, ranges={'mu': (0.5, 1.5)})
"""


def test_samples_that_differ_in_their_parameters_are_refused(tmp_path, capsys):
    (tmp_path / 'ranged.py').write_text(RANGED)
    system = ['--system', str(tmp_path / 'ranged.py')]
    made = ['--num_samples', '12', '--output_dir', str(tmp_path / 'data'), '--expert', 'ilqr']
    lqr_generator.main([*system, *made])
    with pytest.raises(SystemExit):
        supervised(tmp_path / 'data', tmp_path / 'run', *system)
    assert 'differ in their parameters' in capsys.readouterr().err


def test_cost_training_lowers_the_cost_ratio_and_reproduces(tmp_path):
    flags = ['--system', 'van_der_pol', *TINY, '--batch_size', '32', '--validation_states', '16']
    short = [*flags, '--steps', '60', '--validate_every', '30', '--warmup_steps', '10']
    for name in ('one', 'two'):
        cost_trainer.main([*short, '--output_dir', str(tmp_path / name)])
    ratios = [logged(tmp_path / name, 'val/cost_ratio_mean') for name in ('one', 'two')]
    assert ratios[0] == ratios[1]
    clipped_lqr = 1.0026  # mean J/J* of v = 0 on this system
    assert ratios[0][-1] < 1 + 0.5 * (clipped_lqr - 1)


def diverge_in_loss(self, *batch):
    if self.trainer.global_step > 12:
        with torch.no_grad():
            next(self.model.parameters()).fill_(torch.nan)
    return LEARN(self, *batch)


def diverge_in_score(self, score, metrics):
    REPORT(self, score * (100 if self.trainer.global_step > 25 else 1), metrics)


LEARN = cost_trainer.CostTraining.training_step
REPORT = cost_trainer.CostTraining.report


def short_run(tmp_path):
    flags = ['--system', 'van_der_pol', *TINY, '--validation_states', '8']
    short = ['--steps', '40', '--validate_every', '10', '--warmup_steps', '10']
    cost_trainer.main([*flags, *short, '--output_dir', str(tmp_path / 'run')])


def best_of(run):
    best = load_checkpoint(run / 'best_model.safetensors')
    assert all(np.isfinite(tensor).all() for tensor in best.tensors.values())
    return best


def test_a_run_whose_score_grows_stops_and_keeps_the_best(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cost_trainer.CostTraining, 'report', diverge_in_score)
    short_run(tmp_path)
    assert 'stopped at step 30: ' in capsys.readouterr().out
    assert best_of(tmp_path / 'run').training['steps'] < 30


def test_a_run_with_nan_fails_with_the_reason_and_keeps_the_best(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cost_trainer.CostTraining, 'training_step', diverge_in_loss)
    with pytest.raises(SystemExit, match='1'):
        short_run(tmp_path)
    shown = capsys.readouterr()
    *_, error = shown.err.splitlines()
    assert 'training failed: at step 13 the loss is nan; the best model before that is' in error
    assert 'best score' not in shown.out
    assert best_of(tmp_path / 'run').training['steps'] < 13


EXPLODING = """
from trc_core.systems import System


def dynamics(x, u):
    return x[1], 1e4 * x[0] ** 3 + u[0]


exploding = System(
    name='exploding', dynamics=dynamics, state_names=('x', 'y'), state_units=('m', 'm/s'),
    control_names=('u',), control_units=('N',), joints=(), dt=0.2, horizon=12, u_min=[-1.0],
    u_max=[1.0], Q=[1.0, 1.0], R=[1.0], x0_box=[9.0, 9.0], goal_box=[0.0, 0.0], substeps=1,
)
"""


def nothing_finite(stage, dataset, tmp_path):
    """Runs that cannot end well: of a plant that explodes, and at an absurd learning rate."""
    output = ['--output_dir', str(tmp_path / 'run')]
    if stage == 'imitation':
        supervised(dataset, tmp_path / 'run', '--learning_rate', '1e38', '--epochs', '2')
    else:
        (tmp_path / 'exploding.py').write_text(EXPLODING)
        flags = ['--system', str(tmp_path / 'exploding.py'), '--validation_states', '4']
        cost_trainer.main([*flags, *TINY, '--steps', '2', *output])


@pytest.mark.parametrize('stage', ['imitation', 'cost'])
def test_a_run_that_never_had_a_finite_score_fails_and_leaves_no_model(
    stage, dataset, tmp_path, capsys
):
    with pytest.raises(SystemExit, match='1'):
        nothing_finite(stage, dataset, tmp_path)
    shown = capsys.readouterr()
    *_, error = shown.err.splitlines()
    assert 'training failed: ' in error and ('inf' in error or 'nan' in error)
    assert error.endswith('from which plans diverge') and 'there is no model; ' in error
    assert 'best score' not in shown.out
    left = {path.name for path in (tmp_path / 'run').iterdir()}
    assert not left & {'best_model.safetensors', 'last.ckpt', 'config.yaml'}


def test_a_finished_or_interrupted_run_is_never_overwritten(dataset, tmp_path, capsys):
    output = tmp_path / 'run'
    supervised(dataset, output, '--epochs', '1')
    before = (output / 'best_model.safetensors').read_bytes()
    with pytest.raises(SystemExit) as stop:
        supervised(dataset, output, '--epochs', '1')
    assert stop.value.code == 1
    assert 'pass --resume true' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        supervised(dataset, output, '--epochs', '1', '--seed', '5', '--resume', 'true')
    assert 'seed is 5 now but was 0' in capsys.readouterr().err
    assert (output / 'best_model.safetensors').read_bytes() == before


def test_a_run_is_not_resumed_on_another_plant(tmp_path):
    system, output = SYSTEMS['van_der_pol'], tmp_path / 'run'
    config = CostTrainingConfig()
    with run_folder(output, config, system):
        pass
    other = {
        'Q is': replace(system, Q=2 * system.Q),
        'parameters is': system.with_parameters(mu=0.5),
        'equations is': replace(system, dynamics=lambda x, u, mu: [x[1], mu * x[0] + u[0]]),
    }
    resumed = replace(config, resume=True)
    for message, plant in other.items():
        with (
            pytest.raises(ValueError, match=f'cannot resume .*: {message} .* now but was'),
            run_folder(output, resumed, plant),
        ):
            pytest.fail('it went on')
    with run_folder(output, resumed, system):
        (output / 'plant.json').unlink()
    with run_folder(output, resumed, other['Q is']):  # nobody knows what an older run was of
        pass


def test_a_try_that_fails_at_once_leaves_the_folder_to_the_next(tmp_path, monkeypatch, capsys):
    def failing(*arguments):
        raise ValueError('no optimum')

    monkeypatch.setattr(cost_trainer.Validation, 'of', failing)
    for seed in ('1', '2'):
        with pytest.raises(SystemExit, match='1'):
            cost_trainer.main([*TINY, '--seed', seed, '--output_dir', str(tmp_path / 'run')])
        assert capsys.readouterr().err.endswith('no optimum\n')


def test_an_interrupted_run_goes_on_where_it_stopped(dataset, tmp_path, monkeypatch, capsys):
    output = tmp_path / 'run'
    step = supervised_trainer.SupervisedTraining.training_step

    def interrupted(self, batch, batch_idx):
        if self.trainer.global_step == 9:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(supervised_trainer.SupervisedTraining, 'training_step', interrupted)
        with pytest.raises(SystemExit) as stop:
            supervised(dataset, output, '--epochs', '4')
    assert stop.value.code == 130
    *_, hint, last = capsys.readouterr().err.splitlines()
    assert '--resume true goes on' in hint and last.endswith(': interrupted')
    for name in ('last.ckpt', 'config.yaml'):
        whole = (output / name).read_bytes()
        for contents in (whole[:-1000], b''):  # what a full disk or a power cut leaves
            (output / name).write_bytes(contents)
            with pytest.raises(SystemExit, match='1'):
                supervised(dataset, output, '--epochs', '4', '--resume', 'true')
            shown = capsys.readouterr().err
            assert f"{name}' is damaged" in shown and shown.count('\n') == 1
        (output / name).write_bytes(whole)
    seen = []
    monkeypatch.setattr(
        supervised_trainer.SupervisedTraining,
        'training_step',
        lambda self, b, i: seen.append(self.trainer.global_step) or step(self, b, i),
    )
    supervised(dataset, output, '--epochs', '4', '--resume', 'true')
    assert seen[0] == 9


def test_a_run_on_a_full_disk_ends_in_one_line(tmp_path, monkeypatch, capsys):
    """Nothing half-written is left."""
    short = ['--steps', '3', '--validate_every', '3', '--warmup_steps', '1', '--batch_size', '32']
    run = ['--system', 'van_der_pol', *TINY, *short, '--output_dir', str(tmp_path / 'run')]
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    step = cost_trainer.CostTraining.training_step

    def filling(self, *batch):
        if self.trainer.global_step == 2:  # what has to be compiled was kept
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, most))
        return step(self, *batch)

    monkeypatch.setattr(cost_trainer.CostTraining, 'training_step', filling)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit):
            cost_trainer.main(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        signal.signal(signal.SIGXFSZ, before)
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert 'File too large' in last and str(tmp_path / 'run') in last
    left = {path.name for path in tmp_path.rglob('*')}
    assert not left & {'last.ckpt', 'best_model.safetensors', 'last_model.safetensors'}
    assert not [name for name in left if name.endswith('.tmp')]


def test_lightnings_own_state_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'last.ckpt'
    state = {'weights': torch.arange(3.0)}
    WholeCheckpoints().save_checkpoint(state, path)
    whole = path.read_bytes()
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, most))
        with pytest.raises(OSError, match=r"File too large: '.*last\.ckpt'"):
            WholeCheckpoints().save_checkpoint({'weights': torch.arange(4.0)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == ['last.ckpt']
    torch.testing.assert_close(torch.load(path, weights_only=True), state)


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--system', 'vdp'], "unknown system 'vdp'; choose from"),
        (['--learning_rate', 'fast'], 'learning_rate'),
        (['--lerning_rate', '1'], 'lerning_rate'),
        (['--representation', 'spline'], "unknown representation 'spline'"),
        (['--resume', 'true', '--output_dir', 'nowhere'], 'nothing to resume'),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cost_trainer.main(flags)
    assert stop.value.code != 0
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_typo_in_the_yaml_is_an_error(tmp_path, capsys):
    config = tmp_path / 'c.yaml'
    config.write_text(yaml.safe_dump({'lerning_rate': 0.1}))
    with pytest.raises(SystemExit) as stop:
        cost_trainer.main(['--config', str(config)])
    assert stop.value.code != 0
    assert 'lerning_rate' in capsys.readouterr().err


@pytest.mark.parametrize('config', ['supervised_training', 'cost_training'])
def test_the_shipped_configs_are_accepted(config, capsys):
    module = supervised_trainer if config.startswith('super') else cost_trainer
    path = f'params/training/{config}.yaml'
    with pytest.raises(SystemExit, match='0'):
        module.main(['--config', path, '--print_config'])
    shipped = yaml.safe_load(Path(path).read_text())
    effective = yaml.safe_load(capsys.readouterr().out)
    assert {key: effective[key] for key in shipped} == shipped


def test_the_average_of_a_short_run_forgets_where_it_began():
    average = moving_average(0.995)
    short = long = 1.0
    for n in range(5000):
        long = average(long, 0.0 if n < 4000 else 1.0, n)
        short = long if n < 20 else short
    assert short < 0.01
    assert long == pytest.approx(1 - 0.995**1000, rel=1e-6)


@pytest.mark.long
def test_two_processes_train_one_network_on_problems_of_their_own(tmp_path):
    program = [sys.executable, '-m', 'trc_core.training.cost_trainer', '--system', 'van_der_pol']
    settings = ['--batch_size', '32', '--validation_states', '16', '--warmup_steps', '10']
    length = ['--steps', '60', '--validate_every', '15', '--output_dir', str(tmp_path / 'run')]
    flags = [*TINY, *settings, *length, '--devices', '2']
    done = subprocess.run([*program, *flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'GLOBAL_RANK: 1, MEMBER: 2/2' in done.stderr
    ratios = logged(tmp_path / 'run', 'val/cost_ratio_mean')
    assert ratios[-1] < 1 + 0.5 * (1.0026 - 1)  # half of what the clipped LQR leaves
    assert load_checkpoint(tmp_path / 'run' / 'best_model.safetensors').metrics
