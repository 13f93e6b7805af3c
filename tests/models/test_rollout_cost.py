"""The compiled cost is the eager one, in value and gradient, for any share of the batch."""

import numpy as np
import pytest
import torch

from trc_core import SYSTEMS
from trc_core.batch_rollout import BatchRollout
from trc_core.models.rollout_cost import RolloutCost, eager_rollout_cost
from trc_core.solvers.lqr import finite_horizon_gains

CALM = ['double_integrator', 'van_der_pol', 'cartpole', 'quadrotor_2d', 'pendulum']


@pytest.mark.parametrize('name', CALM)
def test_compiled_and_eager_agree(name):
    system = SYSTEMS[name]
    K = finite_horizon_gains(system)[0]
    x0, goal = system.sample(np.random.default_rng(3), 5)
    x0 = torch.from_numpy(goal + 0.2 * (x0 - goal))
    goal = torch.from_numpy(goal)
    generator = torch.Generator().manual_seed(0)
    shape = (5, system.horizon, system.n_u)
    v = 0.1 * torch.randn(shape, generator=generator, dtype=torch.float64)
    batch = BatchRollout(system, K)
    costs = {
        'compiled': lambda p: RolloutCost.apply(p, x0, goal, batch),
        'eager': lambda p: eager_rollout_cost(system, torch.from_numpy(K), p, x0, goal),
    }
    values, slopes = {}, {}
    for kind, cost in costs.items():
        plan = v.clone().requires_grad_()
        values[kind] = cost(plan)
        (values[kind] * torch.arange(1.0, 6.0)).sum().backward()
        slopes[kind] = plan.grad
    torch.testing.assert_close(values['compiled'], values['eager'], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(slopes['compiled'], slopes['eager'], rtol=1e-6, atol=1e-6)
    assert slopes['eager'].abs().max() > 0.01


def test_a_batch_is_its_rows_whatever_the_number_of_threads():
    system = SYSTEMS['van_der_pol']
    batch, rng = BatchRollout(system), np.random.default_rng(0)
    x0, goal = system.sample(rng, 101)
    v = rng.normal(size=(101, system.horizon, 1))
    x, u, J = batch.rollout(v, x0, goal)
    slope = batch.gradient(v, x, u, goal)
    for i in (0, 50, 100):
        row = slice(i, i + 1)
        x_i, u_i, J_i = batch.rollout(v[row], x0[row], goal[row])
        np.testing.assert_array_equal(x[row], x_i)
        np.testing.assert_array_equal(J[row], J_i)
        np.testing.assert_array_equal(slope[row], batch.gradient(v[row], x_i, u_i, goal[row]))
