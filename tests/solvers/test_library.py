"""Labels from a library of tails: trajectories, cheap ones, the same every time."""

from dataclasses import fields, replace

import numpy as np
import pytest

from tests.newcomer_plants import PLANTS
from trc_core.compile.binding import plant_of, readable_plant_of
from trc_core.compile.kernels import compiled
from trc_core.numerics import batch
from trc_core.numerics.cost import constant_reference, trajectory_cost
from trc_core.numerics.representation import is_odd
from trc_core.numerics.riccati import finite_horizon_gains
from trc_core.numerics.rollout import Trajectory, plain, rollout
from trc_core.solvers import library, multistart, nlp
from trc_core.solvers.library import library_labels
from trc_core.solvers.library_kernels import Goals, Tails, batch_follow_tails, tail_plan
from trc_core.systems import SYSTEMS

PENDULUM = SYSTEMS['pendulum']
COUNT = 150


@pytest.fixture(scope='module')
def labels():
    return library_labels(PENDULUM, COUNT)


def test_every_label_is_a_trajectory_inside_the_bounds(labels):
    T, n_x, n_u = PENDULUM.horizon, PENDULUM.n_x, PENDULUM.n_u
    assert labels.states.shape == (COUNT, T + 1, n_x)
    assert labels.controls.shape == (COUNT, T, n_u)
    assert labels.x0.shape == labels.goal.shape == (COUNT, n_x)
    assert np.all(labels.goal == 0.0)
    assert np.all(labels.controls >= PENDULUM.u_min) and np.all(labels.controls <= PENDULUM.u_max)
    np.testing.assert_array_equal(labels.states[:, 0], labels.x0)
    for states, controls in zip(labels.states, labels.controls, strict=True):
        for t in range(T):
            x_next = PENDULUM.step(states[t], controls[t])
            np.testing.assert_allclose(states[t + 1], x_next, atol=1e-11)


def test_the_cost_is_that_of_the_trajectory(labels):
    J = trajectory_cost(PENDULUM, labels.states, labels.controls, labels.goal[:, None])
    np.testing.assert_allclose(labels.cost, J, rtol=1e-10)


def test_the_seed_decides_every_byte_whatever_the_number_of_threads(monkeypatch):
    first = library_labels(PENDULUM, 40)
    monkeypatch.setattr(library, 'cores', lambda: 5)
    monkeypatch.setattr(library, 'ROWS_PER_JOB', 7)
    again, reseeded = library_labels(PENDULUM, 40), library_labels(PENDULUM, 40, seed=1)
    for field in fields(first):
        assert getattr(first, field.name).tobytes() == getattr(again, field.name).tobytes()
    assert not np.any(first.x0 == reseeded.x0)


def test_states_from_the_box_are_as_good_as_those_of_multistart(labels):
    rows = np.flatnonzero(labels.box)[-20:]
    J = [multistart.solve(PENDULUM, x0, np.zeros(2)).cost for x0 in labels.x0[rows]]
    assert np.mean(labels.cost[rows] <= 1.02 * np.array(J)) >= 0.95


def test_box_states_are_in_the_box_and_the_others_near_known_plans(labels):
    assert np.all(np.abs(labels.x0[labels.box]) <= PENDULUM.x0_box)
    assert 0.5 * COUNT <= labels.box.sum() < COUNT
    known = labels.states[:, 1:].reshape(-1, 2) / PENDULUM.x0_box
    for x0 in labels.x0[~labels.box] / PENDULUM.x0_box:
        assert np.linalg.norm(known - x0, axis=1).min() < 0.2


@pytest.mark.parametrize('number', [3 * 40 + 25, 5 * 40 + 3 * 40 + 25])
def test_following_a_tail_from_where_it_begins_repeats_it(labels, number):
    T, n_u, n_x = PENDULUM.horizon, PENDULUM.n_u, PENDULUM.n_x
    K = finite_horizon_gains(PENDULUM)[0]
    gains = np.random.default_rng(0).normal(size=(5, T, n_u, n_x))
    tails = Tails(labels.states[:5], labels.controls[:5], gains, K, 40)
    law, v = plain(np.empty((T, n_u, n_x))), np.empty((T, n_u))
    tail_plan(tails, number, law.K, v)
    mirror = 1.0 if number < 5 * 40 else -1.0
    x, u = np.empty((T + 1, n_x)), np.empty((T, n_u))
    x0, r = mirror * labels.states[3, 25], constant_reference(np.zeros(n_x), T)
    compiled(rollout)(plant_of(PENDULUM), law, v, x0, r, Trajectory(x, u))
    np.testing.assert_allclose(x[: T - 24], mirror * labels.states[3, 25:], atol=1e-6)
    np.testing.assert_allclose(u[: T - 25], mirror * labels.controls[3, 25:], atol=1e-6)
    after = (-K[T - 25 :] @ x[T - 25 : T, :, None])[..., 0]
    np.testing.assert_allclose(u[T - 25 :], after.clip(-5.0, 5.0), atol=1e-12)


def test_of_every_row_the_cheapest_different_optima_are_improved():
    rows = np.array([7, 7, 7, 7, 7, 9, 9, 9])
    J = np.array([3.0, 2.0, 2.0 + 1e-7, 5.0, 4.0, np.nan, 1.0, np.inf])
    known = np.array([3.0] * 5 + [np.inf] * 3)
    np.testing.assert_array_equal(library._distinct(rows, J, known, 2), [1, 4, 6])


def test_plants_that_are_not_odd_have_no_mirrored_tails():
    lopsided = replace(PENDULUM, name='lopsided', u_max=[6.0])
    assert is_odd(PENDULUM) and not is_odd(lopsided)
    for system, twice in ((PENDULUM, 2), (lopsided, 1)):
        pool = library._Pool(system, np.random.default_rng(0), None)
        pool.add(np.ones((3, 2)), np.zeros((3, 2)), box=True)
        pool.cost[:] = 1.0
        assert pool.library().tree.n == twice * 3 * (system.horizon // 2)


def test_several_controls_will_do_and_kernels_run_as_plain_python(monkeypatch):
    for module in (library, batch):
        monkeypatch.setattr(module, 'compiled', lambda kernel: kernel)
        monkeypatch.setattr(module, 'plant_of', readable_plant_of)
    for name, value in {'STARTS': 2, 'NEAR': 3, 'SWEEPS': 5}.items():
        monkeypatch.setattr(library, name, value)
    quadrotor = replace(SYSTEMS['quadrotor_2d'], goal_box=np.zeros(6), horizon=8)
    labels = library_labels(quadrotor, 3)
    assert labels.controls.shape == (3, 8, 2)
    assert np.all(labels.controls >= quadrotor.u_min)
    assert np.all(labels.controls <= quadrotor.u_max)
    J = trajectory_cost(quadrotor, labels.states, labels.controls, labels.goal[:, None])
    np.testing.assert_allclose(labels.cost, J, rtol=1e-10)
    for states, controls in zip(labels.states, labels.controls, strict=True):
        for t in range(8):
            x_next = quadrotor.step(states[t], controls[t])
            np.testing.assert_allclose(states[t + 1], x_next, atol=1e-11)


def test_one_label_will_do():
    assert library_labels(PENDULUM, 1).cost.shape == (1,)


def test_progress_counts_up_to_the_end():
    seen = []
    library_labels(PENDULUM, 9, progress=lambda done, count: seen.append((done, count)))
    assert seen == [(5, 9), (9, 9)]


@pytest.mark.parametrize('name', ['motor', 'arm'])
def test_labels_to_many_goals_are_as_good_as_ipopt(name):
    system = PLANTS[name]
    labels = library_labels(system, 12)
    assert np.ptp(labels.goal, axis=0).any()
    J = trajectory_cost(system, labels.states, labels.controls, labels.goal[:, None])
    np.testing.assert_allclose(labels.cost, J, rtol=1e-10)
    for x0, goal, cost in zip(labels.x0[:4], labels.goal, labels.cost, strict=False):
        assert cost == pytest.approx(nlp.solve(system, x0, goal).cost, rel=1e-5)


def test_a_tail_leads_to_another_goal_of_a_plant_that_is_the_same_everywhere():
    quadrotor = SYSTEMS['quadrotor_2d']
    x0, away = np.array([0.5, -0.3, 0.1, 0.0, 0.2, 0.0]), np.array([3.0, 1.0, 0, 0, 0, 0.0])
    plan = nlp.solve(quadrotor, x0, np.zeros(6))
    T, n_u, n_x = quadrotor.horizon, quadrotor.n_u, quadrotor.n_x
    gains, K = np.zeros((1, T, n_u, n_x)), finite_horizon_gains(quadrotor)[0]
    tails = Tails(plan.states[None], plan.controls[None] - quadrotor.u_trim, gains, K, T // 2)
    goals = Goals(away[None], np.tile(quadrotor.u_trim, (1, T, 1)))
    found, count = np.empty((1, 1, T, n_u)), np.empty(1, dtype=np.int64)
    near = np.zeros((1, 1), dtype=np.int64)
    follow = compiled(batch_follow_tails)
    follow(plant_of(quadrotor), goals, tails, near, (x0 + away)[None], found, count)
    np.testing.assert_allclose(found[0, 0], plan.controls, atol=1e-9)


def test_no_labels_are_an_error():
    with pytest.raises(ValueError, match='count is 0, expected at least 1'):
        library_labels(PENDULUM, 0)


def test_a_plant_whose_plans_all_diverge_is_named():
    wild = replace(PENDULUM, x0_box=[1.0, 1e200])
    with pytest.raises(ValueError, match="every plan of system 'pendulum' diverges"):
        library_labels(wild, 4)
