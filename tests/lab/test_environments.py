"""Environments that others wrote: their models, their rewards, and who flies in them."""

import numpy as np
import pytest

from trc_core.lab.environments.flights import Episode, classical, fly, summary
from trc_core.lab.environments.safe_control import BOUND, ConstrainedCartPole
from trc_core.lab.experiments.environments import ENVIRONMENTS, PUBLISHED, units
from trc_core.lab.experiments.environments import EXPERIMENT as EXPERIMENT_OF_ALL

OPTIONAL = {'dm_control': 'dm_control', 'InvertedDoublePendulum': 'imageio'}
HEAVY = tuple(OPTIONAL)


def made(name):
    for part, package in OPTIONAL.items():
        if part in name:
            pytest.importorskip(package, reason="needs pip install 'trc[environments]'")
    return ENVIRONMENTS[name]()


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(n, marks=[pytest.mark.long] * any(part in n for part in HEAVY))
        for n in ENVIRONMENTS
    ],
)
def test_the_model_of_an_environment_takes_the_step_that_the_environment_takes(name):
    environment, rng = made(name), np.random.default_rng(7)
    system = environment.system
    for _ in range(20):
        x = rng.uniform(-0.8, 0.8, system.n_x)
        u = rng.uniform(system.u_min, system.u_max)
        environment.place(x)
        np.testing.assert_allclose(environment.step(u).x, system.step(x, u), atol=1e-6)


def test_the_objective_of_the_pendulum_is_the_cost_of_gymnasium():
    environment, rng = made('Gymnasium Pendulum-v1'), np.random.default_rng(3)
    system = environment.system
    for _ in range(20):
        x, u = rng.uniform(-3.0, 3.0, 2), rng.uniform(-2.0, 2.0, 1)
        environment.place(x)
        cost = x @ system.Q @ x + u @ system.R @ u
        assert environment.step(u).reward == pytest.approx(-cost, rel=1e-6)


def test_a_pendulum_that_begins_upright_loses_no_more_than_it_must():
    environment = made('Gymnasium Pendulum-v1')
    pilot = classical(environment.system)
    environment.reset = lambda seed: environment.place([0.1, 0.0]) or np.array([0.1, 0.0])
    lost = -fly(environment, pilot, 0).reward
    # of the linear-quadratic problem, whose controls stay inside their bounds, by Riccati
    A = np.array([[1.0 + 0.05**2 * 15.0, 0.05], [0.05 * 15.0, 1.0]])
    B = np.array([[0.05**2 * 3.0], [0.05 * 3.0]])
    Q, R, P = np.diag([1.0, 0.1]), 0.001, np.zeros((2, 2))
    for _ in range(500):
        K = (B.T @ P @ A) / (R + B.T @ P @ B)
        P = Q + A.T @ P @ (A - B @ K)
    assert 0.99 * 0.01 * P[0, 0] <= lost <= 1.05 * 0.01 * P[0, 0]


def test_steps_out_of_bounds_are_counted():
    environment = ConstrainedCartPole()
    environment.place(np.array([0.0, 0.0, 0.5 * BOUND, 0.0]))
    assert environment.step(np.zeros(1)).violations == 0
    environment.place(np.array([0.0, 0.0, 1.1 * BOUND, 0.0]))
    assert environment.step(np.zeros(1)).violations == 1


def test_the_controller_keeps_the_bounded_cart_pole_within_its_bounds():
    environment = ConstrainedCartPole()
    flown = fly(environment, classical(environment.system), 0)
    assert flown.violations == 0 and flown.reward > 0.95 * environment.ticks


@pytest.mark.long
@pytest.mark.parametrize('task', ['cartpole', 'acrobot'])
def test_it_swings_up_what_dm_control_rewards(task):
    environment = made(f'dm_control {task} swingup')
    pilot = classical(environment.system)
    returns = [fly(environment, pilot, seed).reward for seed in range(2)]
    assert min(returns) > min(PUBLISHED[f'dm_control {task} swingup'][0].values())
    assert max(returns) < 1000.0  # every step gives at most 1


def test_a_summary_has_the_figures_of_its_episodes():
    episodes = [Episode(1.0, 2, 3, [0.001, 0.003], 0.5), Episode(3.0, 0, 3, [0.002], 0.7)]
    figures = summary(episodes)
    assert figures['return'] == 2.0 and figures['deviation'] == 1.0 and figures['lowest'] == 1.0
    assert figures['violations'] == 1.0
    assert figures['ms p50'] == pytest.approx(2.0) and figures['first ms'] == pytest.approx(600.0)


def test_an_environment_that_is_not_installed_says_what_would_bring_it(monkeypatch):
    def missing():
        raise ModuleNotFoundError("No module named 'dm_control'", name='dm_control')

    monkeypatch.setitem(ENVIRONMENTS, 'dm_control cartpole swingup', missing)
    figures = units(EXPERIMENT_OF_ALL.default, 0)['dm_control cartpole swingup']()
    assert figures == {'absent': 'not installed: pip install dm_control'}
