"""What the model is told of a plan: compiled kernels and plain PyTorch tell the same."""

import numpy as np
import pytest
import torch

from tests.random_models import randomised
from trc_core import SYSTEMS
from trc_core.lab.benchmark.torch_dynamics import TorchDynamics
from trc_core.models import TinyRecursiveControl
from trc_core.models.plan_representation import for_system, open_loop, stabilised
from trc_core.models.simulation import FunctionDynamics, SystemDynamics
from trc_core.numerics.batch import BatchRollout
from trc_core.numerics.cost import constant_reference, trajectory_cost
from trc_core.numerics.representation import REPRESENTATIONS, Coordinates
from trc_core.numerics.rollout import plain
from trc_core.solvers import lqr
from trc_core.training.losses import CostWeights, process_loss

CALM = ['double_integrator', 'van_der_pol', 'cartpole', 'quadrotor_2d', 'pendulum']
PLANTS = ['double_integrator', 'van_der_pol', 'quadrotor_2d']


def problems(system, n, reach=0.2):
    x0, goal = system.sample(np.random.default_rng(3), n)
    return torch.from_numpy(goal + reach * (x0 - goal)), torch.from_numpy(goal)


def plans(system, n, size):
    generator = torch.Generator().manual_seed(0)
    shape = (n, system.horizon, system.n_u)
    return size * torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize('representation', REPRESENTATIONS)
@pytest.mark.parametrize('name', CALM)
def test_compiled_and_eager_agree(name, representation):
    system = SYSTEMS[name]
    numbers = for_system(system, Coordinates(representation))
    x0, goal = problems(system, 5)
    v = plans(system, 5, 0.05 * float((system.u_max - system.u_min).max()))
    if representation == 'open_loop' and name in ('cartpole', 'quadrotor_2d', 'pendulum'):
        v, x0 = v / 100, goal + (x0 - goal) / 100  # unstable plants magnify rounding
    compiled = SystemDynamics(numbers, system).simulate(v, x0, goal)
    eager = TorchDynamics(numbers, system).simulate(v, x0, goal)
    for part, ours, theirs in zip(compiled._fields, compiled, eager, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6, msg=part)
    assert compiled.gradient.abs().max() > 1e-4


def test_the_gradient_is_projected_where_controls_are_on_their_bounds():
    system = SYSTEMS['van_der_pol']
    numbers = stabilised(system)
    x0, goal = problems(system, 20, reach=1.0)
    v = plans(system, 20, 2.0)
    compiled = SystemDynamics(numbers, system).simulate(v, x0, goal)
    eager = TorchDynamics(numbers, system).simulate(v, x0, goal)
    torch.testing.assert_close(compiled.gradient, eager.gradient, rtol=1e-6, atol=1e-6)
    upper = compiled.controls >= 2.0
    assert upper.any()
    assert (compiled.gradient[upper] >= 0).all()


def weight_gradients(model, dynamics, x0, goal):
    """Slopes of the process loss of a first plan and of two steps that nobody guards."""
    problem = model.problem(x0, goal, dynamics=dynamics)
    latents = model.initial_latents(problem)
    history = [dynamics.simulate(model.first_plans(problem, latents)[0], x0, goal)]
    for _ in range(2):
        step, latents = model.propose(problem, history[-1], latents)
        history.append(dynamics.simulate(history[-1].v + step, x0, goal))
    model.zero_grad()
    process_loss(problem.units, history, CostWeights()).backward()
    return {k: w.grad.clone() for k, w in model.named_parameters() if w.grad is not None}


@pytest.mark.parametrize('name', PLANTS)
def test_weights_learn_the_same_from_compiled_and_eager_dynamics(name):
    system = SYSTEMS[name]
    numbers = stabilised(system)
    choices = {'use_two_level': True, 'feedback': ('trajectory', 'gradient'), 'num_heads': 0}
    model = TinyRecursiveControl.for_system(
        system, numbers, latent_dim=8, hidden_dim=8, H_cycles=2, **choices
    )
    model, (x0, goal) = randomised(model).train(), problems(system, 6)
    compiled, eager = (
        weight_gradients(model, kind(numbers, system), x0, goal)
        for kind in (SystemDynamics, TorchDynamics)
    )
    assert compiled.keys() == eager.keys()
    assert sum(g.abs().max() > 1e-6 for g in compiled.values()) > 0.8 * len(compiled)
    for weight, gradient in compiled.items():
        torch.testing.assert_close(gradient, eager[weight], rtol=1e-4, atol=1e-5, msg=weight)


@pytest.mark.parametrize('name', PLANTS)
def test_the_zero_plan_is_the_clipped_lqr_and_reprojection_changes_nothing(name):
    system = SYSTEMS[name]
    dynamics = SystemDynamics(stabilised(system), system)
    x, goal = map(torch.from_numpy, system.sample(np.random.default_rng(1), 8))
    zero = torch.zeros(8, system.horizon, system.n_u, dtype=torch.float64)
    iterate = dynamics.simulate(zero, x, goal)
    for i in range(8):
        expert = lqr.solve(system, x[i].numpy(), goal[i].numpy())
        np.testing.assert_allclose(iterate.controls[i], expert.controls, atol=1e-9)
    again = dynamics.simulate(iterate.v, x, goal)
    torch.testing.assert_close(again.v, iterate.v, rtol=0, atol=1e-9)
    torch.testing.assert_close(again.cost, iterate.cost, rtol=1e-12, atol=0)
    states, controls, reference = iterate.states, iterate.controls, goal[:, None]
    J = trajectory_cost(system, states.numpy(), controls.numpy(), reference.numpy())
    np.testing.assert_allclose(iterate.cost, J, rtol=1e-12)


@pytest.mark.parametrize('name', PLANTS)
def test_open_loop_plans_may_start_from_the_clipped_lqr_as_well(name):
    system = SYSTEMS[name]
    x, goal = map(torch.from_numpy, system.sample(np.random.default_rng(1), 4))
    (start,) = SystemDynamics(open_loop(system), system).starts(x, goal)
    for i in range(4):
        expert = lqr.solve(system, x[i].numpy(), goal[i].numpy())
        np.testing.assert_allclose(start.controls[i], expert.controls, atol=1e-9)
        np.testing.assert_allclose(start.v[i], expert.controls - system.u_trim, atol=1e-9)
        assert start.cost[i] == pytest.approx(expert.cost, rel=1e-9)


def test_a_batch_is_its_rows_whatever_the_number_of_threads():
    system = SYSTEMS['van_der_pol']
    law = plain(np.zeros((system.horizon, 1, 2)))
    batch, rng = BatchRollout([system], [law]), np.random.default_rng(0)
    x0, goal = system.sample(rng, 101)
    v = rng.normal(size=(101, system.horizon, 1))
    r = constant_reference(goal, system.horizon)
    together = batch.simulate(v, x0, r)
    for i in (0, 50, 100):
        row = slice(i, i + 1)
        alone = batch.simulate(v[row], x0[row], r[row])
        for whole, part in zip(together, alone, strict=True):
            np.testing.assert_array_equal(whole[row], part)


def test_a_function_that_steps_its_state_in_place_leaves_the_problem_alone():
    def careless(state, controls):
        state += controls.sum(1)
        return state

    system = SYSTEMS['double_integrator']
    x, goal = torch.ones(3, 2).double(), torch.zeros(3, 2).double()
    FunctionDynamics(open_loop(system), careless).simulate(plans(system, 3, 1.0), x, goal)
    assert torch.equal(x, torch.ones(3, 2))


@pytest.mark.parametrize(
    ('function', 'message'),
    [
        (lambda x, u: x[:, :1], r'dynamics_fn returned shape \(3, 1\), expected final states'),
        (lambda x, u: x[:, None].expand(-1, 4, -1), r'trajectories \(3, 16, 2\)'),
        (lambda x, u: x * torch.nan, 'dynamics_fn returned states that are not finite'),
    ],
)
def test_functions_that_return_nonsense_are_named(function, message):
    system = SYSTEMS['double_integrator']
    dynamics = FunctionDynamics(open_loop(system), function)
    x = torch.ones(3, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        dynamics.simulate(plans(system, 3, 1.0), x, x)
