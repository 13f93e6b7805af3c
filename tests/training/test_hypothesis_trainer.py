"""Imitation with several hypotheses: its metric of plans, and runs that learn and resume."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from trc_core import Controller
from trc_core.checkpoint import load_checkpoint
from trc_core.numerics.batch import BatchRollout
from trc_core.numerics.cost import constant_reference, trajectory_cost
from trc_core.numerics.representation import Coordinates
from trc_core.solvers.labels import Labels
from trc_core.systems import SYSTEMS
from trc_core.training import hypothesis_trainer
from trc_core.training.expansion import local_forms
from trc_core.training.losses import hypothesis_loss, local_distance

every_system = pytest.mark.parametrize('system', SYSTEMS.values(), ids=lambda s: s.name)


class Optima:
    """A few local optima of a system, their quadratic forms, and what becomes of other plans."""

    def __init__(self, system):
        self.system, numbers = system, Coordinates('gated').numbers(system)
        self.batch, self.L_inverse = BatchRollout([system], [numbers.law]), numbers.L_inverse
        x0, goal = system.sample(np.random.default_rng(3), 12)
        r = constant_reference(goal, system.horizon)
        start = self.batch.simulate(np.zeros((12, system.horizon, system.n_u)), x0, r)
        plan = self.batch.sweep(start.states, start.controls, r, 1000)
        slope = np.einsum('tij,btj->bti', self.L_inverse, plan.gradient)
        rows = np.flatnonzero(np.square(slope).sum((1, 2)) < 1e-6 * plan.cost**2)[:6]
        assert len(rows) >= 3
        box, parameters = np.ones(12, dtype=bool), np.tile(system.p, (12, 1))
        arrays = x0, goal, plan.states, plan.controls, plan.cost, box, parameters
        self.labels = Labels(*(np.ascontiguousarray(a[rows]) for a in arrays))
        self.M, self.held = local_forms(system, numbers, np.ones(len(rows)), self.labels)
        self.v = plan.v[rows]

    def fly(self, v):
        r = constant_reference(self.labels.goal, self.system.horizon)
        return self.batch.simulate(v, self.labels.x0, r)

    def steps(self, o):
        """Physical changes of v for dimensionless o (B, T, n_u)."""
        return np.einsum('tji,btj->bti', self.L_inverse, o)

    def predicted(self, o):
        """(J - J*) / J* by the quadratic form."""
        return np.square(np.einsum('bij,bj->bi', self.M, o.reshape(len(o), -1))).sum(1)

    def deep(self):
        """v with what is on a bound far beyond it, so that no small change lifts it off."""
        return self.v + self.steps(self.held)


@pytest.fixture(scope='module')
def optima():
    return {name: Optima(system) for name, system in SYSTEMS.items()}


def gauss_newton(system, forth, back, width):
    """Sum of dx' Q dx + du' R du + dx_T' Q_f dx_T of a difference quotient of trajectories."""
    dx, du = ((a - b) / width for a, b in ((forth.states, back.states),
                                           (forth.controls, back.controls)))  # fmt: skip
    return trajectory_cost(system, dx, du + system.u_trim, np.zeros_like(dx))


@every_system
def test_the_form_is_the_gauss_newton_hessian_of_the_rollout(system, optima):
    it, h = optima[system.name], 1e-6
    o = np.random.default_rng(1).normal(size=it.v.shape) * (it.held == 0)
    forth, back = it.fly(it.deep() + h * it.steps(o)), it.fly(it.deep() - h * it.steps(o))
    truth = gauss_newton(system, forth, back, 2 * h) / it.labels.cost
    # M is in half precision: its entries are rounded, and those of a row may cancel in M o
    added = np.linalg.norm(it.M.astype(float) * o.reshape(len(o), 1, -1), axis=(1, 2))
    rounding = 0.5 * float(np.finfo(it.M.dtype).eps) * added
    assert np.all(np.abs(np.sqrt(it.predicted(o)) - np.sqrt(truth)) <= rounding)


@every_system
def test_controls_on_a_bound_are_held_and_keep_the_column_of_a_step_inside(system, optima):
    it, h = optima[system.name], 1e-6
    u = it.labels.controls
    bound = np.where(it.held > 0, system.u_max, system.u_min)
    assert np.all(np.abs(u - bound)[it.held != 0] <= 1e-6)
    for b, t, i in np.argwhere(it.held)[::40]:
        o = np.zeros_like(it.v)
        o[b, t, i] = -it.held[b, t, i]
        base = it.deep()
        base[b, t, i] = it.v[b, t, i]
        forth, back = it.fly(base + h * it.steps(o)), it.fly(base)
        truth = gauss_newton(system, forth, back, h)[b] / it.labels.cost[b]
        assert it.predicted(o)[b] == pytest.approx(truth, rel=1e-3)


@every_system
def test_the_form_predicts_the_loss_of_a_disturbed_optimum(system, optima):
    it = optima[system.name]
    o = 3e-3 * np.random.default_rng(2).normal(size=it.v.shape) * (it.held == 0)
    lost = it.fly(it.deep() + it.steps(o)).cost / it.labels.cost - 1
    ratio = np.median(it.predicted(o) / lost)
    linear = system.name == 'double_integrator'
    assert ratio == pytest.approx(1, abs=0.02 if linear else 0.5)


def test_distance_is_the_predicted_loss_and_forgets_what_bounds_undo():
    target, held = torch.zeros(1, 2, 1), torch.tensor([[[1.0], [0.0]]])
    form = torch.tensor([[[2.0, 0.0], [1.0, 3.0]]])
    plans = torch.tensor([[[[5.0], [1.0]], [[-1.0], [1.0]]]])  # beyond the bound, and inside
    predicted, distance = local_distance(plans, target, form, held)
    torch.testing.assert_close(predicted, torch.tensor([[9.0, 8.0]]))
    torch.testing.assert_close(distance, torch.tensor([[0.5, 1.0]]))


def test_the_loss_is_that_of_the_nearest_hypothesis_and_a_little_of_all():
    distances = torch.tensor([[1.0, 3.0], [4.0, 2.0]])
    assert hypothesis_loss(distances, 0.0) == 1.5
    assert hypothesis_loss(distances, 0.5) == pytest.approx(0.5 * 1.5 + 0.5 * 2.5)


TINY = ['--labels', '100', '--validation_states', '24', '--plans', '3', '--H_cycles', '2']
TINY += ['--latent_dim', '16', '--hidden_dim', '16', '--batch_size', '32', '--warmup_steps', '5']
TINY += ['--first_steps', '60', '--joint_steps', '40', '--validate_every', '50']


def run(output, *flags):
    hypothesis_trainer.main(['--system', 'pendulum', '--output_dir', str(output), *TINY, *flags])


def logged(output, key):
    with open(output / 'csv' / 'metrics.csv') as file:
        return [float(row[key]) for row in csv.DictReader(file) if row.get(key)]


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    output = tmp_path_factory.mktemp('runs') / 'finished'
    run(output)
    return output


def test_a_run_lowers_its_loss_and_leaves_a_flyable_checkpoint(finished):
    nearest = logged(finished, 'train/nearest')
    assert nearest[-1] < 0.5 * nearest[0]
    assert logged(finished, 'val/score')[-1] < 0.5
    best = load_checkpoint(finished / 'best_model.safetensors')
    assert best.metrics['cost_ratio_median'] >= 1 - 1e-6
    assert best.training['command'].startswith('python -m trc_core.training.hypothesis_trainer')
    controller = Controller.load(finished / 'last_model.safetensors', backend='numpy')
    candidates = controller.plan([2, 0], [0, 0]).candidates
    assert {name for name in candidates if name.startswith('network')} == {
        'network',
        'network 2',
        'network 3',
    }


@pytest.mark.long
def test_a_resumed_run_is_the_run_that_was_interrupted(finished, tmp_path, monkeypatch):
    output, training = tmp_path / 'run', hypothesis_trainer.HypothesisTraining
    step = training.training_step

    def interrupted(self, batch, batch_idx):
        if self.trainer.global_step == 70:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(training, 'training_step', interrupted)
        with pytest.raises(SystemExit):
            run(output)
    monkeypatch.delattr(hypothesis_trainer, 'library_labels')  # labels are made once
    run(output, '--resume', 'true')
    models = [load_checkpoint(path / 'last_model.safetensors') for path in (finished, output)]
    for name, weights in models[0].tensors.items():
        np.testing.assert_array_equal(weights, models[1].tensors[name], err_msg=name)


def test_labels_that_a_power_cut_has_damaged_are_made_again(tmp_path, monkeypatch, caplog):
    system, made = SYSTEMS['pendulum'], []

    def labels(system, count, seed, progress):
        made.append(count)
        n, T = count, system.horizon
        numbers = np.zeros((n, 2)), np.zeros((n, 2)), np.ones((n, T + 1, 2)), np.ones((n, T, 1))
        return Labels(*numbers, np.arange(n, dtype=float), np.ones(n, dtype=bool))

    monkeypatch.setattr(hypothesis_trainer, 'library_labels', labels)
    first = hypothesis_trainer.cached_labels(tmp_path, system, 3, 0)
    path = tmp_path / hypothesis_trainer.LABELS_FILE
    whole = path.read_bytes()
    for damaged in (b'', whole[:200], bytes(len(whole)), whole.replace(b'\xf0?', b'\xf1?')):
        path.write_bytes(damaged)
        caplog.clear()
        again = hypothesis_trainer.cached_labels(tmp_path, system, 3, 0)
        np.testing.assert_array_equal(again.controls, first.controls)
        assert path.read_bytes()[:2] == b'PK'
        (notice,) = caplog.messages
        assert notice.startswith(f"'{path}' is damaged")
    hypothesis_trainer.cached_labels(tmp_path, system, 3, 0)
    assert made == [3] * 5  # the whole file is read


def test_labels_of_another_plant_are_not_used(finished):
    digests = {
        system.fingerprint(100, 0)
        for system in (SYSTEMS['pendulum'], SYSTEMS['pendulum'].with_parameters(damping=0.2))
    }
    assert len(digests) == 2
    with np.load(finished / 'labels.npz') as arrays:
        assert str(arrays['digest']) in digests


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--plans', '1'], 'plans must be at least 2'),
        (['--spread', '2'], 'spread must lie in [0, 1]'),
        (['--labels', '60'], 'labels must be at least 3 times validation_states'),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(flags, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run(tmp_path / 'run', *flags)
    assert stop.value.code != 0
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_config_is_accepted(capsys):
    path = Path('params/training/hypotheses.yaml')
    with pytest.raises(SystemExit, match='0'):
        hypothesis_trainer.main(['--config', str(path), '--print_config'])
    shipped, effective = yaml.safe_load(path.read_text()), yaml.safe_load(capsys.readouterr().out)
    assert {key: effective[key] for key in shipped} == shipped
