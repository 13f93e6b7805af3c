"""`trc train` picks the stage and its settings, says so, and yields to the user."""

import importlib
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from trc_core import progress
from trc_core.checkpoint import load_checkpoint
from trc_core.commands import train as command
from trc_core.systems import SYSTEMS
from trc_core.training.recipes import RECIPES, STAGES

TINY = ['--latent_dim', '16', '--hidden_dim', '16', '--validation_states', '8']
TINY += ['--verdict', 'false']
UNREACHED = """
from trc_core.systems import System


def dynamics(x, u):
    return x[0], u[0]


unreached = System(
    name='unreached', dynamics=dynamics, state_names=('x', 'y'), state_units=('m', 'm'),
    control_names=('u',), control_units=('N',), joints=(), dt=0.1, horizon=8, u_min=[-1.0],
    u_max=[1.0], Q=[1.0, 1.0], R=[1.0], x0_box=[1.0, 1.0], goal_box=[0.0, 0.0],
)
"""


def effective(capsys, *flags):
    """The settings that a run would have."""
    with pytest.raises(SystemExit) as stop:
        command.main([*flags, '--print_config'])
    assert stop.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_every_shipped_system_has_a_recipe_that_its_stage_accepts():
    assert set(SYSTEMS) <= set(RECIPES)
    for recipe in RECIPES.values():
        module, config = command.MODULES[recipe.stage]
        stage = importlib.import_module(module)
        settings = {'system': recipe.system, **recipe.overrides}
        assert getattr(stage, config)(**settings).system == recipe.system


@pytest.mark.parametrize(
    ('asked', 'stage', 'settings'),
    [
        (('cartpole', 'auto', None), 'cost', RECIPES['cartpole'].overrides),
        (('pendulum', 'auto', None), 'hypotheses', RECIPES['pendulum'].overrides),
        ((None, 'auto', 'van_der_pol_mu'), 'cost', RECIPES['van_der_pol_mu'].overrides),
        (('pendulum', 'cost', None), 'cost', {}),
        (('double_integrator_2_axes', 'auto', None), 'cost', {}),
        ((None, 'imitation', None), 'imitation', {'supervision': 'imitation'}),
    ],
)
def test_the_table_decides_unless_told_otherwise(asked, stage, settings):
    choice = command.choose(*asked)
    assert (choice.stage, choice.settings) == (stage, settings)


def test_a_stage_that_reads_a_dataset_trains_for_its_system_unless_told_otherwise():
    assert command.choose(None, 'process', None).system == ''
    assert command.choose('cartpole', 'process', None).system == 'cartpole'


def test_an_unknown_system_where_several_starts_pay_is_taught_by_hypotheses(monkeypatch):
    monkeypatch.setattr(command, 'RECIPES', {})
    choice = command.choose('cartpole_swingup', 'auto', None)
    assert choice.stage == 'hypotheses' and choice.settings['labels'] == 8000
    assert choice.reason.endswith('; labels 8000, first_steps 4000, joint_steps 3000')
    choice = command.choose('van_der_pol', 'auto', None)
    assert choice.stage == 'cost'
    assert choice.reason.startswith('12 starts beat the classical controller by more than 2%')
    assert choice.reason.endswith('on 0 of 50 problems; a network can only save time')
    with pytest.raises(ValueError, match='choose from'):
        command.choose('vdp', 'auto', None)


def test_flags_win_over_the_file_and_the_file_over_the_recipe(tmp_path, capsys):
    file = tmp_path / 'c.yaml'
    file.write_text(yaml.safe_dump({'system': 'cartpole', 'box': 2.0, 'steps': 9}))
    settings = effective(capsys, '--config', str(file), '--steps', '7')
    assert (settings['steps'], settings['box']) == (7, 2.0)
    assert settings['ladder'] == [1.0, 10.0, 100.0]
    settings = effective(capsys, '--config', str(file), '--system', 'quadrotor_2d')
    assert settings['system'] == 'quadrotor_2d'


def test_a_family_is_trained_and_its_checkpoint_takes_parameters(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, 'SECONDS_BETWEEN_LINES', 0.0)
    output = ['--output_dir', str(tmp_path / 'run')]
    command.main(['--recipe', 'van_der_pol_mu', *TINY, '--steps', '6', *output])
    shown = capsys.readouterr()
    assert "stage cost (recipe 'van_der_pol_mu'" in shown.out
    assert 'clipped LQR' not in shown.out  # --verdict false
    lines = [line for line in shown.err.splitlines() if line.startswith('training: ')]
    assert [line.split(' steps, ')[0] for line in lines[:6]] == [
        f'training: {step} of 6' for step in range(1, 7)
    ]
    assert lines[0].endswith(' left') and '\r' not in shown.err
    checkpoint = load_checkpoint(tmp_path / 'run' / 'best_model.safetensors')
    assert checkpoint.training['command'].startswith('trc train --recipe van_der_pol_mu')
    told = [checkpoint.with_parameters({'mu': mu}).representation.inputs for mu in (0.5, 1.5)]
    assert [value.item() for value in told] == pytest.approx([-1, 1])


def test_a_plant_that_no_lqr_stabilises_gets_open_loop_plans(tmp_path, capsys):
    path = tmp_path / 'unreached.py'
    path.write_text(UNREACHED)
    output = ['--output_dir', str(tmp_path / 'run'), '--steps', '4']
    command.main(['--system', str(path), '--stage', 'cost', *TINY, *output])
    assert 'no control reaches' in capsys.readouterr().out
    record = yaml.safe_load(Path(tmp_path / 'run' / 'config.yaml').read_text())
    assert record['representation'] == 'open_loop'


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--recipe', 'vdp'], 'invalid choice'),
        (['--stage', 'guesswork'], 'invalid choice'),
        (['--system', 'vdp'], "unknown system 'vdp'; choose from"),
        (['cartpole', '--steps', '1'], 'a system is given by --system cartpole'),
        (['--lerning_rate', '1'], 'lerning_rate'),
        (['--ranges', '{nu: [1, 2]}'], 'has no parameter'),
        (['--ranges', '{mu: [2, 1]}'], 'must be [low, high]'),
        (['--config', 'nowhere.yaml'], 'nowhere.yaml'),
        (['--learning_rate', '0'], 'learning_rate must be positive, got 0.0'),
        (['--ema_decay', '1'], 'ema_decay must lie in [0, 1), got 1.0'),
        (['--harm', '-1'], 'harm must not be negative, got -1.0'),
        (['--stage', 'hypotheses', '--validate_every', '0'], 'validate_every must be at least 1'),
        (['--set=nu=1'], "has no parameter ['nu']"),
        (['--set', 'mu=nan'], 'Got value: nan'),
        (['--stage', 'imitation'], '`trc generate --output data/double_integrator_lqr`'),
        (
            ['--stage', 'imitation', '--system', 'van_der_pol'],
            '`trc generate --system van_der_pol --output data/',
        ),
    ],
)
def test_mistakes_are_named(flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        command.main(flags)
    assert stop.value.code != 0
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('flags', 'stage', 'unknown', 'near', 'others'),
    [
        (
            ['--system', 'cartpole_swingup', '--steps', '5'],
            "'hypotheses' (recipe 'cartpole_swingup': ",
            '--steps',
            {'--first_steps', '--joint_steps'},
            '--stage cost',
        ),
        (
            ['--system', 'cartpole', '--labels=5'],
            "'cost' (recipe 'cartpole': ",
            '--labels',
            set(),
            '--stage hypotheses',
        ),
        (
            ['--stage', 'process', '--epoch', '5'],
            "'process' (as asked)",
            '--epoch',
            {'--epochs'},
            'no other stage',
        ),
        (['--ema-decay', '0.9'], "'cost' (recipe", '--ema-decay', {'--ema_decay'}, 'no other'),
    ],
)
def test_a_flag_of_another_stage_says_which_stage_this_is_and_which_has_it(
    flags, stage, unknown, near, others, capsys
):
    with pytest.raises(SystemExit, match='1'):
        command.main(flags)
    [error] = capsys.readouterr().err.splitlines()
    assert f'the stage is {stage}' in error and f'where {unknown} is no setting' in error
    assert f'; {others}' in error and error.endswith(' has it')
    listed = re.findall(r'--\w+', error.partition('the flags are ')[2].partition(';')[0])
    module, config = command.MODULES[stage.split("'")[1]]
    settings = fields(getattr(importlib.import_module(module), config))
    assert set(listed) == {f'--{setting.name}' for setting in settings}
    assert near <= set(listed[:3])


def test_a_key_of_another_stage_in_a_file_is_named_with_the_file(tmp_path, capsys):
    file = tmp_path / 'c.yaml'
    file.write_text('hidden_dim: 16\nsteps: 3\n')
    with pytest.raises(SystemExit, match='1'):
        command.main(['--system', 'pendulum', '--config', str(file)])
    [error] = capsys.readouterr().err.splitlines()
    assert f"where 'steps' in '{file}' is no setting" in error
    assert error.endswith('; --stage cost has it')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a: [', 'Problems parsing config'),
        ('system: [1]', 'Got value: [1]'),
        ('- cost', 'Unexpected config'),
    ],
)
def test_a_config_file_that_is_none_is_a_mistake(text, message, tmp_path, capsys):
    file = tmp_path / 'bad.yaml'
    file.write_text(text)
    with pytest.raises(SystemExit) as stop:
        command.main(['--config', str(file)])
    assert stop.value.code != 0
    assert message in capsys.readouterr().err


def test_help_lists_stages_recipes_and_the_flags_of_the_stage(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(['--system', 'cartpole', '--help'])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in (*STAGES, *RECIPES, '--receding_share'))
