"""Plants of newcomers, whose goals are no single point, in every stage."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.newcomer_plants import PLANTS, arm, motor
from trc_core.checkpoint import load_checkpoint
from trc_core.commands import train as command
from trc_core.data.lqr_generator import generate
from trc_core.data.recipe import Recipe
from trc_core.models.plan_representation import for_system
from trc_core.models.simulation import SystemDynamics, TorchDynamics
from trc_core.numerics.cost import constant_reference, trajectory_cost
from trc_core.numerics.representation import Coordinates
from trc_core.solvers import ilqr, nlp
from trc_core.solvers.receding_horizon import IlqrMpc
from trc_core.training.supervised_trainer import expert_plan

TINY = ['--latent_dim', '8', '--hidden_dim', '8', '--warmup_steps', '1', '--num_heads', '0']
STAGES = {
    'cost': ['--steps', '4', '--validation_states', '4', '--batch_size', '8'],
    'hypotheses': [
        *('--labels', '24', '--validation_states', '8', '--batch_size', '8', '--plans', '2'),
        *('--first_steps', '2', '--joint_steps', '2', '--validate_every', '4'),
        *('--beam', '[3, 1]'),
    ],
    'imitation': ['--epochs', '1'],
}


def problems(system, count, seed=3):
    return system.sample(np.random.default_rng(seed), count)


@pytest.mark.parametrize('kind', ['stabilised', 'open_loop', 'gated'])
@pytest.mark.parametrize('system', [motor, arm], ids=lambda system: system.name)
def test_training_counts_efforts_from_the_control_that_holds_each_goal(system, kind):
    x0, goal = problems(system, 3)
    representation = for_system(system, Coordinates(kind))
    v = torch.from_numpy(np.random.default_rng(0).normal(size=(3, system.horizon, system.n_u)))
    problem = v, torch.from_numpy(x0), torch.from_numpy(goal)
    flown = SystemDynamics(representation, system).simulate(*problem)
    states, controls = flown.states.numpy(), flown.controls.numpy()
    trims = np.stack([system.trims(g) for g in goal])
    assert np.ptp(trims, axis=0).max() > 1.0
    J = [
        sum(e @ system.Q @ e for e in x[:-1] - g)
        + sum(w @ system.R @ w for w in u - trim)
        + (x[-1] - g) @ system.Q_f @ (x[-1] - g)
        for x, u, g, trim in zip(states, controls, goal, trims, strict=True)
    ]
    np.testing.assert_allclose(flown.cost, J, rtol=1e-10)
    again = TorchDynamics(representation, system).simulate(*problem)
    for name in ('v', 'controls', 'states', 'cost', 'gradient'):
        torch.testing.assert_close(getattr(again, name), getattr(flown, name))


def test_a_goal_stands_for_the_reference_that_stays_at_it():
    x0, goal = problems(motor, 2)
    plans = [ilqr.solve(motor, a, b) for a, b in zip(x0, goal, strict=True)]
    states, controls = (np.array([getattr(p, n) for p in plans]) for n in ('states', 'controls'))
    whole = trajectory_cost(motor, states, controls, constant_reference(goal, motor.horizon))
    np.testing.assert_array_equal(trajectory_cost(motor, states, controls, goal[:, None]), whole)
    np.testing.assert_allclose(whole, [plan.cost for plan in plans], rtol=1e-12)
    alone = trajectory_cost(motor, states[0], controls[0], goal[0])
    assert alone == pytest.approx(whole[0], rel=1e-12)


def test_converged_mpc_finds_the_optimum_of_every_goal():
    x0, goal = problems(motor, 3)
    planner = IlqrMpc(motor, 200)
    together = planner.plan_batch(x0, goal)
    for n in range(3):
        best = nlp.solve(motor, x0[n], goal[n]).cost
        assert planner(x0[n], goal[n]).cost == pytest.approx(best, rel=1e-6)
        assert together.cost[n] == pytest.approx(best, rel=1e-6)


def test_an_experts_plan_to_imitate_flies_the_experts_controls():
    x0, goal = problems(motor, 3)
    plans = [nlp.solve(motor, a, b) for a, b in zip(x0, goal, strict=True)]
    dynamics = SystemDynamics(for_system(motor, Coordinates('stabilised')), motor)
    batch = {
        'target_state': torch.from_numpy(goal),
        'states': torch.from_numpy(np.array([plan.states for plan in plans])),
        'controls': torch.from_numpy(np.array([plan.controls for plan in plans])),
    }
    batch['trim'] = dynamics.trims(batch['target_state'])
    v = expert_plan(dynamics.representation, batch)
    flown = dynamics.simulate(v, torch.from_numpy(x0), batch['target_state'])
    torch.testing.assert_close(flown.controls, batch['controls'], atol=1e-8, rtol=0.0)


@pytest.mark.parametrize('stage', STAGES)
def test_every_stage_trains_a_motor_for_any_speed(stage, tmp_path):
    file = tmp_path / 'motor.py'
    file.write_text('from tests.newcomer_plants import motor\n')
    flags = ['--system', str(file), '--stage', stage, '--output_dir', str(tmp_path), *TINY]
    if stage == 'imitation':
        generate(Recipe(motor, 'nlp', 12), tmp_path / 'data', workers=1)
        flags += ['--data_dir', str(tmp_path / 'data')]
    command.main([*flags, *STAGES[stage]])
    checkpoint = load_checkpoint(tmp_path / 'best_model.safetensors')
    assert checkpoint.system.trim is not None


@pytest.mark.parametrize('name', PLANTS)
def test_ipopt_solves_what_newcomers_write(name):
    system = PLANTS[name]
    x0, goal = problems(system, 1)
    short = replace(system, horizon=10)
    assert nlp.solve(short, x0[0], goal[0]).converged
