"""Training under constraints: what is learned from, what the sweeps take over, and what flies."""

import csv

import numpy as np
import pytest
import torch

from trc_core import Controller
from trc_core.checkpoint import load_checkpoint
from trc_core.compile.kernels import compiled
from trc_core.models.plan_representation import for_system
from trc_core.numerics.batch import empty_trajectory, memory_of
from trc_core.numerics.cost import constant_reference, trajectory_cost
from trc_core.numerics.ilqr import Outcome, batch_improve
from trc_core.numerics.penalties import typical_penalties
from trc_core.numerics.representation import Coordinates, Representation
from trc_core.planner.feature_kernels import read_problem
from trc_core.planner.problems import Problems
from trc_core.planner.rows import Budget
from trc_core.problem.softened import softened
from trc_core.solvers import ilqr, nlp
from trc_core.solvers.problem import Problem
from trc_core.systems import SYSTEMS
from trc_core.systems.draws import drawn_states
from trc_core.training import cost_trainer
from trc_core.training.cost_trainer import CostTrainingConfig
from trc_core.training.plants import PlantFamily

FILE = '''
from numpy import cos, sin

from trc_core.systems import System


def dynamics(x, u):
    """A link that gravity pulls down, with a motor at its joint."""
    return x[1], u[0] - 4.0 * sin(x[0])


link = System(
    name='link', dynamics=dynamics, state_names=('angle', 'speed'), state_units=('rad', 'rad/s'),
    control_names=('torque',), control_units=('N m',), joints=(), dt=0.05, horizon=20,
    u_min=[-12.0], u_max=[12.0], Q=[10.0, 0.1], R=[0.01], x0_box=[1.2, 0.5], goal_box=[1.2, 0.0],
    u_trim=lambda goal: [4.0 * sin(goal[0])], x_min=[None, -1.5], x_max=[None, 1.5],
    constraints=lambda x, u: {'power': u[0] * x[1] - 12.0}, violation_weight=50.0,
)
'''


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp('systems') / 'link.py'
    file.write_text(FILE)
    return str(file)


@pytest.fixture(scope='module')
def link(path):
    return CostTrainingConfig(system=path).build_system()


def soft_cost(system, states, controls, goal, rho):
    """J + sum rho max(0, h)^2 / 2 by plain NumPy, the start's own violations among it."""
    J = trajectory_cost(system, states, controls, goal[None])
    power, speed = controls[:, 0] * states[:-1, 1] - 12.0, states[:, 1]
    parts = (power, speed - 1.5, -1.5 - speed)
    return J + sum(
        r * (np.maximum(h, 0.0) ** 2).sum() / 2 for r, h in zip(rho, parts, strict=True)
    )


def test_the_soft_twin_costs_what_its_violations_do(link):
    rho = [3.0, 50.0, 70.0]
    assert link.task.constraints.names == ('power', 'speed_max', 'speed_min')
    rng, twin = np.random.default_rng(0), softened(link, rho)
    states, controls = rng.uniform(-3, 3, (21, 2)), rng.uniform(-12, 12, (20, 1))
    goal = np.array([0.4, 0.0])
    found = trajectory_cost(twin, states, controls, goal[None])
    assert found == pytest.approx(soft_cost(link, states, controls, goal, rho), rel=1e-12)
    assert not twin.task.constraints and twin.trim is not None
    with pytest.raises(ValueError, match="'link' has 3 constraints, got 2 penalties"):
        softened(link, rho[:2])


def test_the_gradient_that_is_learned_from_is_that_of_the_soft_cost(link):
    rho = typical_penalties(link)
    representation = for_system(link, Coordinates(effort=2.0, penalties=rho))
    dynamics = PlantFamily(softened(link, rho), representation).dynamics(torch.zeros(1).long())
    x0, goal = (torch.tensor(a)[None] for a in ([-1.0, 0.3], [1.1, 0.0]))
    v = torch.full((1, 20, 1), -1.0, dtype=torch.float64)
    flown = dynamics.simulate(v, x0, goal)
    states, controls = flown.states[0].numpy(), flown.controls[0].numpy()
    assert np.abs(states[:, 1]).max() > 1.6  # it is too fast
    free = np.flatnonzero(np.abs(controls[:, 0]) < 11.9)
    assert flown.cost.item() == pytest.approx(
        soft_cost(link, states, controls, goal[0].numpy(), rho), rel=1e-10
    )
    for t in free[::4]:
        step = torch.zeros_like(v)
        step[0, t, 0] = 1e-5
        up, down = (dynamics.simulate(flown.v + s * step, x0, goal).cost.item() for s in (1, -1))
        assert flown.gradient[0, t, 0].item() == pytest.approx((up - down) / 2e-5, rel=1e-5)


def test_penalties_are_those_that_sweeps_choose(link):
    x0, goal = drawn_states(link, np.random.default_rng(5), 12)
    chosen = []
    for a, b in zip(x0, goal, strict=True):
        memory, plan = memory_of(link, 1), empty_trajectory(link, 1)
        start = ilqr.solve(link, a, b, sweeps=0)
        plan.x[0], plan.u[0] = start.states, start.controls
        problem = Problem.of(link, a, b)
        outcome = Outcome(np.array([start.merit]), np.zeros(1, int), np.zeros(1, bool))
        sweep = compiled(batch_improve)
        sweep(problem.plant, problem.r[None], 1, 0.0, plan, memory, outcome)
        chosen.append(memory.rho[0])
    ratio = np.exp(np.log(chosen).mean(0)) / typical_penalties(link)
    assert np.all((ratio > 0.5) & (ratio < 2.0)), ratio


def test_the_goal_is_read_alike_by_the_model_and_the_kernels(link):
    coordinates = Coordinates(goals=cost_trainer.goals_of_trim(link))
    assert coordinates.goals == ('angle',)
    numbers = coordinates.numbers(link)
    x0, goal = np.array([0.3, 0.2]), np.array([-0.7, 0.0])
    _, read, _ = read_problem(numbers, x0, goal, link.p)
    error = torch.from_numpy(x0 - goal)[None]
    units = for_system(link, coordinates).numbers.units(error)
    told = units.problem(error, torch.ones(1, 1), torch.from_numpy(goal)[None])[0].numpy()
    np.testing.assert_allclose(read, told, rtol=1e-6)
    np.testing.assert_allclose(read[4:6], [np.sin(-0.7), np.cos(-0.7)], rtol=1e-6)


def test_plans_of_version_1_have_the_numbers_and_the_record_of_always():
    coordinates = CostTrainingConfig(system='cartpole', ladder=(1.0, 10.0)).coordinates()
    assert coordinates == Coordinates(ladder=(1.0, 10.0))
    assert set(coordinates.record()) == {'kind', 'ladder', 'ranges'}
    tensors = coordinates.numbers(SYSTEMS['cartpole']).tensors()
    assert 'representation.goals' not in tensors
    assert len(Representation.from_tensors(tensors).goals) == 0
    new = Coordinates(effort=4.0, goals=('angle',), penalties=(2.0, 3.0))
    assert Coordinates.from_record(new.record()) == new
    with pytest.raises(ValueError, match=r"effort is 2\.0 for the representation 'gated'"):
        Coordinates('gated', effort=2.0)


def logged(output, key):
    with open(output / 'csv' / 'metrics.csv') as file:
        return [float(row[key]) for row in csv.DictReader(file) if row.get(key)]


@pytest.fixture(scope='module')
def trained(path, tmp_path_factory):
    output = tmp_path_factory.mktemp('run')
    sizes = ['--latent_dim', '16', '--hidden_dim', '16', '--batch_size', '24']
    steps = ['--steps', '60', '--validate_every', '15', '--warmup_steps', '5']
    flags = [*sizes, *steps, '--system', path, '--effort', '2', '--validation_states', '12']
    cost_trainer.main([*flags, '--output_dir', str(output), '--learning_rate', '0.01'])
    return output


def test_training_lowers_the_cost_under_constraints(trained):
    ratios = logged(trained, 'val/cost_ratio_mean')
    assert 1.0 - 1e-6 < ratios[-1] < 1 + 0.8 * (ratios[0] - 1)


def test_what_was_trained_reaches_the_optimum_and_keeps_the_limits(trained, path):
    system = CostTrainingConfig(system=path).build_system()
    checkpoint = load_checkpoint(trained / 'best_model.safetensors', system)
    assert checkpoint.coordinates.penalties == typical_penalties(system)
    assert checkpoint.coordinates.goals == ('angle',)
    controller = Controller(checkpoint)
    for x0, goal in zip(*drawn_states(system, np.random.default_rng(1), 4), strict=True):
        optimum = nlp.solve(system, x0, goal).cost
        plan, few = controller.plan(x0, goal), controller.plan(x0, goal, polish=1)
        assert plan.cost == pytest.approx(optimum, rel=1e-3) and plan.violation <= 1e-3
        assert plan.merit <= few.merit * (1 + 1e-9)
        for candidate in ('lqr', 'network'):
            assert few.merit <= few.candidates[candidate]


def test_sweeps_begin_with_the_multipliers_of_the_soft_cost(trained, path):
    system = CostTrainingConfig(system=path).build_system()
    checkpoint = load_checkpoint(trained / 'best_model.safetensors', system)
    backend = Controller(checkpoint)._planning.backend
    x0, goal = np.array([[-1.1, 0.4]]), np.array([[1.1, 0.0]])
    r, memory = constant_reference(goal, 20), memory_of(system, 1)
    trim = np.repeat(system.trims(goal)[:, None], 20, 1)
    problems = Problems(x0, r, trim=trim, memory=memory)
    found = backend.plan(problems, Budget(3, np.inf, 0.0, 0.0))
    rho = np.array(checkpoint.coordinates.penalties)
    speed, u = found.x[0, :, 1], found.u[0, :, 0]
    np.testing.assert_allclose(memory.lam[0, 1:, 1], np.clip(rho[1] * (speed[1:] - 1.5), 0, 50))
    np.testing.assert_allclose(
        memory.lam[0, :-1, 0], np.clip(rho[0] * (u * speed[:-1] - 12), 0, 50)
    )
    assert memory.lam[0].max() > 0.0 and not memory.lam[0, 0, 1:].any()
    np.testing.assert_array_equal(memory.rho[0], rho)
    violated = np.maximum(speed[1:] - 1.5, 0).sum() + np.maximum(u * speed[:-1] - 12, 0).sum()
    J = trajectory_cost(system, found.x[0], found.u[0], goal)
    assert found.J[0] == pytest.approx(J + 50.0 * violated, rel=1e-9)
