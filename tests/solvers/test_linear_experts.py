"""The experts for linear systems, against IPOPT, Riccati and the conditions of optimality."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trc_core.numerics.cost import trajectory_cost
from trc_core.solvers import lqr, minimum_energy, nlp, qp
from trc_core.solvers.affine import predict
from trc_core.systems import SYSTEMS
from trc_core.systems.double_integrator import multi_axis

# Controls that fight over effort, bounds that bite, and a plant that is not at rest at u = 0.
COUPLED = replace(
    multi_axis(2),
    name='coupled',
    R=np.array([[0.1, 0.08], [0.08, 0.1]]),
    u_min=[-1.0, -1.2],
    u_max=[1.0, 1.5],
    u_trim=[0.1, -0.2],
)
UNSTABLE = replace(
    multi_axis(1), name='unstable', dynamics=lambda x, u: [x[1], x[0] - 0.1 * x[1] + u[0] + 0.3]
)
LINEAR = [multi_axis(1), multi_axis(2), COUPLED, UNSTABLE]
every_linear_plant = pytest.mark.parametrize('system', LINEAR, ids=lambda s: s.name)


def samples(system, n, seed=3):
    return zip(*system.sample(np.random.default_rng(seed), n), strict=True)


def unbounded(system):
    return replace(system, u_min=np.full(system.n_u, -1e3), u_max=np.full(system.n_u, 1e3))


@every_linear_plant
def test_the_prediction_is_the_trajectory(system):
    rng = np.random.default_rng(0)
    for x0, _ in samples(system, 3):
        controls = rng.uniform(system.u_min, system.u_max, (system.horizon, system.n_u))
        free, reach = predict(system, x0)
        x = x0
        for t in range(system.horizon):
            x = system.step(x, controls[t])
            predicted = free[t + 1] + reach[t + 1] @ (controls - system.u_trim).ravel()
            np.testing.assert_allclose(predicted, x, rtol=1e-9, atol=1e-9)


@every_linear_plant
def test_the_qp_is_the_optimum_of_ipopt(system):
    active = 0
    for x0, goal in samples(system, 15):
        plan, optimum = qp.solve(system, x0, goal), nlp.solve(system, x0, goal)
        assert plan.converged and optimum.converged
        assert plan.cost == pytest.approx(optimum.cost, rel=1e-7)
        np.testing.assert_allclose(plan.controls, optimum.controls, atol=2e-3)
        active += np.any(plan.controls == system.u_min) + np.any(plan.controls == system.u_max)
    assert active > 0


@pytest.mark.parametrize('axes', [1, 2])
def test_without_bounds_lqr_qp_and_ipopt_are_one(axes):
    system = unbounded(multi_axis(axes))
    for x0, goal in samples(system, 5):
        riccati = lqr.solve(system, x0, goal)
        for expert in (qp, nlp):
            plan = expert.solve(system, x0, goal)
            assert plan.cost == pytest.approx(riccati.cost, rel=1e-9)
            np.testing.assert_allclose(plan.controls, riccati.controls, atol=1e-4)


@every_linear_plant
def test_the_qp_plan_is_feasible_and_its_cost_is_j(system):
    for x0, goal in samples(system, 5):
        plan = qp.solve(system, x0, goal)
        assert np.all(plan.controls >= system.u_min) and np.all(plan.controls <= system.u_max)
        assert plan.cost == pytest.approx(
            trajectory_cost(system, plan.states, plan.controls, goal), rel=1e-12
        )
        np.testing.assert_array_equal(plan.states[0], x0)


def test_at_the_goal_nothing_needs_to_be_done():
    goal = np.array([1.3, 0.0])
    for expert in (qp, minimum_energy):
        plan = expert.solve(SYSTEMS['double_integrator'], goal, goal)
        assert plan.converged and np.abs(plan.controls).max() < 1e-9


def test_a_qp_stopped_early_says_so(monkeypatch):
    monkeypatch.setitem(qp.SETTINGS, 'iter_limit', 2)
    system = SYSTEMS['double_integrator']
    plan = qp.solve(system, system.x0_box, -system.goal_box)
    assert not plan.converged
    assert np.all(plan.controls >= system.u_min) and np.all(plan.controls <= system.u_max)


@pytest.mark.parametrize('expert', [qp, minimum_energy])
@pytest.mark.parametrize('name', ['van_der_pol', 'quadrotor_2d', 'cartpole_swingup'])
def test_a_nonlinear_system_is_refused_in_one_line(expert, name):
    system = SYSTEMS[name]
    with pytest.raises(ValueError, match=f"'{name}' is not linear; use") as error:
        expert.solve(system, np.zeros(system.n_x), np.zeros(system.n_x))
    assert '\n' not in str(error.value)


def test_without_daqp_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'daqp', None)
    with pytest.raises(ValueError, match='pip install daqp'):
        qp.solve(SYSTEMS['double_integrator'], [1.0, 0.0], [0.0, 0.0])


@every_linear_plant
def test_minimum_energy_reaches_the_goal_exactly(system):
    system = unbounded(system)
    for x0, goal in samples(system, 10):
        plan = minimum_energy.solve(system, x0, goal)
        assert plan.converged
        np.testing.assert_allclose(plan.states[-1], goal, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(LINEAR), st.integers(0, 2**32 - 1), st.floats(0.01, 10.0))
def test_every_other_control_that_reaches_the_goal_costs_more_energy(system, seed, size):
    system = unbounded(system)
    ((x0, goal),) = samples(system, 1, seed)
    effort = (minimum_energy.solve(system, x0, goal).controls - system.u_trim).ravel()
    S = predict(system, x0).reach[-1]
    change = size * np.random.default_rng(seed).normal(size=S.shape[1])
    change -= np.linalg.pinv(S) @ (S @ change)  # does not move the final state
    other = system.u_trim + (effort + change).reshape(system.horizon, system.n_u)
    x = x0
    for u in other:
        x = system.step(x, u)
    np.testing.assert_allclose(x, goal, atol=1e-6)
    assert np.linalg.norm(effort + change) > np.linalg.norm(effort)


def test_clipping_is_admitted():
    weak = replace(SYSTEMS['double_integrator'], u_min=[-0.1], u_max=[0.1])
    plan = minimum_energy.solve(weak, [2.0, 2.0], [0.0, 0.0])
    assert not plan.converged and np.abs(plan.controls).max() == 0.1
    assert np.abs(plan.states[-1]).max() > 0.1


def test_a_goal_out_of_reach_is_an_error():
    # The second axis has no motor.
    lame = replace(multi_axis(2), name='lame', dynamics=lambda x, u: [x[2], x[3], u[0] + u[1], 0])
    with pytest.raises(ValueError, match="'lame' is not controllable in 15 steps"):
        minimum_energy.solve(lame, np.ones(4), np.zeros(4))


@pytest.mark.parametrize('expert', [qp, minimum_energy])
def test_a_state_of_the_wrong_size_is_named(expert):
    with pytest.raises(ValueError, match=r'goal has shape \(3,\), expected \(2,\)'):
        expert.solve(SYSTEMS['double_integrator'], np.zeros(2), np.zeros(3))
