"""`trc VERB`: help that helps, mistakes in one line."""

import importlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.crane_flight import CRANE
from tests.old_checkpoints import read_record, strip_equations, write_record
from trc_core import cli
from trc_core.checkpoint import load_checkpoint, save_checkpoint
from trc_core.command_line import report_errors
from trc_core.commands import evaluate, export, info, warm_up
from trc_core.data.backends import require
from trc_core.finetuning import finetuner
from trc_core.planner import controller
from trc_core.solvers import lqr, nlp
from trc_core.systems import get_system, pendulum
from trc_core.training.recipes import STAGES

OPTION = re.compile(r'^  (-.*?)(?: {2,}|\n {3,}|$)(.*)$', re.MULTILINE)


def run(*arguments):
    command = [sys.executable, '-m', 'trc_core', *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_help_lists_every_verb(capsys):
    shown = run('--help')
    assert shown.returncode == 0
    assert all(verb in shown.stdout for verb in cli.VERBS)
    cli.main([])
    assert capsys.readouterr().out == shown.stdout


@pytest.mark.parametrize(
    'arguments', [*([verb] for verb in cli.VERBS), *(['train', '--stage', s] for s in STAGES)]
)
def test_help_describes_every_option(arguments, capsys, monkeypatch):
    monkeypatch.setattr(os, 'environ', os.environ.copy())  # verbs over ROS choose a domain
    with pytest.raises(SystemExit) as stop:
        cli.main([*arguments, '--help'])
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    assert 'usage: trc ' + arguments[0] in shown
    options = dict(OPTION.findall(shown))
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


@pytest.mark.parametrize('module', ['no_such_library', 'imports_it_later'])
def test_a_missing_extra_is_named(module, monkeypatch, capsys):
    later = SimpleNamespace(main=lambda arguments: importlib.import_module('no_such_library'))
    monkeypatch.setitem(sys.modules, 'imports_it_later', later)
    monkeypatch.setitem(cli.VERBS, 'magic', cli.Verb(module, 'needs what is not there', 'train'))
    with pytest.raises(SystemExit) as stop:
        cli.main(['magic'])
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert error == (
        "trc magic: needs 'no_such_library'; install it with pip install 'trc[train]'\n"
    )


def test_datasets_name_the_extra_that_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, 'joblib', None)
    with pytest.raises(ValueError, match=r"pip install 'trc\[train\]'"):
        require('loky')


def test_info_shows_system_model_and_training():
    shown = run('info', 'van_der_pol').stdout
    assert all(key in shown for key in ('mu: 1.0', 'H_cycles: 3', 'command: trc train'))


@pytest.fixture
def taken(monkeypatch):
    """The checkpoints that verbs have asked for, which then end."""
    asked = []

    class EnoughError(ValueError):
        pass

    def take(name, *rest, **options):
        asked.append(str(name))
        raise EnoughError

    monkeypatch.setattr(info, 'find_checkpoint', take)
    monkeypatch.setattr(export, 'load_checkpoint', take)
    monkeypatch.setattr(finetuner, 'load_checkpoint', take)
    monkeypatch.setattr(evaluate.Controller, 'load', take)  # also that of warm-up
    return asked


VERBS_OF_CHECKPOINTS = ('info', 'export', 'finetune', 'evaluate', 'warm-up')


@pytest.mark.parametrize('verb', VERBS_OF_CHECKPOINTS)
@pytest.mark.parametrize(
    'given', [['cartpole'], ['--checkpoint', 'cartpole'], ['--checkpoint=cartpole']]
)
def test_a_checkpoint_is_given_by_position_or_by_flag(verb, given, taken):
    with pytest.raises(SystemExit, match='1'):
        cli.main([verb, *given])
    assert taken == ['cartpole']


@pytest.mark.parametrize('verb', VERBS_OF_CHECKPOINTS)
def test_a_checkpoint_that_is_given_twice_is_a_mistake(verb, taken, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, 'cartpole', '--checkpoint', 'pendulum'])
    *_, error = capsys.readouterr().err.splitlines()
    assert stop.value.code != 0 and not taken
    assert error.startswith(f'trc {verb}: ')
    assert error.endswith(('not allowed with argument CHECKPOINT', '--checkpoint, not both'))


@pytest.mark.parametrize('verb', VERBS_OF_CHECKPOINTS)
def test_help_shows_both_ways_to_give_a_checkpoint(verb, capsys):
    with pytest.raises(SystemExit, match='0'):
        cli.main([verb, '--help'])
    shown = ' '.join(capsys.readouterr().out.split())
    assert '--checkpoint CHECKPOINT' in shown
    assert '[CHECKPOINT' in shown or 'also as the first argument' in shown


@pytest.mark.parametrize('verb', ['info', 'export'])
def test_a_verb_that_needs_a_checkpoint_says_so(verb, capsys):
    with pytest.raises(SystemExit, match='2'):
        cli.main([verb])
    assert capsys.readouterr().err.endswith('arguments CHECKPOINT --checkpoint is required\n')


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--closed_loop', 'cartpole'], "'cartpole' is no number; a checkpoint stands in front"),
        (['--closed_loop', '--ros', 'cartpole'], "put 'cartpole' in front of the flags"),
        (['cartpole', '--expert', 'lqr'], '--expert goes with --system'),
    ],
)
def test_a_name_that_a_flag_would_swallow_is_pointed_out(flags, message, taken, capsys):
    with pytest.raises(SystemExit):
        cli.main(['evaluate', *flags])
    assert message in capsys.readouterr().err and not taken


@pytest.fixture
def own_checkpoint(tmp_path):
    """Of a plant that only its file defines: mine.safetensors and mine.py in `tmp_path`."""
    shipped = load_checkpoint('pendulum')
    own = replace(shipped, system=replace(shipped.system, name='mine'))
    source = Path(pendulum.__file__).read_text().replace("name='pendulum'", "name='mine'")
    (tmp_path / 'mine.py').write_text(source)
    return save_checkpoint(tmp_path / 'mine.safetensors', own)


def test_info_shows_what_a_file_says_of_a_system_that_is_unknown_here(own_checkpoint, capsys):
    strip_equations(own_checkpoint)
    info.main([str(own_checkpoint)])
    shown = capsys.readouterr()
    assert all(key in shown.out for key in ('name: mine', 'H_cycles: ', 'command: trc train'))
    assert shown.err.startswith(
        "trc info: no system here fits this file (--system names one): unknown system '"
    )
    info.main([str(own_checkpoint), '--system', str(own_checkpoint.with_name('mine.py'))])
    assert capsys.readouterr() == (shown.out, '')


def test_info_needs_no_plant_where_the_equations_are_in_the_file(own_checkpoint, capsys):
    info.main([str(own_checkpoint)])
    shown = capsys.readouterr()
    count = len(load_checkpoint('pendulum').system.graph.instructions)
    assert all(key in shown.out for key in ('name: mine', f'dynamics: {count} instructions'))
    assert shown.err == ''
    info.main([str(own_checkpoint), '--system', str(own_checkpoint.with_name('mine.py'))])
    assert capsys.readouterr() == (shown.out, '')


@pytest.mark.parametrize('dynamics', [{}, 5, {'instructions': 'x' * 2000}, [[]]])
def test_info_says_in_one_line_that_a_record_makes_no_sense(dynamics, own_checkpoint, capsys):
    record = read_record(own_checkpoint)
    record['system']['dynamics'] = dynamics
    broken = own_checkpoint.with_name('broken.safetensors')
    broken.write_bytes(own_checkpoint.read_bytes())
    write_record(broken, record)
    with suppress(SystemExit):
        info.main([str(broken)])
    lines = capsys.readouterr().err.splitlines()
    assert lines and all(line.startswith('trc info: ') and len(line) < 800 for line in lines)


def test_info_refuses_another_plant(own_checkpoint, capsys):
    with pytest.raises(SystemExit):
        info.main([str(own_checkpoint), '--system', 'pendulum'])
    shown = capsys.readouterr()
    assert "made for the system 'mine', not for 'pendulum'" in shown.err and not shown.out


@pytest.mark.parametrize('verb', ['info', 'warm-up', 'export', 'evaluate', 'finetune'])
def test_a_plant_that_moves_otherwise_is_refused_unless_forced(
    verb, own_checkpoint, capsys, monkeypatch
):
    monkeypatch.chdir(own_checkpoint.parent)
    file = own_checkpoint.with_name('mine.py')
    text = file.read_text()
    file.write_text(re.sub(r'dt=[0-9.]+', 'dt=0.04', text))
    loaded = []
    for module in (controller, info, export, finetuner):
        load = module.load_checkpoint

        def load_only(*arguments, load=load, **named):
            loaded.append(load(*arguments, **named).system.dt)
            raise ValueError('enough')

        monkeypatch.setattr(module, 'load_checkpoint', load_only)
    named = [] if verb in ('info', 'warm-up') else ['--checkpoint']
    arguments = [verb, *named, str(own_checkpoint), '--system', str(file)]
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert "in the file but 0.04 in 'mine' here" in capsys.readouterr().err and not loaded
    force = ['--force', 'true'] if verb == 'finetune' else ['--force']
    with pytest.raises(SystemExit):
        cli.main([*arguments, *force])
    assert 'enough' in capsys.readouterr().err and loaded == [0.04]


def test_evaluate_puts_the_baselines_beside_the_controller(tmp_path):
    output = tmp_path / 'figures.json'
    shown = run('evaluate', '--states', '5', '--output', str(output))
    assert shown.returncode == 0, shown.stderr
    figures = json.loads(output.read_text())
    assert {'clipped LQR', 'LQR + 1 iLQR sweep', 'trc, K = 3'} <= set(figures)
    assert 1 - 1e-6 <= figures['trc, K = 3']['mean'] <= figures['clipped LQR']['mean']
    assert 'clipped LQR' in shown.stdout


def test_a_reader_who_has_enough_is_no_mistake():
    command = [sys.executable, '-m', 'trc_core', 'info', 'van_der_pol']
    reading, writing = os.pipe()
    os.close(reading)
    shown = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert shown.stderr == ''


def test_ctrl_c_is_one_line_also_where_compiled_code_has_wrapped_it(capsys):
    wrapped = TypeError('unable to convert')
    wrapped.__cause__ = KeyboardInterrupt()
    with pytest.raises(SystemExit) as stopped, report_errors('trc faults'):
        raise wrapped
    assert stopped.value.code == 130
    assert capsys.readouterr().err == 'trc faults: interrupted\n'
    with pytest.raises(TypeError), report_errors('trc faults'):
        raise TypeError('a mistake of ours')


def test_a_request_to_end_is_an_interruption(capsys):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped, report_errors('trc faults'):
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopped.value.code == 130
    assert capsys.readouterr().err == 'trc faults: interrupted\n'
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def plant_file(tmp_path):
    """A plant that was never compiled, without a checkpoint; its load swings too far for LQR."""
    path = tmp_path / 'my_robot.py'
    far = CRANE.replace('x0_box=[2.0, 0.6', 'x0_box=[2.0, 3.0')
    path.write_text(far.replace('9.81', f'{9.81 + 1e-9 * secrets.randbelow(10**6):.9f}'))
    return path


def test_warm_up_compiles_a_plant_that_has_no_checkpoint_and_plans(plant_file):
    first, second = run('warm-up', plant_file), run('warm-up', plant_file)
    assert first.returncode == second.returncode == 0, first.stderr
    assert first.stderr == 'compiling my_crane (once) ...\n' and second.stderr == ''
    shown = re.search(
        rf'^{re.escape(str(plant_file))}: machine code in [\d.]+ s, kernels in [\d.]+ s; first '
        r'plan of cost ([\d.]+) in [\d.]+ ms \(clipped LQR: ([\d.]+)\)$',
        first.stdout,
        re.MULTILINE,
    )
    system = get_system(str(plant_file))
    problem = system, system.x0_box / 2, np.zeros(4)
    assert float(shown[1]) == pytest.approx(nlp.solve(*problem).cost, rel=1e-5)
    assert float(shown[2]) == pytest.approx(lqr.solve(*problem).cost, rel=1e-5)
    assert float(shown[1]) < 0.999 * float(shown[2])


def test_warm_up_takes_names_of_plants_and_of_checkpoints(capsys):
    warm_up.main(['van_der_pol', 'double_integrator_2_axes'])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith('van_der_pol: ') and lines[1].endswith(' ms a plan')
    assert lines[2].startswith('double_integrator_2_axes: machine code in ')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (None, "no system file '"),
        (CRANE.replace('cos(angle)', 'cos(angel)'), "NameError: name 'angel' is not defined"),
        (CRANE.replace('[v, w,', '[1e200 * v, w,'), "'my_crane': J of the plan from"),
    ],
    ids=['no file', 'a mistake', 'no finite cost'],
)
def test_warm_up_refuses_a_plant_that_cannot_be_flown(text, message, tmp_path):
    path = tmp_path / 'my_robot.py'
    if text is not None:
        path.write_text(text)
    failed = run('warm-up', path)
    *before, error = failed.stderr.splitlines()
    assert failed.returncode == 1
    assert error.startswith('trc warm-up: ') and message in error
    assert before in ([], ['compiling my_crane (once) ...'])
