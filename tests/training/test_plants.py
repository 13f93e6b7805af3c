"""Plants that differ row by row: the numbers, the dynamics, and when an LQR is no help."""

import numpy as np
import pytest
import torch

from trc_core.models.plan_representation import for_system, stabilised
from trc_core.models.simulation import SystemDynamics
from trc_core.numerics.representation import Coordinates
from trc_core.systems import System, get_system
from trc_core.training.plants import PlantFamily, parameter_grid, why_not_stabilised

RANGES = {'mu': (0.5, 1.5)}


def family(system, points=11):
    representation = for_system(system, Coordinates(ladder=(1.0, 10.0), ranges=RANGES))
    return PlantFamily(system, representation, parameter_grid(RANGES, points))


def problems(system, n, seed=0):
    return tuple(map(torch.from_numpy, system.sample(np.random.default_rng(seed), n)))


@pytest.mark.parametrize('mu', [0.5, 1.0, 1.3])
def test_every_row_has_the_numbers_and_dynamics_of_its_own_plant(mu):
    system = get_system('van_der_pol')
    alone = system.with_parameters(mu=mu)
    dynamics = family(system).dynamics(torch.tensor([0, round((mu - 0.5) * 10), 10]))
    x0, goal = problems(system, 3)
    v = 0.1 * torch.randn(3, system.horizon, 1, dtype=torch.float64)
    step = 0.1 * torch.randn_like(v)
    theirs = SystemDynamics(for_system(alone, Coordinates(ladder=(1.0, 10.0))), alone)
    states, middle = (x0, goal), (x0[1:2], goal[1:2])
    ours = dynamics.simulate(v, *states), *dynamics.starts(*states)
    expected = theirs.simulate(v[1:2], *middle), *theirs.starts(*middle)
    for a, b in zip(ours, expected, strict=True):
        for part, truth in zip(a, b, strict=True):
            torch.testing.assert_close(part[1:2], truth)
    guarded = dynamics.guard(ours[0], dynamics.simulate(v + step, *states), step, *states)
    assert (guarded.cost <= ours[0].cost).all()
    ours, theirs = dynamics.units(x0 - goal), theirs.units(middle[0] - middle[1])
    torch.testing.assert_close(ours.s[1:2], theirs.s)
    torch.testing.assert_close(ours.step(v)[1:2], theirs.step(v[1:2]))
    told = ours.problem(x0 - goal, torch.ones(3, 1))[1, -2].item()
    assert told == pytest.approx(2 * (mu - 1))


def test_a_family_of_one_is_the_plant_itself():
    system = get_system('cartpole')
    representation = stabilised(system)
    dynamics = PlantFamily(system, representation).dynamics(torch.zeros(5, dtype=torch.int64))
    x0, goal = problems(system, 5)
    v = 0.1 * torch.randn(5, system.horizon, 1, dtype=torch.float64)
    alone = SystemDynamics(representation, system)
    for ours, theirs in zip(
        dynamics.simulate(v, x0, goal), alone.simulate(v, x0, goal), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(dynamics.units(x0 - goal).step(v), alone.units(x0 - goal).step(v))


def test_without_model_error_a_shifted_plan_goes_on_along_its_trajectory():
    system = get_system('van_der_pol')
    dynamics = family(system).dynamics(torch.arange(8))
    x0, goal = problems(system, 8)
    plan = dynamics.simulate(0.1 * torch.randn(8, system.horizon, 1), x0, goal)
    shifted = dynamics.simulate(dynamics.shifted(plan, goal), plan.states[:, 1], goal)
    torch.testing.assert_close(shifted.states[:, :-1], plan.states[:, 1:])


def linear(name, growth, coupling):
    """x' = growth x + coupling y, y' = u."""

    def dynamics(x, u):
        return growth * x[0] + coupling * x[1], u[0]

    return System(
        name=name,
        dynamics=dynamics,
        state_names=('x', 'y'),
        state_units=('m', 'm'),
        control_names=('u',),
        control_units=('N',),
        joints=(),
        dt=0.1,
        horizon=10,
        u_min=[-1.0],
        u_max=[1.0],
        Q=[1.0, 1.0],
        R=[1.0],
        x0_box=[1.0, 1.0],
        goal_box=[0.0, 0.0],
    )


def test_only_a_growing_mode_out_of_reach_rules_the_lqr_out():
    assert why_not_stabilised(linear('reached', 1.0, 0.5)) is None
    assert why_not_stabilised(linear('decays', -1.0, 0.0)) is None
    assert why_not_stabilised(linear('rests', 0.0, 0.0)) is None
    reason = why_not_stabilised(linear('grows', 1.0, 0.0))
    assert 'no control reaches its mode that grows by 1.11 per step' in reason
    for name in ('double_integrator', 'van_der_pol', 'cartpole', 'quadrotor_2d', 'pendulum'):
        assert why_not_stabilised(get_system(name)) is None
