"""Where the figures of a training go."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from trc_core.commands import train
from trc_core.finetuning.config import FinetuneConfig
from trc_core.finetuning.log import Log
from trc_core.training.config import RunConfig
from trc_core.training.logs import loggers_of

WITHOUT = importlib.util.find_spec('wandb') is None
TINY = ['--latent_dim', '16', '--hidden_dim', '16', '--validation_states', '4', '--steps', '2']
TINY += ['--verdict', 'false']
OFFLINE = {'WANDB_MODE': 'offline', 'WANDB_SILENT': 'true'}


def folders(run):
    return {path.name for path in run.iterdir() if path.is_dir()}


@pytest.mark.parametrize(
    ('logger', 'kept'),
    [('tensorboard', {'csv', 'tensorboard'}), ('csv', {'csv'}), ('none', set())],
)
def test_figures_go_where_they_are_asked_for(logger, kept, tmp_path):
    output = ['--output_dir', str(tmp_path / 'run')]
    train.main(['--system', 'double_integrator', *TINY, *output, '--logger', logger])
    assert folders(tmp_path / 'run') == kept
    log = Log(FinetuneConfig(output_dir=str(tmp_path / 'tuned'), logger=logger), 0)
    log.write(0, {'return': 1.0})
    log.close()
    assert folders(tmp_path / 'tuned') == kept if kept else not (tmp_path / 'tuned').exists()


def test_the_choice_is_no_part_of_the_run_that_is_resumed(tmp_path):
    output = ['--output_dir', str(tmp_path / 'run')]
    flags = ['--system', 'double_integrator', *TINY, *output]
    train.main([*flags, '--logger', 'none'])
    assert 'logger' not in yaml.safe_load((tmp_path / 'run' / 'config.yaml').read_text())


def test_an_unknown_logger_is_named_with_those_that_exist():
    message = r"unknown logger 'wandbb'; choose from \['tensorboard', 'wandb', 'csv', 'none'\]"
    with pytest.raises(ValueError, match=message):
        RunConfig(logger='wandbb')


def test_without_wandb_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'wandb', None)
    with pytest.raises(SystemExit, match='1'):
        train.main(['--logger', 'wandb', '--output_dir', str(tmp_path / 'run')])
    [error] = capsys.readouterr().err.splitlines()
    assert error == "trc train: the logger 'wandb' is missing; pip install 'trc[wandb]' adds it"
    assert not (tmp_path / 'run').exists()


@pytest.mark.skipif(WITHOUT, reason='wandb is not installed')
def test_wandb_keeps_a_run_offline(tmp_path):
    output = ['--output_dir', str(tmp_path / 'run'), '--logger', 'wandb']
    command = [sys.executable, '-m', 'trc_core', 'train', '--system', 'double_integrator']
    subprocess.run([*command, *TINY, *output], check=True, env={**os.environ, **OFFLINE})
    assert folders(tmp_path / 'run') == {'csv', 'wandb'}
    [kept] = (tmp_path / 'run' / 'wandb').glob('offline-run-*/run-*.wandb')
    assert b'val/score' in kept.read_bytes()


@pytest.mark.skipif(WITHOUT, reason='wandb is not installed')
def test_where_wandb_does_not_start_one_line_says_why(tmp_path, monkeypatch):
    import wandb

    def refuse(*arguments, **options):
        raise wandb.errors.UsageError('no API key')

    monkeypatch.setattr(wandb, 'init', refuse)
    with pytest.raises(ValueError, match='wandb does not start: no API key; WANDB_MODE=offline'):
        loggers_of(RunConfig(output_dir=str(tmp_path), logger='wandb'))


BASE = Path('params/training/tiny_recursive_base.yaml')


@pytest.mark.parametrize('stage', train.MODULES)
def test_every_stage_takes_the_base_configuration(stage, capsys):
    flags = ['--system', 'double_integrator', '--stage', stage, '--config', str(BASE)]
    with pytest.raises(SystemExit, match='0'):
        train.main([*flags, '--print_config'])
    shipped, effective = yaml.safe_load(BASE.read_text()), yaml.safe_load(capsys.readouterr().out)
    assert {key: effective[key] for key in shipped} == shipped


def test_the_base_configuration_trains(tmp_path):
    output = ['--output_dir', str(tmp_path / 'run'), '--validation_states', '4', '--steps', '2']
    train.main(['--config', str(BASE), '--system', 'double_integrator', *output])
    assert (tmp_path / 'run' / 'best_model.safetensors').exists()
