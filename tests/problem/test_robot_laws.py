"""The laws of robots: motions to a goal, and to rest, within the limits of speeds and efforts."""

import numpy as np
import pytest

from tests.problem.robots import SIX_JOINTS, TWO_LINKS
from trc_core import System
from trc_core.numerics.batch import BatchStep


def made(text):
    return System.from_urdf(text, dt=0.02, horizon=50, payload=0.5, armature=0.1, damping=0.3)


def flown(system, name, x, goal, ticks):
    """States (ticks + 1, n_x) and controls (ticks, n_u) under a law, its controls held for dt."""
    law, step = system.laws[name], BatchStep(system)
    states, controls = [x], []
    for _ in range(ticks):
        arguments = {'goal': list(goal)} if name == 'reach' else {}
        u = np.array(law(list(x), **arguments, **system.parameters), dtype=np.float64)
        x = step(x[None], u[None])[0]
        states.append(x)
        controls.append(u)
    return np.array(states), np.array(controls)


@pytest.fixture(scope='module', params=[TWO_LINKS, SIX_JOINTS], ids=['two_links', 'six_joints'])
def system(request):
    return made(request.param)


def test_efforts_are_those_that_the_dynamics_answer_with_the_accelerations(system):
    rng, n = np.random.default_rng(0), system.n_u
    x, wanted = rng.uniform(-1.0, 1.0, system.n_x), rng.uniform(-5.0, 5.0, n)
    u = system.dynamics.efforts(list(x), list(wanted), payload=0.5)
    rates = system.derivative(x, np.array(u, dtype=np.float64))
    np.testing.assert_allclose(rates[n:], wanted, rtol=0, atol=1e-11)


def test_a_robot_reaches_its_goal_within_its_limits(system):
    rng, n = np.random.default_rng(1), system.n_u
    x, goal = np.zeros(system.n_x), np.zeros(system.n_x)
    x[:n], goal[:n] = rng.uniform(-1.0, 1.0, n), rng.uniform(-2.5, 2.5, n)
    states, controls = flown(system, 'reach', x, goal, 150)
    np.testing.assert_allclose(states[-1], goal, atol=1e-3)
    assert (np.abs(states[:, n:]) <= system.x_max[n:]).all()
    assert (np.abs(controls) <= system.u_max * (1 + 1e-12)).all()
    assert (np.abs(states[:, n:]) > 0.9 * system.x_max[n:]).any()  # it does not dawdle


def test_a_robot_comes_to_rest_soon(system):
    n = system.n_u
    x = np.concatenate([np.full(n, 0.3), 0.9 * system.x_max[n:]])
    states, controls = flown(system, 'stop', x, x, 25)
    assert np.abs(states[-1, n:]).max() < 1e-3
    assert (np.abs(controls) <= system.u_max * (1 + 1e-12)).all()
