"""What a training ends with: a short table, a sentence, and figures in the checkpoint."""

import numpy as np
import pytest

from trc_core import Controller
from trc_core.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from trc_core.commands import train as command
from trc_core.evaluation.conclusion import METRIC, best_of_all, conclude
from trc_core.evaluation.problems import fresh_problems
from trc_core.numerics.plan import Plan
from trc_core.solvers import nlp
from trc_core.systems import SYSTEMS

RUN = ['--system', 'double_integrator', '--latent_dim', '8', '--hidden_dim', '8', '--steps', '2']
RUN += ['--validation_states', '4', '--logger', 'none']


def plan(merit, cost):
    return Plan(np.zeros((1, 1)), np.zeros((2, 1)), cost, '', merit=merit)


def test_the_best_of_all_rows_is_by_the_merit_and_never_by_what_is_no_number():
    rows = {
        'a': [plan(3.0, 1.0), plan(np.nan, 0.0), plan(np.inf, 0.0)],
        'b': [plan(2.0, 2.0), plan(5.0, 4.0), plan(np.nan, np.nan)],
    }
    found = best_of_all(rows)
    assert found.merit[:2].tolist() == [2.0, 5.0] and found.cost[:2].tolist() == [2.0, 4.0]
    assert found.solved.tolist() == [True, True, False]


def test_the_table_agrees_with_ipopt_and_says_what_follows_from_it():
    system = SYSTEMS['van_der_pol']
    found = conclude(Controller.load('van_der_pol'), states=6)
    scores = found.table.scores
    x0, goal = fresh_problems(system, 6)
    optimum = [nlp.solve(system, a, b).cost for a, b in zip(x0, goal, strict=True)]
    ours = [Controller.classical(system).plan(a, b).cost for a, b in zip(x0, goal, strict=True)]
    ratio = np.mean(np.divide(ours, optimum))
    assert scores['classical controller'].mean == pytest.approx(ratio, abs=1e-6)
    assert all(one.mean >= 1.0 for one in scores.values())
    assert scores['clipped LQR'].mean > 1.0005
    assert found.sentence.startswith('no network is needed here: ')
    assert 'against the best plan of all rows (one is of 12 starts) on 6 states' in str(found)


def test_no_problem_is_begun_when_the_time_is_over(tmp_path):
    found = conclude(Controller.load('double_integrator'), states=6, seconds=0.0)
    assert found.table.states == 1
    path = save_checkpoint(
        tmp_path / 'one.safetensors', load_checkpoint(find_checkpoint('double_integrator'))
    )
    before = load_checkpoint(path)
    found.keep_in(path)
    after = load_checkpoint(path)
    assert after.metrics[METRIC]['verdict'] == found.sentence
    assert set(before.metrics) == set(after.metrics) - {METRIC}
    np.testing.assert_equal(dict(after.tensors), dict(before.tensors))


@pytest.mark.long
def test_who_interrupts_the_table_keeps_the_controller_and_gets_the_table_later(
    tmp_path, capsys, monkeypatch
):
    def interrupted(controller):
        raise KeyboardInterrupt

    run, path = [*RUN, '--output_dir', str(tmp_path)], tmp_path / 'best_model.safetensors'
    monkeypatch.setattr(command, 'conclude', interrupted)
    monkeypatch.setattr('trc_core.training.fitting.SAVE_EVERY', 1)  # the run can be resumed
    with pytest.raises(SystemExit) as stop:
        command.main(run)
    assert stop.value.code == 130
    assert f'the controller is in {path}' in capsys.readouterr().err
    assert np.isfinite(Controller.load(path).plan([1.0, 0.0], [0.0, 0.0]).cost)
    monkeypatch.setattr(command, 'conclude', lambda controller: conclude(controller, states=2))
    command.main([*run, '--resume', 'true'])
    shown = capsys.readouterr().out
    assert 'clipped LQR' in shown and 'network' in shown.splitlines()[-1]
    kept = load_checkpoint(path).metrics[METRIC]
    assert kept['verdict'] == shown.splitlines()[-1] and kept['states'] == 2
