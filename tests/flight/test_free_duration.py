"""Flights whose plans have a free duration: their clock, their end, and a thrust with a length."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trc_core import Controller, get_system
from trc_core.flight.limits import CommandLimits
from trc_core.flight.memory import recall, remembered
from trc_core.flight.pilot import Pilot
from trc_core.flight.progress import GoalJudge, GoalState
from trc_core.flight.safety import (
    Condition,
    Measurement,
    Proposal,
    SafetyMonitor,
    SafetyState,
    TimedPlan,
    defect,
)
from trc_core.flight.settings import Settings
from trc_core.numerics.free_time.timed import new_flight
from trc_core.numerics.plan import Plan
from trc_core.simulation.plant import Imperfections, Plant
from trc_core.systems.rocket_landing import FULL, LEAST, shipped

ROCKET = get_system('rocket_landing')  # a tick every 0.1 s, 50 steps
T, GOAL = ROCKET.horizon, np.zeros(7)
NEAR = np.array([0.5, 0.0, 0.2, 0.0, 0.0, -0.3, 1800.0])
FAR = NEAR + 100.0 * np.eye(7)[0]


def plan_of(seconds, **changes):
    """A plan of so many seconds; step k thrusts upwards with LEAST + k."""
    controls = np.zeros((T, 3))
    controls[:, 2] = LEAST + np.arange(T)
    states, times = np.tile(NEAR, (T + 1, 1)), np.linspace(0.0, seconds, T + 1)
    return replace(Plan(controls, states, 1.0, 'test', times=times), **changes)


def monitor_of(mode='tail', **limits):
    settings = Settings(CommandLimits.of(ROCKET, **limits), 0.5, mode, constraint_tolerance=1.0)
    return SafetyMonitor(ROCKET, settings)


def test_a_control_is_looked_up_by_the_times_of_its_plan():
    flown = TimedPlan(plan_of(100.0), 7.0)  # steps of 2 s, not of 0.1 s
    found = [flown.control_at(7.0 + t, ROCKET)[2] - LEAST for t in (0.0, 1.9, 2.1, 99.9)]
    assert found == [0.0, 0.0, 1.0, 49.0]
    assert flown.control_at(107.1, ROCKET) is None
    assert flown.end(ROCKET) == 107.0


def test_the_rest_of_the_last_plan_flies_while_states_are_stale():
    monitor, x = monitor_of(), Measurement(FAR, 0.0)
    monitor.decide(0.0, x, GOAL, Proposal(plan_of(100.0)))
    stale = monitor.decide(60.0, x, GOAL, Proposal())
    assert stale.state is SafetyState.FALLBACK
    assert stale.control[2] == LEAST + 30.0
    over = monitor.decide(101.0, x, GOAL, Proposal())
    np.testing.assert_array_equal(over.control, np.zeros(3))  # off


def test_a_plan_that_ends_at_its_goal_is_the_end():
    monitor = monitor_of()
    monitor.decide(0.0, Measurement(FAR, 0.0), GOAL, Proposal(plan_of(10.0)))
    assert not monitor.has_arrived(Measurement(NEAR, 9.9), GOAL)
    assert not monitor.has_arrived(Measurement(FAR, 10.0), GOAL)
    there = Measurement(NEAR, 10.0)
    assert monitor.has_arrived(there, GOAL)
    for _ in range(3):
        decision = monitor.decide(10.0, there, GOAL, Proposal())
        assert decision.state is SafetyState.ACTIVE
        assert decision.reason == Condition.ARRIVED.value
        np.testing.assert_array_equal(decision.control, ROCKET.u_trim)
    assert not monitor.has_arrived(there, GOAL + 100.0)  # another goal is another flight


def test_a_pilot_begins_anew_where_a_plan_has_ended_elsewhere():
    class Planner:
        system, cycles, tolerance, correction, adjustable = ROCKET, 1, 0.0, None, False
        asked = ()

        def plan(self, x, goal, **known):
            self.asked = (*self.asked, 'warm_start' in known)
            return plan_of(10.0)

    planner, now = Planner(), [0.0]
    pilot = Pilot(planner, monitor_of(), 0.1, lambda: now[0])
    for time, x in ((0.0, FAR), (9.9, FAR), (19.9, FAR), (29.9, NEAR)):
        now[0] = time
        decision = pilot.fly(Measurement(x, time), GOAL)
    assert planner.asked == (False, True, False)
    assert decision.reason == Condition.ARRIVED.value


def test_a_goal_is_reached_when_the_plan_ends_and_not_as_it_flies_by():
    judge, tolerance = GoalJudge(ROCKET), ROCKET.goal_tolerance
    decision = monitor_of().decide(0.0, Measurement(NEAR, 0.0), GOAL, Proposal(plan_of(50.0)))
    flown = TimedPlan(plan_of(50.0), 0.0)
    for now, state, left in ((20.0, GoalState.MOVING, 30.0), (49.95, GoalState.REACHED, 0.0)):
        found = judge.judge(now, decision, Measurement(NEAR, now), GOAL, 0.0, flown, tolerance)
        assert found.state is state
        assert found.time_to_go == pytest.approx(left)


NUMBERS = st.one_of(st.floats(-2 * FULL, 2 * FULL), st.just(0.0), st.just(math.nan))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1), st.sampled_from(['', 'rate']))
def test_a_thrust_is_off_or_as_long_as_the_engine_allows(wanted, limited):
    limits = CommandLimits.of(ROCKET, rate=[500.0] * 3 if limited else [])
    sent = None
    for control in wanted:
        sent, _ = limits.applied(np.array(control), sent, 0.1)
        length = np.linalg.norm(sent)
        assert length == 0.0 or LEAST * (1 - 1e-9) <= length <= FULL * (1 + 1e-9)


def test_a_thrust_is_stretched_in_its_own_direction():
    limits = CommandLimits.of(ROCKET)
    sent, limit = limits.applied(np.array([3000.0, 0.0, 1000.0]), None, 0.0)
    np.testing.assert_allclose(sent, LEAST * np.array([3.0, 0.0, 1.0]) / math.sqrt(10.0))
    assert limit == 'range'
    with pytest.raises(ValueError, match='cut the length of'):
        CommandLimits.of(ROCKET, high=[1e4] * 3)


def test_an_engine_is_switched_off_under_a_rate_limit():
    limits, sent = CommandLimits.of(ROCKET, rate=[2e4] * 3), np.array([0.0, 0.0, LEAST + 100.0])
    sent, _ = limits.applied(np.zeros(3), sent, 0.1)
    np.testing.assert_array_equal(sent, np.zeros(3))


def test_what_must_not_fly():
    assert defect(plan_of(20.0, converged=False), ROCKET) == ''  # a tick has a few sweeps
    assert defect(plan_of(20.0, converged=False, cost=math.inf), ROCKET)
    assert 'length' in defect(plan_of(20.0, controls=np.zeros((T, 3))), ROCKET)
    with pytest.raises(ValueError, match='fixed duration'):
        SafetyMonitor(ROCKET, Settings(CommandLimits.of(ROCKET), 0.5, 'lqr'), lambda x, goal: None)


def test_a_node_refuses_live_what_a_flight_could_not_take_over():
    pytest.importorskip('rclpy')
    from trc_ros.controller.live_settings import LiveSettings
    from trc_ros.parameters.table import specs_of

    values = {name: spec.default for name, spec in specs_of('controller').items()}
    controller = Controller.classical(ROCKET)
    LiveSettings.from_parameters(values, controller)
    for name, value in (('fallback_mode', 'lqr'), ('weights.R', [1.0] * 3)):
        with pytest.raises(ValueError, match='duration'):
            LiveSettings.from_parameters({**values, name: value}, controller)


def test_a_flight_is_remembered_with_its_times_and_prices():
    rng = np.random.default_rng(0)
    flight = new_flight(T, 7, 3, len(ROCKET.task.constraints), 6)
    flight.nu[:] = rng.normal(size=6)
    one, other = (
        Pilot(Controller.classical(ROCKET), monitor_of(), 0.1, lambda: 0.0) for _ in range(2)
    )
    one.monitor.accepted = TimedPlan(plan_of(math.pi, memory=flight), 1.5)
    recall(other, json.loads(json.dumps(remembered(one))))
    back = other.monitor.accepted
    np.testing.assert_array_equal(back.plan.times, one.monitor.accepted.plan.times)
    np.testing.assert_array_equal(back.plan.memory.nu, flight.nu)


def lander(**imperfections):
    return Plant(ROCKET.step, ROCKET, Imperfections(**imperfections), 0.01, 3, shipped.contact)


def test_the_ground_ends_a_flight():
    plant, up = lander(), np.array([0.0, 0.0, 3000.0 * 3.71])  # as heavy as it is, nearly
    plant.reset([5.0, -2.0, 0.255, 1.0, 0.0, -1.0, 3000.0])
    plant.step(up, 0.2)
    assert not plant.ended
    x = plant.step(up, 0.2)
    np.testing.assert_allclose(x[:3], [5.255, -2.0, 0.0], atol=1e-3)
    np.testing.assert_array_equal(x[3:6], np.zeros(3))
    assert plant.ended == 'on the ground, 5.62 m from the origin, at 1.41 m/s'
    np.testing.assert_array_equal(plant.step(up, 1.0), x)  # it does not take off again
    plant.reset(NEAR)
    assert not plant.ended


def test_a_lander_whose_engine_is_off_falls():
    plant, x = lander(), np.array([5.0, -2.0, 40.0, 1.0, 0.0, 3.0, 3000.0])
    plant.reset(x)
    after = plant.step(np.zeros(3), 2.0)
    np.testing.assert_allclose(after[:3], [7.0, -2.0, 40.0 + 2.0 * 3.0 - 2.0 * 3.71], atol=1e-2)
    np.testing.assert_allclose(after[3:], [1.0, 0.0, 3.0 - 2.0 * 3.71, 3000.0], atol=1e-2)


def test_a_thrust_that_is_not_aligned_keeps_its_length():
    plant, turned = lander(misalignment=0.1), []
    plant._physics = lambda x, u, dt: (turned.append(u), x)[1]
    plant.reset(FAR + 100.0 * np.eye(7)[2])
    for axis in np.eye(3):
        plant.step(1e4 * axis, 0.01)
    R = np.stack(turned, axis=1) / 1e4
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.arccos((np.trace(R) - 1.0) / 2.0) == pytest.approx(0.1)
    with pytest.raises(ValueError, match='misalignment'):
        Plant(None, get_system('cartpole'), Imperfections(misalignment=0.1), 0.01)
