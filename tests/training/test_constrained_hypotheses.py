"""Imitation under constraints: forms of the Lagrangian, and networks that only propose."""

import numpy as np
import pytest
import torch

from trc_core import Controller
from trc_core.checkpoint import load_checkpoint
from trc_core.commands import train
from trc_core.models.plan_representation import for_system
from trc_core.models.simulation import SystemDynamics
from trc_core.numerics.cost import trajectory_cost
from trc_core.numerics.representation import Coordinates
from trc_core.solvers.library import library_labels
from trc_core.solvers.problem import Problem
from trc_core.systems import get_system
from trc_core.training import hypothesis_trainer
from trc_core.training.expansion import local_forms, plans_of

pytestmark = pytest.mark.long  # their kernels compile for half a minute

CAR = get_system('bicycle_circles')
STEP = 1e-6
TINY = ['--labels', '72', '--validation_states', '24', '--plans', '3', '--set_dim', '8']
TINY += ['--latent_dim', '16', '--hidden_dim', '16', '--batch_size', '32', '--warmup_steps', '5']
TINY += ['--first_steps', '60', '--validate_every', '60', '--logger', 'csv', '--seed', '1']


class Optima:
    """Optimal plans among circles, their quadratic forms, and what becomes of other plans."""

    def __init__(self):
        self.labels = labels = library_labels(CAR, 8, seed=3)
        self.numbers = Coordinates('open_loop').numbers(CAR)
        B = len(labels.cost)
        self.M, self.held = local_forms(CAR, self.numbers, np.ones(B), labels)
        self.problems = [
            Problem.of(CAR, x0, goal, dict(zip(CAR.parameters, p, strict=True)))
            for x0, goal, p in zip(labels.x0, labels.goal, labels.parameters, strict=True)
        ]

    def constraints(self, b, x, u):
        """h (T, n_h) behind the start."""
        labels, steps = self.labels, np.arange(1, CAR.horizon + 1)
        held = np.concatenate([u[1:], u[-1:]])
        found = CAR.task.constraints.evaluate(
            x[1:], held, labels.goal[b], list(labels.parameters[b]), steps * CAR.dt
        )
        return np.stack(np.broadcast_arrays(*found), 1)

    def flown(self, b, o, width):
        """States, controls and h of plan b, changed by `width` times o (T, n_u)."""
        u = self.labels.controls[b] + width * np.einsum('tji,tj->ti', self.numbers.L_inverse, o)
        x, _ = self.problems[b].replay(u)
        return x, u, self.constraints(b, x, u)


@pytest.fixture(scope='module')
def optima():
    return Optima()


def test_the_form_is_the_gauss_newton_hessian_of_the_lagrangian(optima):
    random, pushed = np.random.default_rng(1), 0
    for b, cost in enumerate(optima.labels.cost):
        labels = optima.labels
        o = 0.05 * random.normal(size=labels.controls[b].shape) * (optima.held[b] == 0)
        forth, back = optima.flown(b, o, STEP), optima.flown(b, o, -STEP)
        dx, du, dh = ((one - other) / (2 * STEP) for one, other in zip(forth, back, strict=True))
        curved = trajectory_cost(CAR, dx[None], du[None], np.zeros((1, *dx.shape)))[0]
        h = optima.flown(b, o, 0.0)[2]
        active = labels.multipliers[b][1:] + labels.penalties[b] * h > 0.0
        pushed += active.any()
        truth = curved + 0.5 * np.sum(active * labels.penalties[b] * dh**2)
        predicted = np.square(optima.M[b].astype(float) @ o.ravel()).sum()
        assert predicted == pytest.approx(truth / cost, rel=2e-3)
    assert pushed >= 3


def test_plans_of_labels_reproduce_their_controls(optima):
    for kind in ('open_loop', 'gated'):
        law = Coordinates(kind).numbers(CAR).law
        v = plans_of(CAR, law, optima.labels)
        for b, problem in enumerate(optima.problems):
            _, controls, _ = problem.fly(law, v[b])
            np.testing.assert_allclose(controls, optima.labels.controls[b], atol=1e-6)


def test_forms_are_mirrored_with_the_problems_that_a_network_sees(optima):
    dynamics = SystemDynamics(for_system(CAR, Coordinates('canonical', ())), CAR)
    labelled = hypothesis_trainer.LabelledProblems.of(optima.labels, dynamics)
    units = dynamics.units(labelled.current_state - labelled.target_state, labelled.target_state)
    o = torch.from_numpy(np.random.default_rng(4).normal(size=optima.labels.controls.shape))
    seen = units.mirrored(o)
    assert (seen[..., 1] != o[..., 1]).any() and (seen[..., 0] == o[..., 0]).all()
    found = torch.bmm(labelled.form.double(), seen.flatten(1)[..., None])
    truth = torch.bmm(torch.from_numpy(optima.M).double(), o.flatten(1)[..., None])
    torch.testing.assert_close(found, truth)


def test_a_network_that_proposes_is_trained_and_flies(tmp_path):
    flags = ['--system', 'bicycle_circles', '--output_dir', str(tmp_path / 'run')]
    train.main([*flags, *TINY, '--verdict', 'false'])
    best = load_checkpoint(tmp_path / 'run' / 'best_model.safetensors')
    assert best.only_proposes and best.coordinates.kind == 'canonical'
    assert 0.0 <= best.metrics['merit_wrong_share'] < 0.9
    with np.load(tmp_path / 'run' / 'labels.npz') as labels:
        p = dict(zip(CAR.parameters, labels['parameters'][0], strict=True))
        plan = Controller(best).plan(labels['x0'][0], labels['goal'][0], parameters=p)
    assert plan.merit <= min(plan.candidates.values())
    rows = (tmp_path / 'run' / 'csv' / 'metrics.csv').read_text().splitlines()
    column = rows[0].split(',').index('train/nearest')
    nearest = [float(row.split(',')[column]) for row in rows[1:] if row.split(',')[column]]
    assert nearest[-1] < 0.9 * nearest[0]


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--H_cycles', '2', '--joint_steps', '5'], 'cycles do not learn under constraints'),
        (['--joint_steps', '5'], 'without cycles (H_cycles 0) joint_steps must be 0'),
    ],
)
def test_cycles_that_cannot_learn_are_refused(flags, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train.main(['--system', 'bicycle_circles', '--output_dir', str(tmp_path / 'run'), *flags])
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'run').exists()
