"""The LQR expert, against python-control and against its own theory."""

from dataclasses import replace

import control
import numpy as np
import pytest

from trc_core.numerics.riccati import finite_horizon_gains
from trc_core.solvers import lqr
from trc_core.systems import SYSTEMS
from trc_core.systems.double_integrator import multi_axis

PLANTS = [*SYSTEMS.values(), multi_axis(2)]
every_plant = pytest.mark.parametrize('system', PLANTS, ids=lambda s: s.name)


@every_plant
def test_long_horizon_gains_become_those_of_python_control(system):
    long = replace(system, horizon=2000)
    K, P, H = finite_horizon_gains(long)
    A, B = system.step_jacobian(np.zeros(system.n_x), system.u_trim)
    K_control, P_control, _ = control.dlqr(A, B, system.Q, system.R)
    np.testing.assert_allclose(K[0], K_control, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(P[0], P_control, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(H[0], system.R + B.T @ P_control @ B, rtol=1e-8)
    np.testing.assert_allclose(lqr.infinite_horizon_gain(system), K_control, rtol=1e-10)


@every_plant
def test_the_last_gain_minimises_the_last_step(system):
    K, P, _ = finite_horizon_gains(system)
    A, B = system.step_jacobian(np.zeros(system.n_x), system.u_trim)
    np.testing.assert_array_equal(P[-1], system.Q_f)
    # Stationarity in u of u'Ru + (Ax + Bu)'Q_f(Ax + Bu) at u = -Kx, for every x.
    residual = -system.R @ K[-1] + B.T @ system.Q_f @ (A - B @ K[-1])
    np.testing.assert_allclose(residual, 0.0, atol=1e-9)


@pytest.mark.parametrize('axes', [1, 2])
def test_without_clipping_j_is_the_value_function(axes):
    system = multi_axis(axes)
    system = replace(system, u_min=-1e6 * np.ones(axes), u_max=1e6 * np.ones(axes))
    (x0,), (goal,) = system.sample(np.random.default_rng(0), 1)
    _, P, _ = finite_horizon_gains(system, goal)
    plan = lqr.solve(system, x0, goal)
    assert plan.cost == pytest.approx((x0 - goal) @ P[0] @ (x0 - goal), rel=1e-10)
    assert plan.converged and plan.source == 'lqr'


@every_plant
def test_the_plan_is_clipped_and_follows_the_dynamics(system):
    plan = lqr.solve(system, system.x0_box, np.zeros(system.n_x))
    assert np.all(plan.controls >= system.u_min) and np.all(plan.controls <= system.u_max)
    assert np.any(plan.controls == system.u_min)
    for t in range(system.horizon):
        x_next = system.step(plan.states[t], plan.controls[t])
        np.testing.assert_allclose(plan.states[t + 1], x_next, atol=1e-12)


def test_a_plant_that_cannot_be_stabilised_is_an_error():
    drifting = replace(
        SYSTEMS['double_integrator'], name='drifting', dynamics=lambda x, u: [x[0], 0 * u[0]]
    )
    with pytest.raises(ValueError, match="'drifting' has no stationary LQR"):
        lqr.infinite_horizon_gain(drifting)
