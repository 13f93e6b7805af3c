"""Backends behind one interface: the same plans, one by one or as a fleet, in any thread."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.random_models import randomised
from trc_core import SYSTEMS, Controller
from trc_core.models import TinyRecursiveControl
from trc_core.models.persistence import save_model
from trc_core.models.plan_representation import for_system
from trc_core.numerics.representation import Coordinates

NAMES = ['double_integrator', 'van_der_pol', 'cartpole', 'cartpole_swingup']


def problems(name, count, seed=11):
    return SYSTEMS[name].sample(np.random.default_rng(seed), count)


@pytest.mark.parametrize('name', NAMES)
def test_a_fleet_is_planned_as_its_members_one_by_one(name):
    controller = Controller.load(name)
    x, goal = problems(name, 20)
    fleet = controller.plan_batch(x, goal)
    for i in range(20):
        one = controller.plan(x[i], goal[i])
        np.testing.assert_array_equal(fleet.controls[i], one.controls)
        np.testing.assert_array_equal(fleet.states[i], one.states)
        assert (fleet.cost[i], fleet.source[i], fleet.cycles[i]) == (
            one.cost,
            one.source,
            one.cycles,
        )
        assert {key: J[i] for key, J in fleet.candidates.items()} == one.candidates
    assert fleet.converged.all()


@pytest.mark.parametrize('threads', [1, 2])
def test_a_fleet_warm_starts_and_polishes_as_its_members(threads):
    controller = Controller.load('quadrotor_2d', cycles=1, num_threads=threads)
    x, goal = problems('quadrotor_2d', 20)
    first = controller.plan_batch(x, goal)
    x = first.states[:, 1] + 0.01
    fleet = controller.plan_batch(x, goal, warm_start=first, polish=1)
    for i in (0, 7, 19):
        alone = controller.plan(x[i], goal[i], controller.plan(*problems_row(i)), polish=1)
        np.testing.assert_array_equal(fleet.controls[i], alone.controls)
    assert (fleet.cost <= np.min(list(fleet.candidates.values()), axis=0)).all()


def test_members_of_a_fleet_go_on_from_plans_of_different_ages():
    controller = Controller.load('quadrotor_2d', cycles=1)
    x, goal = problems('quadrotor_2d', 20)
    first, ages = controller.plan_batch(x, goal), np.linspace(0.0, 0.3, 20)
    fleet = controller.plan_batch(x, goal, warm_start=first, elapsed=ages)
    for i in (0, 7, 19):
        before = controller.plan(*problems_row(i))
        alone = controller.plan(x[i], goal[i], before, elapsed=float(ages[i]))
        np.testing.assert_array_equal(fleet.controls[i], alone.controls)
    for wrong in (ages[:3], np.full(20, np.nan)):
        with pytest.raises(ValueError, match='give finite seconds, one or 20 of them'):
            controller.plan_batch(x, goal, warm_start=first, elapsed=wrong)
    swept = controller.plan_batch(x, goal, polish=1)
    with pytest.raises(ValueError, match='these plans go on all together: give one for all'):
        controller.plan_batch(x, goal, warm_start=swept, elapsed=ages)


def test_a_fleet_without_time_keeps_the_best_of_its_candidates():
    controller = Controller.load('quadrotor_2d')
    x, goal = problems('quadrotor_2d', 20)
    hasty = controller.plan_batch(x, goal, deadline=0.0)
    assert not hasty.cycles.any()
    np.testing.assert_array_equal(hasty.cost, np.min(list(hasty.candidates.values()), axis=0))
    with pytest.raises(ValueError, match='deadline is nan'):
        controller.plan_batch(x, goal, deadline=np.nan)


def problems_row(i):
    x, goal = problems('quadrotor_2d', 20)
    return x[i], goal[i]


def test_one_goal_serves_a_whole_fleet():
    controller = Controller.load('double_integrator')
    x, _ = problems('double_integrator', 5)
    goals = np.tile([1.0, 0.0], (5, 1))
    fleets = [controller.plan_batch(x, goal).controls for goal in ([1.0, 0.0], goals)]
    np.testing.assert_array_equal(*fleets)


def test_a_bad_fleet_is_named():
    controller = Controller.load('van_der_pol')
    x = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r'x has shape \(2,\), expected \(B, 2\)'):
        controller.plan_batch([0.0, 0.0], [0.0, 0.0])
    with pytest.raises(ValueError, match=r'goal has shape \(2, 2\), expected \(3, 2\)'):
        controller.plan_batch(x, np.zeros((2, 2)))
    with pytest.raises(ValueError, match='x is not finite in row 1'):
        controller.plan_batch([[0, 0], [np.nan, 0], [0, 0]], [0, 0])
    with pytest.raises(ValueError, match='warm_start holds 3 plans, expected 2'):
        controller.plan_batch(x[:2], [0, 0], warm_start=controller.plan_batch(x, [0, 0]))
    far = controller.plan_batch([[0, 0], [40, 0], [50, 0]], [0, 0])
    assert far.warnings == (
        'position is far outside the training box around the goal in 2 of 3 rows',
    )


@pytest.mark.parametrize('name', ['van_der_pol', 'van_der_pol_tuned'])
def test_a_past_that_cannot_be_is_named(name):
    controller = Controller.load(name)
    fleet, state = np.zeros((3, 2)), [0.0, 0.0]
    one, three = controller.plan(state, state), controller.plan_batch(fleet, state)
    other = Controller.load('double_integrator').plan(state, state)
    for past, message in (
        ({'warm_start': three}, 'warm_start holds 3 plans, expected 1'),
        ({'warm_start': other}, 'it is no plan of van_der_pol'),
        ({'warm_start': one, 'elapsed': np.nan}, 'elapsed is nan; give seconds'),
        ({'warm_start': one, 'elapsed': np.inf}, 'elapsed is inf; give seconds'),
        ({'warm_start': one, 'issued': [0.0, 0.0]}, r'issued has shape \(2,\), expected \(1,\)'),
        ({'deadline': np.nan}, 'deadline is nan; give seconds'),
    ):
        with pytest.raises(ValueError, match=message):
            controller.plan(state, state, **past)
    for past, message in (
        ({'warm_start': one}, 'warm_start holds 1 plans, expected 3'),
        ({'warm_start': three, 'issued': np.zeros((2, 1))}, 'issued has 2 rows, expected 3'),
    ):
        with pytest.raises(ValueError, match=message):
            controller.plan_batch(fleet, state, **past)


@pytest.mark.parametrize('name', NAMES)
def test_pytorch_plans_what_the_kernels_plan(name):
    x, goal = problems(name, 12)
    kernels, torch = (Controller.load(name, backend, tolerance=0.0) for backend in BOTH)
    ours, theirs = kernels.plan_batch(x, goal), torch.plan_batch(x, goal)
    np.testing.assert_allclose(theirs.cost, ours.cost, rtol=1e-5)
    assert list(theirs.candidates) == list(ours.candidates)
    for label in ours.candidates:
        np.testing.assert_allclose(theirs.candidates[label], ours.candidates[label], rtol=1e-3)
    np.testing.assert_array_equal(theirs.cycles, ours.cycles)
    warm = [c.plan(ours.states[0, 1], goal[0], _row(ours, 0)) for c in (kernels, torch)]
    assert warm[0].cost == pytest.approx(warm[1].cost, rel=1e-5)
    assert warm[0].candidates['previous'] == pytest.approx(warm[1].candidates['previous'])


BOTH = 'numba', 'torch'


def _row(fleet, i):
    from trc_core import Plan

    return Plan(fleet.controls[i], fleet.states[i], float(fleet.cost[i]), 'row')


def test_pytorch_obeys_deadlines_and_stops_early():
    controller = Controller.load('van_der_pol', 'torch')
    x, goal = [1.5, -0.5], [0.0, 0.0]
    assert controller.plan(x, goal, deadline=0.0).cycles == 0
    assert controller.plan(x, goal, deadline=10.0).cycles == controller.cycles
    assert controller.plan([1e-3, 0.0], goal).cycles < controller.cycles


def test_auto_says_why_it_took_a_backend():
    assert Controller.load('van_der_pol').reason == 'the fastest on a CPU'
    assert Controller.load('van_der_pol', 'numpy').reason == 'as asked'


@pytest.mark.parametrize(
    'variant',
    [
        {'tokens': 'horizon', 'num_heads': 2},
        {'norm': 'rms'},
        {'norm_position': 'pre'},
        {'activation': 'silu'},
        {'use_residual_decoder': False},
    ],
)
def test_models_that_kernels_do_not_fly_fly_with_pytorch(variant, tmp_path):
    system = SYSTEMS['double_integrator']
    representation = for_system(system, Coordinates('stabilised'))
    sizes = {'latent_dim': 8, 'hidden_dim': 8, 'num_heads': 0, **variant}
    model = randomised(TinyRecursiveControl.for_system(system, representation, **sizes))
    path = save_model(tmp_path / 'variant.safetensors', model, system)
    controller = Controller.load(path)
    assert controller.backend == 'torch'
    for name, value in variant.items():
        assert f'{name}={value!r}' in controller.reason
    plan = controller.plan([1.0, 0.0], [0.0, 0.0])
    assert plan.cost <= min(plan.candidates.values())
    for backend in ('numba', 'numpy'):
        with pytest.raises(ValueError, match="take backend='torch'"):
            Controller.load(path, backend)


@pytest.mark.parametrize('name', sorted(SYSTEMS))
def test_a_gpu_plans_as_the_cpu_does(name):
    torch = pytest.importorskip('torch')
    if not torch.cuda.is_available():
        pytest.skip('PyTorch finds no GPU')
    on_gpu, on_cpu = Controller.load(name, device='cuda'), Controller.load(name, 'torch')
    x, goal = on_cpu.system.sample(np.random.default_rng(7), 32)
    costs = [controller.plan_batch(x, goal).cost for controller in (on_gpu, on_cpu)]
    np.testing.assert_allclose(*costs, rtol=1e-3)
    warm = on_gpu.plan(x[0], goal[0], warm_start=on_gpu.plan(x[0], goal[0]))
    assert warm.cost <= 1.001 * costs[1][0]


def test_a_gpu_that_is_not_there_is_named():
    torch = pytest.importorskip('torch')
    if torch.cuda.is_available():
        pytest.skip('there is one')
    with pytest.raises(ValueError, match='PyTorch finds no GPU'):
        Controller.load('van_der_pol', device='cuda')
    with pytest.raises(ValueError, match="device 'cuda' is not available"):
        Controller.load('van_der_pol', 'numba', device='cuda')


def test_two_controllers_in_two_threads_plan_as_one_after_the_other():
    names = 'van_der_pol', 'quadrotor_2d'

    def flight(name):
        controller = Controller.load(name)
        x, goal = problems(name, 60)
        return np.stack([controller.plan(a, b).controls for a, b in zip(x, goal, strict=True)])

    alone = [flight(name) for name in names]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(flight, names))
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)
