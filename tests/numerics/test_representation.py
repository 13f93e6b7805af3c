"""Coordinates of plans: their identities, and what a network is shown of them."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.random_models import randomised
from trc_core import SYSTEMS
from trc_core.models import TinyRecursiveControl
from trc_core.models.plan_representation import for_system, gated
from trc_core.models.simulation import SystemDynamics
from trc_core.numerics.representation import (
    REPRESENTATIONS,
    Coordinates,
    Representation,
    catching_law,
)
from trc_core.numerics.riccati import finite_horizon_gains

GUIDE = Path(__file__).parents[2] / 'docs' / 'model.md'
every_system = pytest.mark.parametrize('system', SYSTEMS.values(), ids=lambda s: s.name)
every_kind = pytest.mark.parametrize('kind', REPRESENTATIONS)


def units_of(system, kind, n=5):
    x0, goal = map(torch.from_numpy, system.sample(np.random.default_rng(0), n))
    return for_system(system, Coordinates(kind)).numbers.units(x0 - goal, goal)


@every_system
@every_kind
def test_a_step_and_its_metric_undo_each_other(system, kind):
    units = units_of(system, kind)
    output = torch.randn(5, system.horizon, system.n_u, dtype=torch.float64)
    torch.testing.assert_close(units.metric(units.step(output)), output)


@every_system
def test_s_is_the_lq_cost_to_go_of_the_initial_error(system):
    x0, goal = map(torch.from_numpy, system.sample(np.random.default_rng(0), 5))
    numbers = for_system(system, Coordinates('stabilised')).numbers
    P = torch.from_numpy(finite_horizon_gains(system)[1][0])
    error = x0 - goal
    expected = ((error @ P) * error).sum(-1) + numbers.floor
    torch.testing.assert_close(numbers.units(error).s ** 2, expected)


@every_system
def test_the_metric_gradient_is_twice_the_newton_step_of_the_lq_problem(system):
    """At the goal's trim point d2J/dv_t2 is 2 H_t, so that -L (slope / 2) is Newton's step."""
    numbers = for_system(system, Coordinates('stabilised'))
    H = torch.from_numpy(finite_horizon_gains(system)[2])
    torch.testing.assert_close(numbers.L @ numbers.L.mT, H)
    units = units_of(system, 'stabilised')
    step = torch.randn(5, system.horizon, system.n_u, dtype=torch.float64)
    gradient = 2 * torch.einsum('tij,btj->bti', H, step)
    torch.testing.assert_close(units.step(units.gradient(gradient)) / 2, step)


@every_system
@every_kind
def test_numbers_survive_a_checkpoint(system, kind):
    numbers = Coordinates(kind).numbers(system)
    tensors = {name: np.asarray(value) for name, value in numbers.tensors().items()}
    read = Representation.from_tensors(tensors)
    for name, value in {**read._asdict(), **read.scene._asdict()}.items():
        if name != 'scene':
            held = getattr(numbers, name, getattr(numbers.scene, name, None))
            np.testing.assert_allclose(value, held, err_msg=name)
    coordinates = Coordinates(kind, (1.0, 10.0), {'mu': (0.5, 1.5)})
    assert Coordinates.from_record(coordinates.record()) == coordinates
    completed = Coordinates(kind).completed(system)
    assert Coordinates.from_record(completed.record()) == completed


def test_the_gate_is_half_open_beyond_the_states_in_which_the_lqr_saturates():
    system = SYSTEMS['cartpole_swingup']
    K, G = catching_law(system, np.zeros(4))
    rng = np.random.default_rng(0)
    for direction in rng.normal(size=(50, 4)):
        x = direction / np.sqrt(direction @ G @ direction)  # e' G e = 1: half open
        assert np.abs(K[0] @ (x / 2)).max() <= system.u_max[0] * (1 + 1e-9)  # GATE is 2 squared


def test_a_ladder_adds_starts_that_spend_less_control():
    system = SYSTEMS['cartpole']
    numbers = Coordinates(ladder=(1.0, 10.0, 100.0)).numbers(system)
    assert numbers.K_start.shape == (3, *numbers.K.shape)
    np.testing.assert_array_equal(numbers.K_start[0], numbers.K)
    sizes = np.abs(numbers.K_start[:, 0]).sum((1, 2))
    assert sizes[0] > sizes[1] > sizes[2]


def test_plant_parameters_are_read_from_minus_one_to_one():
    system = SYSTEMS['van_der_pol']
    coordinates = Coordinates(ranges={'mu': (0.5, 1.5)})
    read = [coordinates.numbers(system.with_parameters(mu=mu)).inputs[0] for mu in (0.5, 1, 1.5)]
    assert read == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize('name', ['pendulum', 'cartpole_swingup'])
def test_an_odd_plant_is_seen_from_one_side(name):
    system = SYSTEMS[name]
    choices = {'use_two_level': True, 'latent_dim': 16, 'feedback': ('trajectory',), 'plans': 2}
    model = randomised(TinyRecursiveControl.for_system(system, gated(system), **choices))
    x0, goal = map(torch.from_numpy, system.sample(np.random.default_rng(0), 6))
    dynamics = SystemDynamics(model.representation, system)
    for sign in (1, -1):
        plans = list(model.refine(sign * x0, goal, dynamics, cycles=2))
        controls = sign * plans[-1][0].controls
        if sign == 1:
            expected = controls
    torch.testing.assert_close(controls, expected, rtol=1e-5, atol=1e-5)
    assert model.representation.mirror_state >= 0


def numbers_of_the_guide():
    """Numbers by name, one dictionary for each representation of the worked example."""
    example = GUIDE.read_text().partition('### One step of a plan, in numbers')[2]
    example = example.partition('\n## ')[0]
    found = []
    for part in example.split('representation `stabilised`'):
        blocks = ''.join(part.split('```')[1::2])
        lines = re.findall(r'^([^=\n]+) = +((?:-?\d+\.\d+ *)+)', blocks, re.MULTILINE)
        found.append({name.strip(): np.array(values.split(), float) for name, values in lines})
    return found


def numbers_of_one_step(kind, e, u):
    """The same numbers of the pendulum, from the formulas and from what the network is shown."""
    system, coordinates = SYSTEMS['pendulum'], Coordinates(kind)
    numbers = coordinates.numbers(system)
    w = 1 / (1 + (e @ numbers.G @ e) ** 2)
    feedback = w * numbers.K[0] @ e
    v = u - system.u_trim + feedback
    s = np.sqrt(np.sum((numbers.S @ e) ** 2) + numbers.floor)
    error = torch.from_numpy(e)[None]
    units = for_system(system, coordinates).numbers.units(error)
    plan = torch.zeros(1, system.horizon, 1, dtype=torch.float64)
    plan[:, 0] = torch.from_numpy(v)
    read = units.problem(error, torch.ones(1, 1)).squeeze(0).numpy()
    return {
        'e': e,
        'K_0': numbers.K[0, 0],
        'w': w,
        'w K_0 e': feedback,
        'v_0': v,
        'L_0': numbers.L[0, 0],
        's': s,
        'L_0 v_0 / s': numbers.L[0, 0] * v / s,
        'C e / s': read[:2],
        'asinh(D e)': read[2:4],
        'sin, cos': read[4:6],
        'asinh(L v / s)': units.plan(plan)[0, 0].numpy(),
        'control': units.controls(torch.full((1, 1, 1), u)).numpy().ravel(),
        'asinh(W e / s)': units.states(error[:, None]).numpy().ravel(),
    }


def test_the_worked_example_of_the_guide_is_what_the_library_computes():
    written = numbers_of_the_guide()
    assert [len(numbers) for numbers in written] == [14, 7]
    for kind, numbers in zip(('gated', 'stabilised'), written, strict=True):
        computed = numbers_of_one_step(kind, np.array([0.5, -0.5]), -4.5)
        for name, values in numbers.items():
            np.testing.assert_allclose(
                values, computed[name], atol=6e-4, err_msg=f'{kind}: {name}'
            )


@pytest.mark.parametrize(
    ('choices', 'message'),
    [
        ({'kind': 'spline'}, "unknown representation 'spline'; choose from"),
        ({'ladder': ()}, 'ladder must begin with 1'),
        ({'ladder': (10.0, 1.0)}, 'ladder must begin with 1'),
    ],
)
def test_bad_coordinates_are_named(choices, message):
    with pytest.raises(ValueError, match=message):
        Coordinates(**choices)


WITHOUT_A_PRICE = {
    'no state has a weight': {'Q': [0.0, 0.0]},
    'the position has none': {'Q': [0.0, 1.0]},
    'every plan begins at its goal': {'x0_box': [0.0, 0.0], 'goal_box': [0.0, 0.0]},
    'every plan begins at one state': {'x0_box': [[1.0, 0.0]] * 2, 'goal_box': [0.0, 0.0]},
    'the speed begins at one value': {'x0_box': [1.0, 0.0], 'goal_box': [0.0, 0.0]},
}


@every_kind
@pytest.mark.parametrize('words', WITHOUT_A_PRICE.values(), ids=WITHOUT_A_PRICE)
def test_plans_have_finite_units_where_errors_cost_nothing_or_boxes_have_no_width(kind, words):
    system = replace(SYSTEMS['double_integrator'], Q_f=None, **words)
    numbers = REPRESENTATIONS[kind](system)
    for name, value in numbers.tensors().items():
        assert np.isfinite(value).all(), name
    units = units_of(system, kind)
    assert torch.isfinite(units.s).all() and (units.s > 0.0).all()
    error = torch.zeros(5, 2, dtype=torch.float64)
    assert torch.isfinite(units.problem(error, torch.zeros(5, 1), error)).all()


def test_the_metric_of_errors_that_cost_something_is_the_cost_to_go_itself():
    system = SYSTEMS['double_integrator']
    C = REPRESENTATIONS['stabilised'](system).C
    np.testing.assert_allclose(C.T @ C, finite_horizon_gains(system)[1][0], rtol=1e-12)
    half = replace(system, Q=[0.0, 1.0], Q_f=None)
    C, P = REPRESENTATIONS['stabilised'](half).C, finite_horizon_gains(half)[1][0]
    np.testing.assert_allclose(C.T @ C, P, atol=1e-6 * P.max())


def test_the_scale_of_plans_counts_how_far_the_middles_of_the_boxes_are_apart():
    system = SYSTEMS['double_integrator']
    apart = replace(system, x0_box=[[2.0, -1.0], [4.0, 1.0]], goal_box=[0.0, 0.0])
    x0, goal = apart.sample(np.random.default_rng(1), 200_000)
    P = finite_horizon_gains(apart)[1][0]
    mean = np.einsum('bi,ij,bj->b', x0 - goal, P, x0 - goal).mean()
    assert REPRESENTATIONS['stabilised'](apart).floor == pytest.approx(1e-4 * mean, rel=0.01)
