"""Problems in their canonical frame: proposals turn, shift and mirror with them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.random_models import randomised
from trc_core import SYSTEMS, Controller
from trc_core.checkpoint import load_checkpoint, save_checkpoint
from trc_core.models import TinyRecursiveControl
from trc_core.models.persistence import save_model
from trc_core.models.plan_representation import for_system
from trc_core.numerics.constants import PRESENT
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.representation import Coordinates
from trc_core.planner.backend import KernelBackend
from trc_core.planner.onnx.network_graph import NetworkGraph
from trc_core.planner.problems import Problems
from trc_core.problem.symmetry import Symmetry, planar_symmetry
from trc_core.problem.system import FAR
from trc_core.solvers.problem import Problem
from trc_core.systems import get_system
from trc_core.systems.draws import drawn_problem

CAR = get_system('bicycle_circles')
CHOICES = {
    'use_two_level': True,
    'H_cycles': 0,
    'latent_dim': 16,
    'hidden_dim': 12,
    'num_heads': 0,
    'plans': 3,
    'first_cycles': 2,
    'proposals': 'latents',
    'set_dim': 8,
}


def model_for(system, **changed):
    torch.manual_seed(0)
    plans = for_system(system, Coordinates('canonical', ladder=()))
    return randomised(TinyRecursiveControl.for_system(system, plans, **{**CHOICES, **changed}))


@pytest.fixture(scope='module', params=[0, 2], ids=['alone', 'related'])
def model(request):
    return model_for(CAR, relations=request.param)


def problem(seed, moving=True):
    """A start, a goal and all parameters of a car among moving circles."""
    rng = np.random.default_rng(seed)
    x0, goal, changed = drawn_problem(CAR, rng)
    for k in range(1, 7):
        if f'x{k}' in changed and moving:
            changed[f'vx{k}'], changed[f'vy{k}'] = rng.uniform(-0.15, 0.15, 2)
    return x0, goal, CAR.parameter_rows(changed)


def plans_of(model, x0, goal, p):
    """The first plans v (M, T, n_u) of one problem."""
    rows = (torch.from_numpy(np.asarray(a, dtype=np.float64))[None] for a in (x0, goal, p))
    x0, goal, p = rows
    seen = model.problem(x0, goal, parameters=p)
    plans = model.first_plans(seen, model.initial_latents(seen))
    return torch.cat(plans).detach().numpy()


def moved(x0, goal, p, angle, shift, mirrored):
    """The problem turned, shifted and perhaps mirrored; written out for the car."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    side = -1.0 if mirrored else 1.0

    def state(x):
        place = turn @ [x[0], side * x[1]] + shift
        return np.array([*place, side * x[2] + angle, x[3], side * x[4]])

    circles = p.reshape(6, 5).copy()
    circles[:, 1] *= side
    circles[:, 4] *= side
    circles[:, :2] = circles[:, :2] @ turn.T + shift
    circles[:, 3:] = circles[:, 3:] @ turn.T
    return state(x0), state(goal), circles.ravel()


def test_the_symmetries_of_a_car_among_circles_are_found():
    assert planar_symmetry(CAR) == Symmetry(0, 1, 2, (1, -1, -1, 1, -1, 1, -1))
    assert PRESENT == FAR / 2


@pytest.mark.parametrize(
    ('changed', 'expected'),
    [
        ({'Q': [1.0, 2.0, 0.1, 0.1, 0.1]}, Symmetry(0, 1)),  # north is dearer than east
        ({'x_max': [None, None, None, 2.0, 0.3]}, Symmetry(0, 1, 2)),  # steers less to the left
        ({'u_max': [2.0, 2.5]}, Symmetry(0, 1, 2)),
        ({'x_max': [None, 3.0, None, 2.0, 0.5]}, Symmetry()),  # a wall
    ],
    ids=['cost', 'limits', 'bounds', 'wall'],
)
def test_a_symmetry_that_a_problem_lacks_is_not_claimed(changed, expected):
    assert planar_symmetry(replace(CAR, **changed)) == expected


def test_other_plants_are_read_as_they_are():
    assert planar_symmetry(SYSTEMS['cartpole']) == Symmetry()
    numbers = Coordinates('canonical').numbers(SYSTEMS['cartpole'])
    assert numbers.scene.problem_dim(len(numbers.angles)) == 2 * 4 + 1


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('mirrored', [False, True])
def test_a_problem_that_is_moved_has_the_plans_that_it_had(model, seed, mirrored):
    x0, goal, p = problem(seed)
    signs = [1.0, -1.0] if mirrored else [1.0, 1.0]
    expected = plans_of(model, x0, goal, p) * signs
    for angle, shift in ((0.0, [0.0, 0.0]), (2.1, [3.0, -40.0])):
        found = plans_of(model, *moved(x0, goal, p, angle, shift, mirrored))
        np.testing.assert_allclose(found, expected, atol=2e-5)
    other = plans_of(model, x0, goal + np.array([0.0, 0.3, 0.0, 0.0, 0.0]), p)
    assert np.abs(other - expected).max() > 1e-3  # else nothing would have been compared


def test_circles_are_a_set(model):
    x0, goal, p = problem(1)
    expected, circles = plans_of(model, x0, goal, p), p.reshape(6, 5)
    for order in ([5, 4, 3, 2, 1, 0], [1, 2, 0, 5, 3, 4]):
        found = plans_of(model, x0, goal, circles[order].ravel())
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(plans_of(model, x0, goal, CAR.p) - expected).max() > 1e-3


def test_rows_that_are_not_used_change_nothing(model):
    x0, goal, p = problem(0)
    circles = p.reshape(6, 5).copy()
    unused = circles[:, 0] >= FAR
    assert 0 < unused.sum() < 6
    expected = plans_of(model, x0, goal, p)
    circles[unused] = [0.0, -FAR, 9.0, 1.0, 1.0]
    np.testing.assert_array_equal(plans_of(model, x0, goal, circles.ravel()), expected)
    assert np.isfinite(plans_of(model, x0, goal, CAR.p)).all()  # none at all


def test_plans_are_finite_where_start_and_goal_and_circle_coincide(model):
    x0, goal, p = problem(1)
    p[:2] = goal[:2] = x0[:2]
    plans = plans_of(model, x0, goal, p)
    assert np.isfinite(plans).all()
    expected = plans_of(model, *moved(x0, goal, p, 0.7, [1.0, 2.0], False))
    np.testing.assert_allclose(plans, expected, atol=2e-5)  # the heading of the start counts


@pytest.mark.parametrize('backend', ['numpy', 'numba'])
def test_proposals_are_those_of_the_pytorch_model(backend, model, tmp_path):
    """Rolled out, in the order of the candidates, with their merits."""
    checkpoint = load_checkpoint(save_model(tmp_path / 'm.safetensors', model, CAR))
    planner = KernelBackend(checkpoint, 'cpu', 1, readable=backend == 'numpy')
    assert planner.candidates == ('network', 'network 2', 'network 3')
    rows = [problem(seed) for seed in (range(1) if backend == 'numpy' else range(8))]
    x0, goal, p = map(np.array, zip(*rows, strict=True))
    problems = Problems(x0, constant_reference(goal, CAR.horizon), p=p)
    plans, merits = planner.propose(problems)
    for b, row in enumerate(rows):
        expected = np.clip(plans_of(model, *row), CAR.u_min, CAR.u_max)
        np.testing.assert_allclose(plans.u[b], expected, atol=2e-5)
        x = row[0]
        for t in range(CAR.horizon):
            x = CAR.step(x, plans.u[b, 0, t])
        np.testing.assert_allclose(plans.x[b, 0, -1], x, atol=1e-9)
    if backend == 'numpy':
        return
    found = planner.best_candidates(problems)
    np.testing.assert_array_equal(found.starts, merits)
    np.testing.assert_array_equal(found.J, merits.min(1))


def test_a_network_that_only_proposes_holds_no_weights_of_cycles(model):
    names = {name.split('.')[0] for name in model.state_dict()}
    expected = {'set_encoder', 'state_encoder', 'recursive_reasoning', 'initial_generator'}
    expected |= {'readout'} if model.config.relations else set()
    assert names == {*expected, 'proposals', 'representation'}
    x0, goal, _ = problem(0)
    states = (torch.from_numpy(a)[None] for a in (x0, goal))
    with pytest.raises(ValueError, match='this network only proposes: pass cycles=0, not 1'):
        model(*states, dynamics_fn=CAR, cycles=1)
    states = (torch.from_numpy(a)[None] for a in (x0, goal))
    with pytest.raises(ValueError, match=r'reads plant parameters: pass parameters=\(B, n_p\)'):
        model.problem(*states)


def test_parameters_that_are_no_obstacles_are_read_when_a_plan_is_made(tmp_path):
    system = replace(SYSTEMS['van_der_pol'], ranges={'mu': (0.5, 1.5)})
    model = model_for(system)
    x0, goal = system.sample(np.random.default_rng(0), 1)
    controller = Controller.load(save_model(tmp_path / 'm.safetensors', model, system))
    assert controller.checkpoint.coordinates.ranges == {'mu': (0.5, 1.5)}
    assert np.isfinite(plans_of(model, x0[0], goal[0], [1e9])).all()
    for mu in (0.6, 1.4):
        plan = controller.plan(x0[0], goal[0], parameters={'mu': mu})
        found = [J for name, J in plan.candidates.items() if name.startswith('network')]
        plans = np.clip(plans_of(model, x0[0], goal[0], [mu]), system.u_min, system.u_max)
        problem = Problem.of(system, x0[0], goal[0], {'mu': mu})
        np.testing.assert_allclose(found, [problem.replay(u)[1] for u in plans], rtol=1e-4)


def test_a_frame_that_is_not_that_of_the_system_is_refused(model, tmp_path):
    path = save_model(tmp_path / 'm.safetensors', model, CAR)
    checkpoint = load_checkpoint(path)
    for name, value in (('places', [0, 1, 7]), ('obstacles', np.full((6, 5), 99))):
        own = checkpoint.tensors[f'representation.{name}']
        damaged = {f'representation.{name}': np.array(value, dtype=own.dtype)}
        wrong = replace(checkpoint, tensors={**checkpoint.tensors, **damaged})
        with pytest.raises(ValueError, match=f'representation.{name} is '):
            load_checkpoint(save_checkpoint(tmp_path / 'wrong.safetensors', wrong))
    with pytest.raises(ValueError, match='a graph holds no model where the representation is'):
        NetworkGraph(None, checkpoint)
