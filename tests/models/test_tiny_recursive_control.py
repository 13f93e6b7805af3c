"""The model: API of the seeds, feedback that is connected, refinement that never hurts."""

import numpy as np
import pytest
import torch

from tests.random_models import randomised
from trc_core import SYSTEMS
from trc_core.cost import trajectory_cost
from trc_core.models import TinyRecursiveControl, TRCConfig
from trc_core.models.plan_representation import open_loop, stabilised
from trc_core.models.simulation import SystemDynamics
from trc_core.solvers import lqr

PLANTS = ['double_integrator', 'van_der_pol', 'quadrotor_2d']
FACTORIES = [
    'create_small',
    'create_medium',
    'create_large',
    'create_two_level_small',
    'create_two_level_medium',
    'create_two_level_large',
]
PARTS = {
    'state_encoder',
    'error_encoder',
    'recursive_reasoning',
    'control_decoder',
    'initial_generator',
}


def batch(system, n=6, seed=1):
    return map(torch.from_numpy, system.sample(np.random.default_rng(seed), n))


@pytest.mark.parametrize('factory', FACTORIES)
def test_factories_plan_inside_the_bounds_and_count_their_weights(factory):
    model = randomised(getattr(TinyRecursiveControl, factory)())
    output = model(torch.zeros(3, 2), torch.ones(3, 2))
    assert output['controls'].shape == (3, 15, 1)
    assert output['final_latent'].shape == (3, model.config.latent_dim)
    assert output['controls'].abs().max() <= 4.0
    counts = model.get_parameter_count()
    assert set(counts) == PARTS | {'total'}
    assert counts['total'] == sum(p.numel() for p in model.parameters())


def test_all_iterations_have_the_shapes_of_the_guide():
    model = TinyRecursiveControl.create_two_level_small(H_cycles=4)
    output = model(
        torch.zeros(2, 2),
        torch.ones(2, 2),
        dynamics_fn=SYSTEMS['double_integrator'],
        return_all_iterations=True,
    )
    assert output['all_controls'].shape == (2, 5, 15, 1)
    assert output['all_latents'].shape == (2, 5, 64)
    assert output['errors'].shape == (2, 4, 2)
    assert torch.isfinite(output['errors']).all()


def test_errors_are_unknown_without_dynamics():
    model = TinyRecursiveControl.create_two_level_small()
    output = model(torch.zeros(2, 2), torch.ones(2, 2), return_all_iterations=True)
    assert output['errors'].isnan().all()


def test_the_hook_of_the_guide_sees_both_latents_every_cycle():
    model = TinyRecursiveControl.create_two_level_small()
    seen = []
    hook = model.recursive_reasoning.register_forward_hook(lambda m, i, o: seen.append(o))
    model(torch.zeros(1, 2), torch.ones(1, 2))
    hook.remove()
    assert [(z_H.shape, z_L.shape) for z_H, z_L in seen] == [((1, 64), (1, 64))] * 3
    assert model.recursive_reasoning.H_init.shape == (64,)


def final_state(state, controls):
    """Double integrator as a user would write it: returns the final state only."""
    dt, s = 5.0 / 15, state.clone()
    for t in range(controls.shape[1]):
        u = controls[:, t, 0]
        s = torch.stack([s[:, 0] + dt * s[:, 1] + dt**2 / 2 * u, s[:, 1] + dt * u], -1)
    return s


def test_terminal_feedback_takes_a_function_or_a_system():
    model = randomised(TinyRecursiveControl.create_two_level_small())
    x, goal = torch.rand(4, 2), torch.rand(4, 2)
    function = model(x, goal, dynamics_fn=final_state, return_all_iterations=True)
    without = model(x, goal)
    reached = final_state(x, function['controls'])
    assert torch.allclose(function['errors'][:, -1], reached - goal, atol=1e-5)
    assert not torch.allclose(function['controls'], without['controls'])


def test_other_dynamics_give_other_plans():
    system = SYSTEMS['van_der_pol']
    model = randomised(TinyRecursiveControl.for_system(system, open_loop(system), latent_dim=32))
    x, goal = batch(system)
    plans = [
        model(x, goal, dynamics_fn=system.with_parameters(mu=mu))['controls'] for mu in (1.0, 0.5)
    ]
    assert not torch.allclose(*plans)


@pytest.mark.parametrize(
    'change',
    [
        {'use_two_level': True},
        {'num_heads': 0},
        {'num_inner_cycles': 2},
        {'num_outer_cycles': 2},
        {'num_reasoning_blocks': 2},
        {'feedback': ('trajectory',)},
        {'feedback': ('gradient',)},
        {'feedback': ()},
        {'use_residual_decoder': False},
        {'control_bounds': 0.3},
    ],
)
def test_every_choice_changes_the_function(change):
    system = SYSTEMS['double_integrator']
    base = {'latent_dim': 16, 'hidden_dim': 16, 'num_heads': 2}
    x, goal = batch(system)
    outputs = []
    for choices in ({}, change):
        torch.manual_seed(0)
        model = randomised(TinyRecursiveControl(TRCConfig(**{**base, **choices})))
        output = model(x, goal, dynamics_fn=system)
        outputs.append(torch.cat([output['controls'].flatten(), output['final_latent'].flatten()]))
    assert not torch.allclose(*outputs, atol=1e-6)


@pytest.mark.parametrize('name', PLANTS)
@pytest.mark.parametrize('feedback', [('trajectory', 'gradient'), ('terminal',)])
def test_refinement_never_raises_the_cost_nor_leaves_the_bounds(name, feedback):
    system = SYSTEMS[name]
    model = randomised(
        TinyRecursiveControl.for_system(
            system, stabilised(system), use_two_level=True, latent_dim=32, feedback=feedback
        )
    )
    x, goal = batch(system, 16)
    dynamics = SystemDynamics(model.representation, system)
    costs = [plan.cost for plan, _ in model.refine(x, goal, dynamics, cycles=8)]
    assert (torch.stack(costs).diff(dim=0) <= 0).all()
    controls = model(x, goal, dynamics_fn=system)['controls'].detach().numpy()
    assert (controls >= system.u_min).all()
    assert (controls <= system.u_max).all()


@pytest.mark.parametrize('name', PLANTS)
def test_the_zero_plan_is_the_clipped_lqr_and_reprojection_changes_nothing(name):
    system = SYSTEMS[name]
    representation = stabilised(system)
    dynamics = SystemDynamics(representation, system)
    x, goal = batch(system, 8)
    zero = torch.zeros(8, system.horizon, system.n_u, dtype=torch.float64)
    iterate = dynamics.simulate(zero, x, goal)
    for i in range(8):
        expert = lqr.solve(system, x[i].numpy(), goal[i].numpy())
        np.testing.assert_allclose(iterate.controls[i], expert.controls, atol=1e-9)
    again = dynamics.simulate(iterate.v, x, goal)
    torch.testing.assert_close(again.v, iterate.v, rtol=0, atol=1e-9)
    torch.testing.assert_close(again.cost, iterate.cost, rtol=1e-12, atol=0)
    J = trajectory_cost(system, iterate.states.numpy(), iterate.controls.numpy(), goal.numpy())
    np.testing.assert_allclose(iterate.cost, J, rtol=1e-12)


def test_gradient_truncation_trains_the_last_cycle_only():
    x, goal = torch.rand(4, 2), torch.rand(4, 2)
    gradients = []
    for truncated in (False, True):
        torch.manual_seed(0)
        model = TinyRecursiveControl.create_two_level_small(use_gradient_truncation=truncated)
        model.train()(x, goal)['controls'].square().sum().backward()
        gradients.append(model.initial_generator.output.weight.grad)
    full, cut = gradients
    assert full.abs().sum() > 0
    assert cut is None


@pytest.mark.parametrize(
    ('current', 'target', 'message'),
    [
        (torch.zeros(2, 3), torch.zeros(2, 3), r'current_state has shape \(2, 3\)'),
        (torch.zeros(2, 2), torch.zeros(1, 2), r'target_state has shape \(1, 2\)'),
        (torch.full((1, 2), torch.nan), torch.zeros(1, 2), 'current_state is not finite'),
    ],
)
def test_bad_tensors_are_named(current, target, message):
    with pytest.raises(ValueError, match=message):
        TinyRecursiveControl.create_small()(current, target)


def test_bad_choices_are_named():
    with pytest.raises(ValueError, match='unknown feedback'):
        TinyRecursiveControl(TRCConfig(feedback=('psychic',)))
    with pytest.raises(ValueError, match='multiple of num_heads'):
        TinyRecursiveControl(TRCConfig(latent_dim=10, num_heads=4))
    system = SYSTEMS['van_der_pol']
    model = TinyRecursiveControl.for_system(system, stabilised(system))
    with pytest.raises(ValueError, match='stabilised plan needs dynamics'):
        model(torch.zeros(1, 2), torch.zeros(1, 2))
