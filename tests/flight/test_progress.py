"""The way to a goal: when it counts as reached, and how long it still takes."""

import math
from dataclasses import replace

import numpy as np
import pytest

from trc_core import Controller
from trc_core.flight.progress import GoalJudge, GoalState, tolerance_of
from trc_core.flight.reference import ReferenceTrack
from trc_core.flight.safety import Decision, Measurement, SafetyState, TimedPlan

CONTROLLER = Controller.load('double_integrator', backend='numpy')
SYSTEM = CONTROLLER.system
TOLERANCE = np.array([0.1, 0.1])
ACTIVE = Decision(SafetyState.ACTIVE, np.zeros(1), None, 'plan accepted', None)
GOAL = np.array([1.0, 0.0])


def judged(x, goal=GOAL, decision=ACTIVE, judge=None, now=0.0, plan=None):
    measurement = Measurement(np.array(x, dtype=float), now)
    accepted = None if plan is None else TimedPlan(plan, now)
    judge = judge or GoalJudge(SYSTEM)
    return judge.judge(now, decision, measurement, goal, 0.0, accepted, TOLERANCE)


def test_a_goal_is_reached_when_every_state_is_within_its_tolerance():
    assert judged([0.95, 0.05]).state is GoalState.REACHED
    assert judged([0.85, 0.0]).state is GoalState.MOVING
    assert judged([1.0, 0.2]).state is GoalState.MOVING  # flies past it


def test_a_goal_that_was_reached_is_not_left_by_a_little_noise():
    judge = GoalJudge(SYSTEM)
    assert judged([1.12, 0.0], judge=judge).state is GoalState.MOVING
    found = [judged([x, 0.0], judge=judge).state.value for x in (1.05, 1.12, 1.05, 1.2, 1.12)]
    assert found == ['reached', 'reached', 'reached', 'moving', 'moving']
    judged([1.0, 0.0], judge=judge)
    other = np.array([1.12, 0.0]) + 0.12
    assert judged([1.12, 0.0], goal=other, judge=judge).state is GoalState.MOVING


def test_an_angle_is_reached_after_any_turns():
    system = replace(SYSTEM, angles=('position',))
    judge = GoalJudge(system)
    x = Measurement(np.array([1.0 + 2 * math.pi, 0.0]), 0.0)
    progress = judge.judge(0.0, ACTIVE, x, GOAL, 0.0, None, TOLERANCE)
    assert progress.state is GoalState.REACHED
    assert progress.distance == pytest.approx(0.0, abs=1e-9)


def test_the_time_to_go_is_that_of_the_plan():
    plan = CONTROLLER.plan(np.zeros(2), GOAL)
    progress = judged([0.0, 0.0], plan=plan)
    assert progress.distance == 1.0
    steps = round(progress.time_to_go / SYSTEM.dt)
    inside = (np.abs(plan.states - GOAL) <= TOLERANCE).all(axis=1)
    assert inside[steps:].all() and not inside[steps - 1]
    assert math.isnan(judged([0.0, 0.0]).time_to_go)  # without a plan nobody knows


def test_a_reference_is_reached_at_its_end_and_not_before():
    times, states = np.array([0.0, 5.0]), np.array([[1.0, 0.0], [1.0, 0.0]])
    track = ReferenceTrack.checked(SYSTEM, times, states, -1.0)
    plan = CONTROLLER.plan(GOAL, GOAL)
    before = judged([1.0, 0.0], goal=track, now=2.0, plan=plan)
    assert before.state is GoalState.MOVING
    assert before.time_to_go == pytest.approx(3.0)
    assert judged([1.0, 0.0], goal=track, now=5.0).state is GoalState.REACHED


WAITS = {
    'inactive': None,
    'no goal yet': Decision(SafetyState.WAITING, None, None, 'no goal yet', None),
    'state is stale': Decision(SafetyState.FALLBACK, None, None, 'state is stale', None),
}


@pytest.mark.parametrize('reason', WAITS)
def test_nothing_is_reached_while_nothing_is_planned(reason):
    progress = judged([1.0, 0.0], decision=WAITS[reason])
    assert (progress.state, progress.reason) == (GoalState.WAITING, reason)


def test_a_plant_without_a_goal_holds():
    assert judged([1.0, 0.0], goal=None).state is GoalState.HOLDING


def test_tolerances_are_those_stated_or_the_systems_own():
    assert tolerance_of(SYSTEM, []) is SYSTEM.goal_tolerance
    assert tolerance_of(SYSTEM, [0.5, 0.2]).tolist() == [0.5, 0.2]
    with pytest.raises(ValueError, match=r'goal_tolerance has 1 values; write one for each of \['):
        tolerance_of(SYSTEM, [0.5])
    with pytest.raises(ValueError, match='write positive numbers'):
        tolerance_of(SYSTEM, [0.5, 0.0])
