"""The losses: true gradients, every cycle reached, no reward for a bad first plan."""

import numpy as np
import pytest
import torch

from trc_core import SYSTEMS
from trc_core.models.plan_representation import stabilised
from trc_core.models.simulation import SystemDynamics
from trc_core.training.losses import cost_loss, imitation_loss


@pytest.fixture(params=['double_integrator', 'van_der_pol', 'quadrotor_2d'])
def problem(request):
    system = SYSTEMS[request.param]
    representation = stabilised(system)
    x0, goal = map(torch.from_numpy, system.sample(np.random.default_rng(5), 4))
    return system, representation, SystemDynamics(representation, system), x0, goal


def test_cost_loss_has_the_gradient_of_the_cost(problem):
    system, representation, dynamics, x0, goal = problem
    units = representation.numbers.units(x0 - goal)
    v = 0.02 * torch.randn(4, system.horizon, system.n_u, dtype=torch.float64)
    v = dynamics.simulate(v, x0, goal).v.requires_grad_()
    cost_loss(units, dynamics.simulate(v, x0, goal), 1e9, 1.0).backward()
    step, t = 1e-5, system.horizon // 2
    free = dynamics.simulate(v, x0, goal).controls[:, t, 0].abs() < system.u_max[0] - 0.01
    bump = torch.zeros_like(v)
    bump[:, t, 0] = step
    J = [dynamics.simulate((v + sign * bump).detach(), x0, goal).cost for sign in (1, -1)]
    expected = (J[0] - J[1]) / (2 * step) / units.s**2 / len(x0)
    assert free.any()
    torch.testing.assert_close(v.grad[free, t, 0], expected[free], rtol=1e-3, atol=1e-8)


def test_steep_rows_count_less(problem):
    system, representation, dynamics, x0, goal = problem
    units = representation.numbers.units(x0 - goal)
    v = torch.ones(4, system.horizon, system.n_u, dtype=torch.float64, requires_grad=True)
    sizes = []
    for threshold in (1e9, 1e-9):
        v.grad = None
        cost_loss(units, dynamics.simulate(v, x0, goal), threshold, 1.0).backward()
        sizes.append(v.grad.abs().sum())
    assert 0 < sizes[1] < sizes[0]


def test_imitation_reaches_every_cycle_and_never_rewards_a_worse_first_plan(problem):
    system, representation, _, x0, goal = problem
    units = representation.numbers.units(x0 - goal)
    target = torch.randn(4, system.horizon, system.n_u, dtype=torch.float64)
    plans = [(target + 0.1 * torch.randn_like(target)).requires_grad_() for _ in range(3)]
    loss = imitation_loss(units, plans, target)
    loss.backward()
    assert all(plan.grad.abs().max() > 0 for plan in plans)
    worse = [target + 3 * (plans[0] - target), *plans[1:]]
    assert imitation_loss(units, worse, target) > loss
    assert imitation_loss(units, [target], target) == 0
