"""Plants of newcomers, whose goals are no single point, in every stage."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.newcomer_plants import PLANTS, arm, motor
from trc_core.checkpoint import load_checkpoint
from trc_core.command_line import counted, expected_time
from trc_core.commands import evaluate, systems
from trc_core.commands import train as command
from trc_core.data.lqr_generator import generate
from trc_core.data.recipe import Recipe
from trc_core.evaluation import reference
from trc_core.evaluation.baselines import serving
from trc_core.lab.benchmark.torch_dynamics import TorchDynamics
from trc_core.models.plan_representation import for_system
from trc_core.models.simulation import SystemDynamics
from trc_core.numerics.cost import constant_reference, trajectory_cost
from trc_core.numerics.representation import Coordinates
from trc_core.problem.trim import unheld_goal
from trc_core.progress import progress_bar
from trc_core.solvers import ilqr, nlp, qp
from trc_core.solvers.receding_horizon import IlqrMpc
from trc_core.systems import SYSTEMS
from trc_core.training.supervised_trainer import expert_plan

TINY = ['--latent_dim', '8', '--hidden_dim', '8', '--warmup_steps', '1', '--num_heads', '0']
TINY += ['--verdict', 'false']
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


@pytest.mark.parametrize(
    'stage', [pytest.param(s, marks=[pytest.mark.long] * (s == 'hypotheses')) for s in STAGES]
)
def test_every_stage_trains_a_motor_for_any_speed(stage, tmp_path, capfd):
    file = tmp_path / 'motor.py'
    file.write_text('from tests.newcomer_plants import motor\n')
    flags = ['--system', str(file), '--stage', stage, '--output_dir', str(tmp_path), *TINY]
    if stage == 'imitation':
        generate(Recipe(motor, 'nlp', 12), tmp_path / 'data', workers=1)
        flags += ['--data_dir', str(tmp_path / 'data')]
    command.main([*flags, *STAGES[stage]])
    checkpoint = load_checkpoint(tmp_path / 'best_model.safetensors')
    assert checkpoint.system.trim is not None
    printed = capfd.readouterr().out
    assert 'u_trim does not hold' not in printed
    long = {'cost': '', 'hypotheses': ' s for 24 labels on', 'imitation': ' s for 12 samples on 1'}
    assert long[stage] in printed


def test_who_has_not_heard_of_trims_is_told_what_holds_the_goals(tmp_path, capsys):
    file = tmp_path / 'motor.py'
    file.write_text('from tests.newcomer_plants import untrimmed_motor\n')
    systems.main([str(file)])
    printed = capsys.readouterr().out
    assert "u_trim does not hold all goals of 'untrimmed_motor'" in printed
    assert "'current' drifts by" in printed and "u_trim='equilibrium' holds each" in printed
    with pytest.raises(SystemExit):
        command.main(['--system', str(file), '--stage', 'cost', '--steps', '-1'])
    assert unheld_goal(replace(arm, u_trim=None)) is not None


def test_goals_that_are_held_or_that_nothing_holds_better_are_not_spoken_of():
    for system in (*SYSTEMS.values(), motor, arm, PLANTS['quadrotor_3d']):
        assert unheld_goal(system) is None
    moving = replace(SYSTEMS['double_integrator'], goal_box=[1.0, 1.0])
    assert unheld_goal(moving) is None


def test_the_time_of_long_work_is_foretold(capsys):
    assert expected_time(720.0, counted(1000, 'sample'), 2) == (
        'about 12 min for 1,000 samples on 2 cores'
    )
    assert expected_time(0.2, counted(1, 'label'), 1) == 'about 1 s for 1 label on 1 core'
    assert expected_time(3.6e4, 'it', 1).startswith('about 10 h ')

    def slow():
        for n in range(20):
            time.sleep(0.01 if n > 1 else 0.1)
            yield n

    def timed():
        return list(reference._timed(progress_bar(slow(), total=20, leave=False), 20, 2))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, 'WORTH_SAYING', 0.1)
        assert timed() == list(range(20))
        assert 's for 14 more optima on 2 cores' in capsys.readouterr().err
        patch.setattr(reference, 'WORTH_SAYING', 10.0)
        assert timed() == list(range(20))
    assert capsys.readouterr().err == ''


def test_who_cannot_serve_a_plant_is_left_out_before_anything_is_solved(capsys, monkeypatch):
    kept, left_out = serving(arm, ['lqr', 'qp', 'ilqr2', 'nearest'])
    assert kept == ('lqr', 'ilqr2', 'nearest')
    assert list(left_out) == ['qp'] and left_out['qp'].endswith("system 'arm' is not linear")
    assert serving(motor, ['qp', 'lqr'])[1] == {}
    monkeypatch.setattr('trc_core.commands.evaluate.ready', None)  # who compiles, fails
    with pytest.raises(SystemExit):
        evaluate.main(['--checkpoint', 'cartpole', '--baseline', 'qp', '--states', '1'])
    assert "the expert 'qp' serves linear plants" in capsys.readouterr().err
    monkeypatch.undo()
    evaluate.main(['--system', 'van_der_pol', '--expert', 'lqr,qp', '--states', '1'])
    assert "left out: 'qp', which serves linear plants" in capsys.readouterr().out


def test_the_quadratic_program_agrees_with_ipopt_about_every_speed():
    for x0, goal in zip(*problems(motor, 3), strict=True):
        assert qp.solve(motor, x0, goal).cost == pytest.approx(
            nlp.solve(motor, x0, goal).cost, rel=1e-6
        )


@pytest.mark.parametrize('name', PLANTS)
def test_ipopt_solves_what_newcomers_write(name):
    system = PLANTS[name]
    x0, goal = problems(system, 1)
    short = replace(system, horizon=10)
    assert nlp.solve(short, x0[0], goal[0]).converged
