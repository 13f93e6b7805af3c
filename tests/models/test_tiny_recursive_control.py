"""The model: API of the seeds, feedback that is connected, refinement that never hurts."""

import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.random_models import randomised
from trc_core import SYSTEMS
from trc_core.models import TinyRecursiveControl, TRCConfig
from trc_core.models.persistence import save_model
from trc_core.models.plan_representation import open_loop, stabilised
from trc_core.models.simulation import SystemDynamics

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


@pytest.fixture(autouse=True)
def same_numbers_every_time():
    torch.manual_seed(0)


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
    assert output['all_latents'].shape == output['all_z_L'].shape == (2, 5, 64)
    assert torch.equal(output['all_latents'][:, -1], output['final_latent'])
    assert torch.equal(output['all_z_L'][:, -1], output['latents'][1])
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
        {'feedback': ('terminal', 'trajectory', 'gradient')},
        {'use_residual_decoder': False},
        {'control_bounds': 0.3},
        {'hidden_dim': 8},
        {'norm': 'rms'},
        {'norm_position': 'pre'},
        {'activation': 'silu'},
        {'tokens': 'horizon'},
        {'plans': 3},
        {'first_cycles': 1},
        {'beam': (2,), 'plans': 3, 'num_outer_cycles': 2},
        {'sweeps': 1},
        {'feedback': ('trajectory',), 'feedback_stride': 3},
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
    sizes = {output.numel() for output in outputs}
    assert len(sizes) == 2 or not torch.allclose(*outputs, atol=1e-6)


@pytest.mark.parametrize('change', [{'H_cycles': 2}, {'L_cycles': 1}, {'L_layers': 1}])
def test_every_choice_of_the_two_levels_changes_the_function(change):
    x, goal = torch.rand(4, 2), torch.rand(4, 2)
    outputs = []
    for choices in ({}, change):
        torch.manual_seed(0)
        model = randomised(TinyRecursiveControl.create_two_level_small(**choices))
        outputs.append(model(x, goal)['final_latent'])
    assert not torch.allclose(*outputs, atol=1e-6)


def test_fixed_initial_states_are_not_trained_and_learnable_ones_are():
    for learnable in (True, False):
        model = TinyRecursiveControl.create_two_level_small(learnable_inits=learnable)
        model(torch.rand(3, 2), torch.rand(3, 2))['controls'].sum().backward()
        for name in ('H_init', 'L_init'):
            latent = getattr(model.recursive_reasoning, name)
            assert (latent.grad is not None) == learnable
            assert 0 < latent.std() < 0.05


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


def trm(model, x, goal, cycles):
    """TRM's recursion, written again from the paper: T-1 times without gradient, then once."""
    level = model.recursive_reasoning.L_level
    units = model.representation.numbers.units(x - goal)
    time = torch.ones(len(x), 1)
    question = model.state_encoder(units.problem(x - goal, time))
    z_H, z_L = (z.expand_as(question) for z in model.recursive_reasoning.initial_latents(question))
    answer = model.initial_generator(question)  # dimensionless
    for k in range(cycles):
        with torch.set_grad_enabled(k == cycles - 1):
            plan = units.step(answer.detach())
            controls = model.representation.open_loop_controls(plan)
            place = units.controls(controls)
            seen = torch.cat([torch.asinh(answer.detach()), place], 1).flatten(1)
            context = model.control_embedding(seen)
            for _ in range(model.config.L_cycles):
                z_L = level(z_L, z_H + question + context)
            z_H = level(z_H, z_L)
            answer = answer + model.control_decoder(z_H, seen[:, : answer.shape[1]])
    return model.representation.open_loop_controls(units.step(answer))


@pytest.mark.parametrize('cycles', [1, 2, 4])
def test_truncated_training_is_the_recursion_of_trm(cycles):
    model = randomised(
        TinyRecursiveControl.create_two_level_small(
            H_cycles=cycles, use_gradient_truncation=True, control_bounds=100.0
        )
    )
    model.double().train()
    x, goal = torch.rand(2, 4, 2).double()
    outputs, gradients = [], []
    for function in (lambda: model(x, goal)['controls'], lambda: trm(model, x, goal, cycles)):
        model.zero_grad()
        controls = function()
        controls.square().sum().backward()
        outputs.append(controls.detach())
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(*outputs)
    ours, theirs = gradients
    assert set(ours) == set(theirs)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-6, atol=1e-6)


def kept_for_the_gradient(model, x, goal):
    """Bytes of activations that wait for the backward pass."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    sizes = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(x, goal)
    assert output['controls'].requires_grad
    return sum(sizes.values())


def test_gradient_truncation_bounds_the_memory_of_any_number_of_cycles():
    x, goal = torch.rand(64, 2), torch.rand(64, 2)
    kept = {}
    for cycles in (1, 3, 6):
        for truncated in (False, True):
            model = TinyRecursiveControl.create_two_level_small(
                H_cycles=cycles, use_gradient_truncation=truncated
            )
            kept[cycles, truncated] = kept_for_the_gradient(model.train(), x, goal)
    assert kept[6, True] <= 1.05 * kept[1, True]
    assert kept[3, True] / kept[3, False] == pytest.approx(1 / 3, abs=0.05)
    assert kept[6, True] / kept[6, False] == pytest.approx(1 / 6, abs=0.03)


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


@pytest.mark.parametrize('choices', [{}, {'use_two_level': True}, {'tokens': 'horizon'}])
def test_cycles_may_be_continued_from_plan_and_latents(choices):
    system = SYSTEMS['van_der_pol']
    choices = {'latent_dim': 16, 'num_heads': 2, 'feedback': ('gradient',), **choices}
    model = TinyRecursiveControl.for_system(system, stabilised(system), **choices)
    randomised(model)
    x, goal = batch(system)
    whole = model(x, goal, dynamics_fn=system, cycles=5)
    part = model(x, goal, dynamics_fn=system, cycles=3)
    rest = model(x, goal, dynamics_fn=system, cycles=2, plan=part['plan'], latents=part['latents'])
    torch.testing.assert_close(rest['controls'], whole['controls'], rtol=0, atol=1e-6)
    cold = model(x, goal, dynamics_fn=system, cycles=2, plan=part['plan'])
    assert not torch.allclose(cold['final_latent'], whole['final_latent'], atol=1e-3)


def test_no_cycles_give_the_first_plan():
    model = randomised(TinyRecursiveControl.create_two_level_small())
    x, goal = torch.rand(2, 2), torch.rand(2, 2)
    first = model(x, goal, cycles=0, return_all_iterations=True)
    whole = model(x, goal, return_all_iterations=True)
    assert first['errors'].shape == (2, 0, 2)
    assert torch.equal(first['controls'], whole['all_controls'][:, 0])
    with pytest.raises(ValueError, match='cycles must not be negative'):
        model(x, goal, cycles=-1)


@pytest.mark.parametrize('factory', FACTORIES)
def test_sizes_are_those_of_the_docstrings(factory):
    create = getattr(TinyRecursiveControl, factory)
    figure, unit = re.search(r'([\d.]+) (thousand|million) weights', create.__doc__).groups()
    stated = float(figure) * {'thousand': 1e3, 'million': 1e6}[unit]
    assert create().get_parameter_count()['total'] == pytest.approx(stated, rel=0.02)


def test_weights_of_a_plain_file_bring_their_representation(tmp_path):
    system = SYSTEMS['double_integrator']
    torch.manual_seed(0)
    trained = randomised(
        TinyRecursiveControl.for_system(system, open_loop(system), use_two_level=True)
    )
    path = save_model(tmp_path / 'm.safetensors', trained, system)
    model = TinyRecursiveControl(TRCConfig(use_two_level=True, control_bounds=1.0))
    model.load_state_dict(load_file(path))
    x, goal = torch.rand(3, 2), torch.rand(3, 2)
    expected = trained(x, goal, dynamics_fn=system)['controls']
    torch.testing.assert_close(model.eval()(x, goal, dynamics_fn=system)['controls'], expected)


def test_the_representation_keeps_its_precision_when_the_weights_change_theirs():
    system = SYSTEMS['double_integrator']
    model = randomised(TinyRecursiveControl.for_system(system, stabilised(system)))
    x, goal = batch(system)
    single = model(x, goal, dynamics_fn=system)['controls']
    double = model.double()(x, goal, dynamics_fn=system)['controls']
    assert model.float().representation.K.dtype == torch.float64
    torch.testing.assert_close(single, double, rtol=1e-4, atol=1e-4)


def test_horizon_tokens_fit_any_horizon_with_the_same_weights():
    choices = {'tokens': 'horizon', 'latent_dim': 16, 'num_heads': 2}
    short, long = (TRCConfig(control_horizon=T, **choices) for T in (5, 40))
    model = randomised(TinyRecursiveControl(short))
    longer = TinyRecursiveControl(long)
    numbers = ('representation.',)
    weights = {n: p for n, p in model.state_dict().items() if not n.startswith(numbers)}
    missing = longer.load_state_dict(weights, strict=False)
    assert all(name.startswith(numbers) for name in missing.missing_keys)
    assert not missing.unexpected_keys
    output = longer(torch.rand(3, 2), torch.rand(3, 2), return_all_iterations=True)
    assert output['controls'].shape == (3, 40, 1)
    assert output['all_latents'].shape == (3, 4, 40, 16)
    assert output['all_plans'].std(dim=2).min() > 0


WRONG_INPUTS = [
    ((torch.zeros(2, 3), torch.zeros(2, 3)), {}, r'current_state has shape \(2, 3\), .*\(2, 2\)'),
    ((torch.zeros(2), torch.zeros(2)), {}, r'current_state has shape \(2,\)'),
    ((torch.zeros(2, 2), torch.zeros(1, 2)), {}, r'target_state has shape \(1, 2\), .*\(2, 2\)'),
    ((torch.full((1, 2), torch.nan), torch.zeros(1, 2)), {}, r'current_state \(1, 2\) is not fin'),
    ((torch.zeros(1, 2), torch.full((1, 2), torch.inf)), {}, r'target_state \(1, 2\) is not fin'),
    ((torch.zeros(1, 2), torch.zeros(1, 2).double()), {}, 'target_state .* is torch.float64, exp'),
    ((torch.zeros(1, 2).int(), torch.zeros(1, 2)), {}, 'current_state .* is torch.int32'),
    ((torch.zeros(1, 2).to('meta'), torch.zeros(1, 2)), {}, 'current_state .* is on meta, .* cpu'),
    ((torch.zeros(1, 2), torch.zeros(1, 2).to('meta')), {}, 'target_state .* is on meta, .* cpu'),
    ((torch.zeros(2, 2), torch.zeros(2, 2)), {'time_remaining': torch.ones(3)}, 'time_remaining'),
    (
        (torch.zeros(2, 2), torch.zeros(2, 2)),
        {'plan': torch.ones(2, 9, 1)},
        r'plan .*\(2, 15, 1\)',
    ),
    (
        (torch.zeros(2, 2), torch.zeros(2, 2)),
        {'latents': (torch.ones(2, 64), torch.ones(2, 3))},
        r'latents: z_L has shape \(2, 3\), expected \(2, 64\)',
    ),
    ((torch.zeros(2, 2), torch.zeros(2, 2)), {'latents': (torch.ones(2, 64),)}, 'holds 1 tensors'),
]


@pytest.mark.parametrize(('states', 'others', 'message'), WRONG_INPUTS)
def test_bad_tensors_are_named(states, others, message):
    with pytest.raises(ValueError, match=message):
        TinyRecursiveControl.create_two_level_small()(*states, **others)


def test_what_is_no_tensor_is_named():
    with pytest.raises(TypeError, match='current_state is a list, expected a tensor'):
        TinyRecursiveControl.create_small()([[0.0, 0.0]], torch.zeros(1, 2))
    with pytest.raises(TypeError, match='dynamics_fn must be'):
        TinyRecursiveControl.create_small()(torch.zeros(1, 2), torch.zeros(1, 2), dynamics_fn=3)


@pytest.mark.parametrize(
    ('choices', 'message'),
    [
        ({'feedback': ('psychic',)}, 'unknown feedback'),
        ({'latent_dim': 10, 'num_heads': 4}, 'multiple of num_heads'),
        ({'norm': 'batch'}, r"unknown norm 'batch'; choose from \['layer', 'rms'\]"),
        ({'tokens': 'horizon', 'num_heads': 0}, "tokens='horizon' needs num_heads"),
        ({'H_cycles': -1}, 'H_cycles must not be negative'),
        ({'plans': 0}, 'plans must be at least 1'),
        ({'proposals': 'dreams'}, "unknown proposals 'dreams'"),
        ({'control_bounds': (1.0, -1.0), 'control_dim': 2}, 'control_bounds must be positive'),
        ({'feedback': 'gradient'}, "feedback is the text 'gradient'; write a list, some of"),
        ({'control_bounds': (1.0, 2.0, 3.0), 'control_dim': 2}, 'control_bounds'),
    ],
)
def test_bad_choices_are_named(choices, message):
    with pytest.raises(ValueError, match=message):
        TinyRecursiveControl(TRCConfig(**choices))


def test_a_feedback_that_the_dynamics_cannot_give_is_named():
    system = SYSTEMS['van_der_pol']
    x = torch.zeros(1, 2)
    with pytest.raises(ValueError, match='stabilised plan needs dynamics'):
        TinyRecursiveControl.for_system(system, stabilised(system))(x, x)
    with pytest.raises(ValueError, match='needs dynamics that return trajectories'):
        TinyRecursiveControl.create_small(feedback=('trajectory',))(x, x, dynamics_fn=final_state)
    with pytest.raises(ValueError, match='needs dynamics_fn to be a System'):
        TinyRecursiveControl.create_small(feedback=('gradient',))(x, x, dynamics_fn=final_state)
