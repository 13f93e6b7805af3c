"""The objective, against its definition written out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from trc_core.numerics.cost import (
    constant_reference,
    is_success,
    quadratic,
    slope,
    trajectory_cost,
)
from trc_core.systems import SYSTEMS

every_system = pytest.mark.parametrize('name', sorted(SYSTEMS))


def random_trajectories(name, B=5):
    rng = np.random.default_rng(2)
    system = SYSTEMS[name]
    coupled = system.Q + 0.5 * np.ones_like(system.Q)
    system = replace(system, Q=coupled, Q_f=3.0 * coupled, u_trim=0.25 * system.u_max)
    states = rng.normal(size=(B, system.horizon + 1, system.n_x))
    controls = rng.normal(size=(B, system.horizon, system.n_u))
    return system, states, controls, rng.normal(size=(B, system.n_x))


def written_out(system, states, controls, goal):
    J = 0.0
    for x, u in zip(states[:-1], controls, strict=True):
        e, w = x - goal, u - system.u_trim
        J += e @ system.Q @ e + w @ system.R @ w
    e = states[-1] - goal
    return J + e @ system.Q_f @ e


@every_system
def test_j_is_the_sum_of_its_definition(name):
    system, states, controls, goal = random_trajectories(name)
    J = trajectory_cost(system, states, controls, goal[..., None, :])
    expected = [written_out(system, *one) for one in zip(states, controls, goal, strict=True)]
    np.testing.assert_allclose(J, expected, rtol=1e-12)
    assert trajectory_cost(system, states[0], controls[0], goal[0]).shape == ()


@every_system
def test_a_reference_that_moves_is_followed_step_by_step(name):
    system, states, controls, _ = random_trajectories(name)
    reference = np.random.default_rng(3).normal(size=states.shape)
    J = trajectory_cost(system, states, controls, reference)
    origin = np.zeros(system.n_x)
    expected = [
        written_out(system, *one, origin) for one in zip(states - reference, controls, strict=True)
    ]
    np.testing.assert_allclose(J, expected, rtol=1e-12)


def test_a_constant_reference_stays_at_its_goal():
    goal = np.random.default_rng(0).normal(size=(3, 2))
    reference = constant_reference(goal, 4)
    assert reference.shape == (3, 5, 2) and reference.flags.c_contiguous
    assert (reference == goal[:, None]).all()


@every_system
def test_torch_and_numpy_agree(name):
    system, states, controls, goal = random_trajectories(name)
    arrays = states, controls, goal[:, None]
    J = trajectory_cost(system, *map(torch.from_numpy, arrays))
    np.testing.assert_allclose(J.numpy(), trajectory_cost(system, *arrays), rtol=1e-12)


def test_resting_at_the_goal_costs_nothing():
    system, states, controls, goal = random_trajectories('van_der_pol')
    rest = np.broadcast_to(goal[:, None], states.shape)
    trim = np.broadcast_to(system.u_trim, controls.shape)
    np.testing.assert_array_equal(trajectory_cost(system, rest, trim, goal[:, None]), 0.0)


def test_success_is_every_state_within_its_own_tolerance():
    system = replace(SYSTEMS['van_der_pol'], goal_tolerance=[0.1, 0.01])
    goal = np.array([1.0, -1.0])
    ends = np.array([[1.09, -1.009], [1.0, -1.02], [1.0, -1.0]])
    states = np.repeat(ends[:, None], 3, axis=1)
    assert is_success(system, states, goal).tolist() == [True, False, True]
    assert is_success(system, torch.from_numpy(states), torch.from_numpy(goal)).tolist() == [
        True,
        False,
        True,
    ]


def test_the_quadratic_form_is_that_of_numpy():
    rng = np.random.default_rng(0)
    for n in range(1, 6):
        M, a = rng.normal(size=(n, n)), rng.normal(size=n)
        M = M + M.T
        assert quadratic(M, a) == pytest.approx(a @ M @ a)
        slopes = [slope(M, a, i) for i in range(n)]
        np.testing.assert_allclose(slopes, 2 * M @ a, rtol=1e-12)
