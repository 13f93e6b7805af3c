"""The gradients of fine-tuning, against problems whose expected return is known in closed form."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from trc_core import SYSTEMS, Controller
from trc_core.checkpoint import load_checkpoint
from trc_core.finetuning.algorithms import Explorer
from trc_core.finetuning.analytic import Analytic
from trc_core.finetuning.config import FinetuneConfig
from trc_core.finetuning.flights import CostToGo
from trc_core.finetuning.policy import (
    CorrectionPolicy,
    Trace,
    group_advantages,
    group_scaled,
    shaped,
    surrogate,
)
from trc_core.finetuning.problems import Problems, planner_of
from trc_core.planner.correction import Weights

a, b, q, r, q_f, sigma, T = 1.1, 0.5, 1.0, 0.3, 5.0, 0.2, 12  # x' = a x + b u, unstable
GROUPS, MEMBERS, BATCHES = 200, 8, 60


def expected_cost(theta):
    """E J of u = theta x + sigma e, x_0 of unit variance: the recursion of the second moment."""
    second, J = 1.0, 0.0
    for _ in range(T):
        J += (q + r * theta**2) * second + r * sigma**2
        second = (a + b * theta) ** 2 * second + b**2 * sigma**2
    return J + q_f * second


def flown(theta, rng):
    """Stage costs (T + 1, B), states (T + 1, B) and controls (T, B) of groups that explore."""
    x = np.repeat(rng.standard_normal(GROUPS), MEMBERS)
    states, controls, cost = [x], [], []
    for _ in range(T):
        u = theta * x + sigma * rng.standard_normal(len(x))
        cost.append(q * x**2 + r * u**2)
        x = a * x + b * u
        states.append(x)
        controls.append(u)
    return np.array([*cost, q_f * x**2]), np.array(states), np.array(controls)


def estimate(theta, rng, value=0.0):
    """The policy gradient of the expected cost, as fine-tuning estimates it."""
    cost, x, u = flown(theta, rng)
    if value:
        cost = np.concatenate([shaped(cost, value * x**2)[:-1], cost[-1:] - value * x[-1:] ** 2])
    advantage = torch.from_numpy(group_advantages(cost, MEMBERS, discount=1.0))
    x, u = torch.from_numpy(x[:-1]), torch.from_numpy(u)
    gain = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    log_prob = -torch.square((u - gain * x) / sigma) / 2
    objective = surrogate(log_prob - log_prob.detach(), advantage, clip=0.2)
    return -T * float(torch.autograd.grad(objective, gain)[0])


@pytest.mark.parametrize('theta', [-2.0, -1.2, -0.4])
@pytest.mark.parametrize('value', [0.0, 3.0], ids=['group baseline', 'with a cost to go'])
def test_the_policy_gradient_agrees_with_finite_differences_of_the_return(theta, value):
    rng = np.random.default_rng(5)
    found = np.array([estimate(theta, rng, value) for _ in range(BATCHES)])
    error = found.std(ddof=1) / np.sqrt(BATCHES)
    truth = (expected_cost(theta + 1e-5) - expected_cost(theta - 1e-5)) / 2e-5
    assert error < 0.05 * max(abs(truth), 5.0)
    assert abs(found.mean() - truth) < 3.5 * error


def test_following_it_finds_the_known_optimum():
    grid = np.linspace(-2.5, 0.0, 25001)
    optimum = grid[np.argmin([expected_cost(theta) for theta in grid])]
    theta, rng = -0.5, np.random.default_rng(6)
    for k in range(150):
        theta -= 0.1 / (1 + k / 5) * np.clip(estimate(theta, rng), -3, 3)
    assert theta == pytest.approx(optimum, abs=0.02)


def test_the_group_and_the_cost_to_go_take_luck_out_of_it():
    def spread(scored):
        rng = np.random.default_rng(7)
        return np.std([scored(rng) for _ in range(BATCHES)])

    def alone(rng):
        cost, x, u = flown(-1.2, rng)
        to_go = cost[::-1].cumsum(0)[::-1][:-1]
        return float((to_go * (u + 1.2 * x[:-1]) / sigma**2 * x[:-1]).mean() * T)

    grouped = spread(lambda rng: estimate(-1.2, rng))
    assert grouped < 0.7 * spread(alone)
    assert spread(lambda rng: estimate(-1.2, rng, 3.0)) < 0.9 * grouped


def test_scaling_changes_no_direction_within_a_group():
    advantage = np.random.default_rng(8).standard_normal((T, 24)) * np.repeat([1.0, 50, 1e4], 8)
    scaled = group_scaled(advantage, 8, limit=np.inf)
    ratio = scaled / advantage
    for group in np.split(ratio, 3, axis=1):
        np.testing.assert_allclose(group, group[0, 0])
    assert np.abs(group_scaled(advantage, 8, 2.0)).max() <= 2.0


def test_a_ratio_beyond_the_clip_earns_nothing_more():
    ratio = torch.tensor([0.2, 0.5, 2.0, 2.0], requires_grad=True)
    advantage = torch.tensor([-1.0, 1.0, 1.0, -1.0])
    surrogate(ratio.log(), advantage, clip=0.2).backward()
    np.testing.assert_allclose(ratio.grad * 4, [0, 1, 0, -1])


def set_up(**changes):
    """Problems, policy and controller on the double integrator, unclipped: its LQR is exact."""
    system = replace(SYSTEMS['double_integrator'], x0_box=np.array([0.2, 0.2]))
    values = {
        'delay': [1, 2],
        'parameter_spread': 0.0,
        'noise': 0.01,
        'disturbance': [0.01, 0.01],
        'groups': 6,
        'members': 2,
        'curriculum': 0.0,
        'std': 0.2,
        **changes,
    }
    config = FinetuneConfig(checkpoint='double_integrator', **values)
    rng = np.random.default_rng(9)
    start = Weights.at_start(system, 4, 0.3, 1)
    learnt = replace(
        start,
        trust=np.array(0.6),
        prior=0.3 * rng.standard_normal(4),
        output_weight=0.3 * rng.standard_normal(start.output_weight.shape),
    )
    checkpoint = replace(
        load_checkpoint('double_integrator'), system=system, correction=learnt.tensors()
    )
    policy = CorrectionPolicy(learnt, config.std)
    return config, Problems(config, system), policy, Controller(checkpoint)


def test_the_closed_loop_in_pytorch_is_the_one_that_flies():
    config, problems, policy, controller = set_up()
    _, figures = Analytic(config, problems).loss(policy, controller, problems.drawn(3))
    scenario = problems.drawn(3)
    expected = problems.fly(planner_of(controller), scenario)
    wrong = expected.total[~scenario.nominal].mean()
    assert figures['return'] == pytest.approx(-wrong, rel=1e-6)


@pytest.mark.parametrize('name', ['trust', 'prior', 'sharpness', 'hidden_weight', 'output_bias'])
def test_the_analytic_gradient_agrees_with_finite_differences(name):
    config, problems, policy, controller = set_up()
    analytic = Analytic(config, problems)

    def loss():
        return analytic.loss(policy, controller, problems.drawn(3))[0]

    loss().backward()
    parameter = getattr(policy, name)
    flat, slope = parameter.data.view(-1), parameter.grad.view(-1)
    index, size = int(slope.abs().argmax()), 1e-5
    values = []
    for sign in (1, -1):
        flat[index] += sign * size
        values.append(float(loss().detach()))
        flat[index] -= sign * size
    truth = (values[0] - values[1]) / (2 * size)
    assert abs(truth) > 1e-6
    assert float(slope[index]) == pytest.approx(truth, rel=1e-3)


def test_the_policy_explores_around_what_would_fly():
    _, problems, policy, controller = set_up()
    scenario = problems.drawn(3)
    explorer = Explorer(policy, controller, scenario.start.goal, seed=1)
    plans = []

    def noting(plan):
        plans.append(plan)
        return explorer(plan)

    problems.fly(planner_of(controller), scenario, noting)
    trace = Trace.joined(explorer.traces[1:])
    half = (problems.system.u_max - problems.system.u_min) / 2
    mean = policy.mean(trace).detach().numpy() * half + problems.system.u_trim
    flown_means = np.concatenate([plan.controls[:, 0] for plan in plans[1:]])
    np.testing.assert_allclose(
        np.clip(mean, problems.system.u_min, problems.system.u_max), flown_means, atol=1e-9
    )
    errors = torch.cat(explorer.actions[1:]) - policy.mean(trace)
    assert float(errors.std().detach()) == pytest.approx(0.2, rel=0.2)


def test_the_cost_to_go_is_that_of_the_lqr():
    system = SYSTEMS['double_integrator']
    value, x = CostToGo(system), np.array([[0.1, -0.05]])
    plan = Controller.load('double_integrator').lqr_plan(x[0], [0.0, 0.0])
    assert value(x) == pytest.approx(plan.cost, rel=1e-9)
    assert not value.is_lost(x, np.zeros((1, 2)))
    assert value.is_lost(1e3 * x, np.zeros((1, 2))) and value.is_lost(x * np.nan, x)
