"""`trc VERB`: help that helps, mistakes in one line."""

import json
import re
import subprocess
import sys

import pytest

from trc_core import cli
from trc_core.command_line import report_errors
from trc_core.training.recipes import STAGES

OPTION = re.compile(r'^  (-.*?)(?: {2,}|\n {3,}|$)(.*)$', re.MULTILINE)


def run(*arguments):
    command = [sys.executable, '-m', 'trc_core', *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_help_lists_every_verb():
    assert all(verb in run('--help').stdout for verb in cli.VERBS)
    assert run().returncode == 0


@pytest.mark.parametrize(
    'arguments', [*([verb] for verb in cli.VERBS), *(['train', '--stage', s] for s in STAGES)]
)
def test_help_describes_every_option(arguments):
    shown = run(*arguments, '--help')
    assert shown.returncode == 0
    assert 'usage: trc ' + arguments[0] in shown.stdout
    options = dict(OPTION.findall(shown.stdout))
    bare = [option for option, text in options.items() if not text or text.startswith('(')]
    assert options and not bare


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['fly'], "unknown command 'fly'; choose from"),
        (['info', 'nope'], "no checkpoint 'nope'"),
        (['evaluate', '--checkpoint', 'nope'], "no checkpoint 'nope'"),
        (['evaluate', '--states', '0'], '--states must be at least 1'),
    ],
)
def test_a_mistake_is_one_line_and_not_exit_code_0(arguments, message):
    failed = run(*arguments)
    assert failed.returncode != 0
    assert message in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1


def test_a_missing_extra_is_named(monkeypatch, capsys):
    missing = cli.Verb('no_such_library', 'needs what is not there', 'train')
    monkeypatch.setitem(cli.VERBS, 'magic', missing)
    with pytest.raises(SystemExit) as stop:
        cli.main(['magic'])
    assert stop.value.code == 1
    assert "pip install 'trc[train]'" in capsys.readouterr().err


def test_info_shows_system_model_and_training():
    shown = run('info', 'van_der_pol').stdout
    assert all(key in shown for key in ('mu: 1.0', 'H_cycles: 3', 'command: trc train'))


def test_evaluate_puts_the_baselines_beside_the_controller(tmp_path):
    output = tmp_path / 'figures.json'
    shown = run('evaluate', '--states', '5', '--output', str(output))
    assert shown.returncode == 0, shown.stderr
    figures = json.loads(output.read_text())
    assert {'clipped LQR', 'LQR + 1 iLQR sweep', 'trc, K = 3'} <= set(figures)
    assert 1 - 1e-6 <= figures['trc, K = 3']['mean'] <= figures['clipped LQR']['mean']
    assert 'clipped LQR' in shown.stdout


def test_ctrl_c_is_one_line_also_where_compiled_code_has_wrapped_it(capsys):
    wrapped = TypeError('unable to convert')
    wrapped.__cause__ = KeyboardInterrupt()
    with pytest.raises(SystemExit) as stopped, report_errors('trc faults'):
        raise wrapped
    assert stopped.value.code == 130
    assert capsys.readouterr().err == 'trc faults: interrupted\n'
    with pytest.raises(TypeError), report_errors('trc faults'):
        raise TypeError('a mistake of ours')
