"""An arm in MuJoCo, and a load in its hand of which the model knows nothing."""

import numpy as np
import pytest

from tests.problem.robots import SIX_JOINTS
from trc_core import Controller, System
from trc_core.flight.adaptation import ParameterEstimator
from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Measurement, SafetyMonitor, SafetyState
from trc_core.flight.settings import Settings
from trc_core.simulation import make_plant

pytest.importorskip('mujoco')
STEADY = 0.01  # [rad] largest error at the goal
TICKS, LAST = 150, 10  # of 0.02 s, and those that count as steady
START = np.array([0.0, -0.9, 1.2, -0.2, 0.0, 0.0, *[0.0] * 6])
GOAL = np.array([0.5, -0.3, 0.8, -0.4, 0.6, 0.3, *[0.0] * 6])


@pytest.fixture(scope='module')
def arm():
    return System.from_urdf(SIX_JOINTS, dt=0.02, horizon=30, payload=0.0)


def fly(arm, loads, learns=True, noise=0.0):
    """The errors (TICKS, 6) on the way to the goal, and the payload as it is thought to be.

    Args:
        arm: the model, without a payload.
        loads: what the plant carries [kg], one after the other for equal times.
        learns: whether parameters are learned, as `adaptation.enabled` does it.
        noise: standard deviation of what is measured [rad, rad/s].
    """
    controller = Controller.classical(arm)
    if learns:
        controller = controller.with_input_gains()
    system = controller.system
    estimator = ParameterEstimator(system, noise=[max(noise, 1e-4)] * 12) if learns else None
    monitor = SafetyMonitor(system, Settings(CommandLimits.of(system), state_timeout=1.0))
    time, x, rng, errors = 0.0, START, np.random.default_rng(1), []
    pilot = Pilot(controller, monitor, arm.dt, lambda: time, 0.0, estimator, deadline=np.inf)
    plants = [make_plant('mujoco', arm.with_parameters(payload=load)) for load in loads]
    for tick in range(TICKS):
        plant = plants[tick * len(loads) // TICKS]
        measured = x + noise * rng.standard_normal(12)
        decision = pilot.fly(Measurement(measured, time), GOAL)
        assert decision.state == SafetyState.ACTIVE
        plant.reset(x)
        x, time = plant.step(decision.control), time + arm.dt
        errors.append((x - GOAL)[:6])
    return np.array(errors), pilot.learned.get('payload')


def test_two_kilograms_are_found_from_the_motion_and_held(arm):
    errors, payload = fly(arm, [2.0])
    assert np.abs(errors[-LAST:]).max() < 0.1 * STEADY
    assert payload == pytest.approx(2.0, rel=0.01)


def test_without_learning_the_arm_sags(arm):
    errors, _ = fly(arm, [2.0], learns=False)
    assert np.abs(errors[-LAST:]).max() > 5 * STEADY


def test_a_hand_that_is_empty_is_not_thought_to_carry_anything(arm):
    errors, payload = fly(arm, [0.0])
    assert np.abs(errors[-LAST:]).max() < 0.1 * STEADY
    assert payload == 0.0


def test_a_load_that_is_taken_up_on_the_way_and_put_down_is_noticed(arm):
    errors, payload = fly(arm, [0.0, 2.0, 1.0])
    assert np.abs(errors[2 * TICKS // 3 - LAST : 2 * TICKS // 3]).max() < STEADY
    assert np.abs(errors[-LAST:]).max() < STEADY
    assert payload == pytest.approx(1.0, rel=0.02)


def test_noise_of_encoders_does_not_hide_the_load(arm):
    errors, payload = fly(arm, [2.0], noise=1e-3)
    assert np.abs(errors[-LAST:]).max() < STEADY
    assert payload == pytest.approx(2.0, rel=0.05)
