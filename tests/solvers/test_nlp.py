"""IPOPT's optimum, against Riccati, against the optimality conditions and other starts."""

from dataclasses import replace

import numpy as np
import pytest

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.numerics.cost import constant_reference, is_success, trajectory_cost
from trc_core.numerics.riccati import finite_horizon_gains
from trc_core.numerics.rollout import Trajectory, gradient, plain
from trc_core.solvers import ilqr, lqr, nlp
from trc_core.solvers.starting_points import agreement
from trc_core.solvers.transcription import ByContents, program_of
from trc_core.systems import SYSTEMS
from trc_core.systems.double_integrator import multi_axis

PLANTS = [*SYSTEMS.values(), multi_axis(2)]
EASY = [s for s in PLANTS if s.name not in ('pendulum', 'cartpole_swingup')]
STABLE = [s for s in PLANTS if 'cartpole' not in s.name]
CARTPOLE = SYSTEMS['cartpole']
every_plant = pytest.mark.parametrize('system', PLANTS, ids=lambda s: s.name)
every_easy_plant = pytest.mark.parametrize('system', EASY, ids=lambda s: s.name)


def samples(system, n=5):
    return zip(*system.sample(np.random.default_rng(7), n), strict=True)


@pytest.mark.parametrize('axes', [1, 2])
def test_without_bounds_the_optimum_is_that_of_riccati(axes):
    system = multi_axis(axes)
    wide = replace(system, u_min=-100.0 * np.ones(axes), u_max=100.0 * np.ones(axes))
    for x0, goal in samples(wide):
        plan, riccati = nlp.solve(wide, x0, goal), lqr.solve(wide, x0, goal)
        assert plan.converged
        assert plan.cost == pytest.approx(riccati.cost, rel=1e-8)
        np.testing.assert_allclose(plan.controls, riccati.controls, atol=1e-4)


@every_plant
def test_the_plan_is_feasible_and_its_cost_is_j(system):
    for x0, goal in samples(system):
        plan = nlp.solve(system, x0, goal)
        assert plan.converged and plan.source == 'nlp' and plan.cycles > 0
        assert np.all(plan.controls >= system.u_min) and np.all(plan.controls <= system.u_max)
        np.testing.assert_array_equal(plan.states[0], x0)
        for t in range(system.horizon):
            x_next = system.step(plan.states[t], plan.controls[t])
            np.testing.assert_allclose(plan.states[t + 1], x_next, atol=1e-12)
        J = trajectory_cost(system, plan.states, plan.controls, goal)
        assert plan.cost == pytest.approx(J, rel=1e-12)
        if system in EASY:
            assert is_success(system, plan.states, goal)
        assert plan.cost <= lqr.solve(system, x0, goal).cost * (1 + 1e-9)


@pytest.mark.parametrize('system', STABLE, ids=lambda s: s.name)
def test_the_optimum_meets_the_first_order_conditions(system):
    for x0, goal in samples(system):
        plan = nlp.solve(system, x0, goal)
        dJ_du = np.empty_like(plan.controls)
        K = np.zeros((system.horizon, system.n_u, system.n_x))
        v = plan.controls - system.u_trim
        trajectory = Trajectory(plan.states, plan.controls)
        r = constant_reference(goal, system.horizon)
        compiled(gradient)(plant_of(system), plain(K), v, trajectory, r, dJ_du)
        # Stepping against the gradient and back into the bounds must lead nowhere.
        moved = np.clip(plan.controls - dJ_du, system.u_min, system.u_max) - plan.controls
        assert np.abs(moved).max() < 1e-4 * max(1.0, plan.cost)
        assert np.abs(moved * dJ_du).sum() < 1e-6 * plan.cost


@every_easy_plant
def test_sweeps_of_ilqr_find_nothing_better(system):
    # Holds on unstable plants too, where an open-loop gradient magnifies every rounding error.
    for x0, goal in samples(system):
        plan = nlp.solve(system, x0, goal)
        swept = ilqr.solve(system, x0, goal, warm_start=plan, sweeps=5)
        assert swept.cost == pytest.approx(plan.cost, rel=1e-6)


# Means over many states by iLQR; standard errors 0.7, 3.6 and, on 400 states, about 2 %.
MEAN_OPTIMA = {
    'double_integrator': 111.6,
    'van_der_pol': 376.5,
    'double_integrator_2_axes': 223.1,
    'cartpole': 215.0,
    'quadrotor_2d': 234.0,
}


@every_easy_plant
def test_the_mean_optimum_is_the_known_one(system):
    costs = [nlp.solve(system, x0, goal).cost for x0, goal in samples(system, 60)]
    error = np.std(costs) / np.sqrt(len(costs))
    assert abs(np.mean(costs) - MEAN_OPTIMA[system.name]) < 4 * error


@every_easy_plant
def test_a_warm_start_leads_to_the_same_optimum(system):
    ((x0, goal),) = samples(system, 1)
    cold = nlp.solve(system, x0, goal)
    neighbour = nlp.solve(system, 0.9 * x0, goal)
    warm = nlp.solve(system, x0, goal, warm_start=neighbour)
    assert warm.converged
    assert warm.cost == pytest.approx(cold.cost, rel=1e-8)


@every_plant
def test_tiny_problems_are_solved_to_the_same_relative_precision(system):
    ((x0, _),) = samples(system, 1)
    goal = np.zeros(system.n_x)
    plan = nlp.solve(system, 1e-4 * x0, goal)
    assert plan.converged
    _, P, _ = finite_horizon_gains(system, goal)
    assert plan.cost == pytest.approx(1e-8 * x0 @ P[0] @ x0, rel=1e-4)
    assert nlp.solve(system, goal, goal).cost == pytest.approx(0.0, abs=1e-9)


@pytest.mark.long
@pytest.mark.parametrize('name', ['pendulum', 'cartpole_swingup'])
def test_several_starts_never_hurt_and_say_how_many_agreed(name):
    system = SYSTEMS[name]
    x0, goal = system.sample(np.random.default_rng(1), 4)
    for a, b in zip(x0, goal, strict=True):
        plan = nlp.solve(system, a, b, starts=4)
        assert plan.converged and plan.cost == min(plan.candidates.values())
        assert set(plan.candidates) <= {'lqr', 'line', 'random 1', 'random 2'}
        assert plan.cost <= nlp.solve(system, a, b).cost * (1 + 1e-9)
        assert 1 <= agreement(plan) <= len(plan.candidates)
    repeated = nlp.solve(system, a, b, starts=4)
    assert repeated.candidates == plan.candidates
    assert nlp.solve(system, a, b, starts=4, seed=1).candidates != plan.candidates


def test_where_the_problem_is_convex_all_starts_agree():
    system = SYSTEMS['double_integrator']
    ((x0, goal),) = samples(system, 1)
    plan = nlp.solve(system, x0, goal, starts=5, warm_start=lqr.solve(system, x0, goal))
    assert agreement(plan) == len(plan.candidates) == 6 and 'warm start' in plan.candidates
    with pytest.raises(ValueError, match='starts is 0, expected at least 1'):
        nlp.solve(system, x0, goal, starts=0)


def test_where_the_lqr_drops_the_pole_the_optimum_still_holds_it():
    x0, goal = CARTPOLE.sample(np.random.default_rng(0), 40)
    lost = [
        (a, b)
        for a, b in zip(x0, goal, strict=True)
        if not is_success(CARTPOLE, lqr.solve(CARTPOLE, a, b).states, b)
    ]
    assert lost
    for a, b in lost:
        plan = nlp.solve(CARTPOLE, a, b)
        assert plan.converged and is_success(CARTPOLE, plan.states, b)


def test_a_solver_that_ran_out_of_iterations_says_so(monkeypatch):
    monkeypatch.setitem(nlp.OPTIONS, 'ipopt.max_iter', 2)
    system = replace(SYSTEMS['van_der_pol'], name='impatient')
    plan = nlp.solve(system, system.x0_box, np.zeros(2))
    assert not plan.converged
    assert np.isfinite(plan.cost) and plan.cycles <= 2


def test_the_program_is_built_once_for_equal_systems():
    system = SYSTEMS['double_integrator']
    key = ByContents(system)
    assert program_of(key) is program_of(ByContents(replace(system)))
    assert key != ByContents(replace(system, R=[0.2]))


def test_a_state_of_the_wrong_size_is_named():
    with pytest.raises(ValueError, match=r'x0 has shape \(3,\), expected \(2,\)'):
        nlp.solve(SYSTEMS['van_der_pol'], np.zeros(3), np.zeros(2))
