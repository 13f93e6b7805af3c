"""The losses: true gradients, every cycle reached, no reward for a bad first plan."""

import numpy as np
import pytest
import torch

from trc_core import SYSTEMS
from trc_core.models.plan_representation import stabilised
from trc_core.models.simulation import SystemDynamics
from trc_core.training.losses import (
    CostWeights,
    cost_loss,
    imitation_loss,
    process_loss,
    refinement_loss,
)

EVEN = CostWeights(threshold=1e9)  # every row counts alike


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
    cost_loss(units, dynamics.simulate(v, x0, goal), EVEN).backward()
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
        cost_loss(units, dynamics.simulate(v, x0, goal), CostWeights(threshold)).backward()
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


def chain(dynamics, first, steps, states):
    """The plans of unguarded cycles, as the supervised stage makes them."""
    plans = [dynamics.simulate(first, *states)]
    for step in steps:
        plans.append(dynamics.simulate(plans[-1].v + step, *states))
    return plans


def test_process_supervision_reaches_every_cycle(problem):
    system, representation, dynamics, x0, goal = problem
    units = representation.numbers.units(x0 - goal)
    leaves = [0.02 * torch.randn(4, system.horizon, system.n_u) for _ in range(4)]
    first, *steps = (leaf.double().requires_grad_() for leaf in leaves)
    process_loss(units, chain(dynamics, first, steps, (x0, goal)), CostWeights()).backward()
    assert all(leaf.grad.abs().max() > 0 for leaf in (first, *steps))


def test_worsening_the_first_plan_never_lowers_process_supervision(problem):
    system, representation, dynamics, x0, goal = problem
    units = representation.numbers.units(x0 - goal)
    later = [dynamics.simulate(torch.zeros(4, system.horizon, system.n_u), x0, goal)]
    losses, costs = [], []
    for size in (0.0, 0.1, 0.3, 1.0, 3.0):
        worse = torch.full((4, system.horizon, system.n_u), size, dtype=torch.float64)
        first = dynamics.simulate(worse, x0, goal)
        losses.append(process_loss(units, [first, *later], CostWeights()).item())
        costs.append((first.cost / units.s**2).mean().item())
    assert np.array_equal(np.argsort(losses), np.argsort(costs))
    gaps = np.subtract(losses, costs)
    assert gaps == pytest.approx(gaps[0])  # all that the first plan adds is its own cost


def test_a_harmful_step_is_made_smaller_and_a_small_one_is_judged_where_it_leads(problem):
    system, representation, dynamics, x0, goal = problem
    units = representation.numbers.units(x0 - goal)
    before = dynamics.simulate(torch.zeros(4, system.horizon, system.n_u), x0, goal)
    for size, harmful in ((1e-4, False), (30.0, True)):
        o = torch.randn(4, system.horizon, system.n_u, generator=torch.Generator().manual_seed(1))
        step = units.step(size * o.double()).requires_grad_()
        proposal = dynamics.simulate(before.v + step, x0, goal)
        after = dynamics.guard(before, proposal, step, x0, goal)
        assert harmful == bool((proposal.cost > before.cost + 0.1 * units.s**2).all())
        refinement_loss(units, before, step, proposal, after, EVEN).backward()
        judged = after if harmful else proposal
        expected = judged.gradient / units.s[:, None, None] ** 2 / 4
        if not harmful:
            torch.testing.assert_close(step.grad, expected)
        else:  # moving along the step costs more than J alone says
            assert ((step.grad - expected) * step).sum((1, 2)).min() > 0
