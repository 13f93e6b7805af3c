"""Narrower command limits: plans keep them, and are good plans of the plant that has them."""

from dataclasses import replace

import numpy as np
import pytest

from trc_core import SYSTEMS, Controller
from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Measurement, SafetyMonitor
from trc_core.flight.settings import Settings
from trc_core.solvers import ilqr, lqr

NAMES = ['van_der_pol', 'quadrotor_2d', 'cartpole']
SHARE = 0.6  # of the way from u_trim to the bounds


def narrowed(system, share=SHARE):
    """The same plant with weaker actuators."""
    low, high = (system.u_trim + share * (u - system.u_trim) for u in (system.u_min, system.u_max))
    return replace(system, u_min=low, u_max=high)


@pytest.fixture(params=NAMES)
def controller(request):
    return Controller.load(request.param)


def test_plans_keep_narrower_bounds_and_are_never_worse_than_lqr_within_them(controller):
    weak = narrowed(controller.system)
    x0, goal = weak.sample(np.random.default_rng(1), 30)
    controller.bounds = weak.u_min, weak.u_max
    plans = controller.plan_batch(x0, goal)
    assert (plans.controls >= weak.u_min).all() and (plans.controls <= weak.u_max).all()
    alone = [lqr.solve(weak, x, g).cost for x, g in zip(x0, goal, strict=True)]
    assert (plans.cost <= np.array(alone) * (1 + 1e-12)).all()
    one, fallback = controller.plan(x0[0], goal[0]), controller.lqr_plan(x0[0], goal[0])
    np.testing.assert_allclose(one.controls, plans.controls[0], atol=1e-9)
    assert fallback.cost == pytest.approx(alone[0], rel=1e-12)


def test_in_closed_loop_they_cost_what_converged_mpc_costs(controller):
    """Clipping plans of the stronger plant costs 1.4 times that (van_der_pol) or more."""
    weak = narrowed(controller.system)
    x0, goal = weak.sample(np.random.default_rng(2), 6)
    controller.bounds = weak.u_min, weak.u_max
    previous = None

    def plan(x):
        nonlocal previous
        previous = controller.plan_batch(x, goal, warm_start=previous)
        return previous.controls[:, 0]

    cost = flown(weak, x0, goal, plan)
    converged = flown(weak, x0, goal, lambda x: ilqr.solve_batch(weak, x, goal).controls[:, 0])
    assert (cost < 1.05 * converged).all()


def flown(system, x, goal, control):
    """Closed-loop cost (B,) of a horizon under control(x)."""
    J = np.zeros(len(x))
    for _ in range(system.horizon):
        u = control(x)
        error, effort = x - goal, u - system.u_trim
        J += np.einsum('bi,ij,bj->b', error, system.Q, error)
        J += np.einsum('bi,ij,bj->b', effort, system.R, effort)
        x = system.step(x, u)
    return J


def test_the_bounds_of_the_system_change_nothing():
    controller = Controller.load('van_der_pol')
    x, goal, system = [1.5, -0.5], [0.0, 0.0], controller.system
    before = controller.plan(x, goal)
    controller.bounds = 0.5 * system.u_min, system.u_max
    assert controller.plan(x, goal).controls.min() >= 0.5 * system.u_min
    controller.bounds = system.u_min, system.u_max
    np.testing.assert_array_equal(controller.plan(x, goal).controls, before.controls)


@pytest.mark.parametrize('share', [0.0, 0.4, 1.0])
def test_a_control_may_be_held_still(share):
    controller = Controller.load('quadrotor_2d')
    system = controller.system
    low, high = system.u_min.copy(), system.u_max.copy()
    low[0] = high[0] = system.u_min[0] + share * (system.u_max[0] - system.u_min[0])
    controller.bounds = low, high
    plan = controller.plan(system.x0_box, np.zeros(system.n_x))
    assert plan.converged
    np.testing.assert_allclose(plan.controls[:, 0], low[0], atol=1e-6)
    for controls in (plan.controls, *controller.bounds):
        assert ((system.u_min <= controls) & (controls <= system.u_max)).all()


@pytest.mark.parametrize(
    ('low', 'high', 'message'),
    [
        ([-3.0], [1.0], 'cannot use controls from'),
        ([1.0], [-1.0], 'cannot use controls from'),
        ([-1.0, 0.0], [1.0], 'has shape'),
        ([np.nan], [1.0], 'is not finite'),
    ],
)
def test_bounds_that_cannot_be_are_one_readable_line(low, high, message):
    controller = Controller.load('van_der_pol')
    with pytest.raises(ValueError, match=message):
        controller.bounds = low, high
    assert controller.bounds == (controller.system.u_min, controller.system.u_max)


def test_a_backend_with_fixed_bounds_says_so():
    controller = Controller.load('double_integrator', backend='torch')
    controller.bounds = controller.system.u_min, controller.system.u_max
    with pytest.raises(ValueError, match="need 'numba' or 'numpy'"):
        controller.bounds = 0.5 * controller.system.u_min, controller.system.u_max


def test_a_pilot_plans_within_the_limits_of_the_moment():
    system = SYSTEMS['van_der_pol']
    controller = Controller.load(system.name)
    monitor = SafetyMonitor(system, Settings(CommandLimits.of(system), 0.2), controller.lqr_plan)
    time = 0.0
    pilot = Pilot(controller, monitor, 10.0, lambda: time)
    x = np.array([1.5, 0.0])
    wide = pilot.fly(Measurement(x, time), np.zeros(2)).plan
    pilot.change(Settings(CommandLimits.of(system, low=[-0.5], high=[0.25]), 0.2))
    time = 0.05
    plan = pilot.fly(Measurement(wide.states[1], time), np.zeros(2)).plan
    assert np.abs(wide.controls).max() > 1.0
    assert plan.controls.min() >= -0.5 and plan.controls.max() <= 0.25
