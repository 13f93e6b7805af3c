"""The safety monitor lets nothing unsafe through, whatever states and plans come in."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import COLD_START_AFTER, Pilot
from trc_core.flight.safety import (
    FALLBACKS,
    TRANSITIONS,
    Condition,
    Measurement,
    Proposal,
    SafetyMonitor,
    SafetyState,
    defect,
)
from trc_core.flight.settings import Settings
from trc_core.numerics.plan import Plan
from trc_core.systems import SYSTEMS, get_system

SYSTEM = get_system('van_der_pol')  # dt 0.05 s, T = 100, |u| <= 2
TIMEOUT = 0.2
GOAL = np.zeros(2)
X = np.array([1.0, 0.5])


def make_plan(value=1.0, system=SYSTEM, **changes):
    """A plan whose control k is value + k / 1000."""
    controls = value + np.arange(system.horizon)[:, None] / 1000 * np.ones(system.n_u)
    states = np.zeros((system.horizon + 1, system.n_x))
    return replace(Plan(controls, states, 1.0, 'test'), **changes)


def with_entry(array, value):
    array = array.copy()
    array.flat[3] = value
    return array


def settings_of(mode='tail', system=SYSTEM, **changes):
    return Settings(CommandLimits.of(system), TIMEOUT, mode, **changes)


def monitor_in(mode='tail', system=SYSTEM, **changes):
    settings = settings_of(mode, system, **changes)
    return SafetyMonitor(system, settings, lambda x, goal: make_plan(-0.5, system))


def test_the_table_covers_every_state_and_condition():
    assert set(TRANSITIONS) == set(Condition)
    assert all(set(row) == set(SafetyState) for row in TRANSITIONS.values())


def test_waiting_commands_nothing():
    decision = monitor_in().decide(0.0, None, GOAL, Proposal())
    assert decision.state is SafetyState.WAITING
    assert decision.control is None


def test_a_state_that_is_stale_before_the_first_cycle_commands_nothing():
    decision = monitor_in().decide(1.0, Measurement(X, 0.0), GOAL, Proposal())
    assert decision.state is SafetyState.WAITING
    assert decision.control is None


def test_a_good_plan_flies_with_the_control_of_its_age():
    for age, step in ((0.0, 0), (0.049, 0), (0.051, 1), (0.199, 3)):
        decision = monitor_in().decide(age, Measurement(X, 0.0), GOAL, Proposal(make_plan()))
        assert decision.state is SafetyState.ACTIVE
        assert decision.control == pytest.approx([1.0 + step / 1000])


DEFECTS = {
    'plan is not finite': [
        make_plan(controls=with_entry(make_plan().controls, math.nan)),
        make_plan(states=with_entry(make_plan().states, math.inf)),
    ],
    'plan exceeds the control bounds': [
        make_plan(controls=with_entry(make_plan().controls, 2.1)),
        make_plan(controls=with_entry(make_plan().controls, -2.1)),
    ],
    'plan did not converge': [make_plan(converged=False)],
    'plan has controls of shape (99, 1)': [make_plan(controls=make_plan().controls[1:])],
}


@pytest.mark.parametrize('reason', DEFECTS)
def test_a_defective_plan_is_rejected_and_the_previous_one_flies_on(reason):
    assert defect(make_plan(), SYSTEM) == ''
    for plan in DEFECTS[reason]:
        monitor = monitor_in()
        monitor.decide(0.0, Measurement(X, 0.0), GOAL, Proposal(make_plan()))
        decision = monitor.decide(0.12, Measurement(X, 0.12), GOAL, Proposal(plan))
        assert decision.state is SafetyState.DEGRADED
        assert decision.reason == reason
        assert decision.plan is None
        assert decision.control == pytest.approx([1.002])


def test_a_late_plan_degrades_but_is_newer_than_what_there_was():
    monitor = monitor_in()
    monitor.decide(0.0, Measurement(X, 0.0), GOAL, Proposal(make_plan()))
    late = Proposal(make_plan(0.3), plan_time=0.07, late=True)
    decision = monitor.decide(0.12, Measurement(X, 0.05), GOAL, late)
    assert decision.state is SafetyState.DEGRADED
    assert decision.control == pytest.approx([0.301])


def test_a_plan_that_violates_constraints_flies_degraded_with_the_reason():
    monitor = monitor_in(constraint_tolerance=0.05)
    least = make_plan(0.4, violation=0.06)
    for before in (Proposal(), Proposal(make_plan())):
        monitor.decide(0.0, Measurement(X, 0.0), GOAL, before)
        decision = monitor.decide(0.05, Measurement(X, 0.05), GOAL, Proposal(least))
        assert decision.state is SafetyState.DEGRADED
        assert decision.plan is least
        assert decision.control == pytest.approx([0.4])
        assert decision.reason == (
            'plan violates a constraint by 0.06 (constraint_tolerance 0.05)'
        )
        assert monitor.rejections == 0
    named = replace(least, warnings=("constraint 'wall' is violated by 0.06 after 1 s",))
    decision = monitor.decide(0.1, Measurement(X, 0.1), GOAL, Proposal(named))
    assert decision.reason.startswith("constraint 'wall' is violated by 0.06 after 1 s")
    held = Proposal(make_plan(violation=0.05))
    assert monitor.decide(0.15, Measurement(X, 0.15), GOAL, held).state is SafetyState.ACTIVE
    late = Proposal(least, late=True)
    assert monitor.decide(0.2, Measurement(X, 0.2), GOAL, late).reason == 'plan is late'


def test_a_first_plan_that_fails_leads_to_the_fallback():
    decision = monitor_in().decide(0.0, Measurement(X, 0.0), GOAL, Proposal(failure='no'))
    assert decision.state is SafetyState.FALLBACK
    assert decision.control == pytest.approx(SYSTEM.u_trim)


def test_rejected_plans_fly_the_tail_until_it_is_used_up():
    monitor = monitor_in()
    monitor.decide(0.0, Measurement(X, 0.0), GOAL, Proposal(make_plan()))
    decisions = [
        monitor.decide(t, Measurement(X, t), GOAL, Proposal())
        for t in np.arange(1, 110) * SYSTEM.dt + 0.01
    ]
    states = [decision.state for decision in decisions]
    assert states == [SafetyState.DEGRADED] * 99 + [SafetyState.FALLBACK] * 10
    controls = [decision.control[0] for decision in decisions]
    np.testing.assert_allclose(controls[:99], 1 + np.arange(1, 100) / 1000)
    assert controls[99:] == [0.0] * 10


EXPECTED = {'tail': 1.006, 'lqr': -0.494, 'hold': 1.0, 'zero': 0.0, 'none': None}


@pytest.mark.parametrize('mode', FALLBACKS)
def test_silence_leads_to_the_fallback_and_a_state_back(mode):
    monitor = monitor_in(mode)
    monitor.decide(0.0, Measurement(X, 0.0), GOAL, Proposal(make_plan()))
    decision = monitor.decide(0.31, Measurement(X, 0.0), GOAL, Proposal())
    assert decision.state is SafetyState.FALLBACK
    expected = EXPECTED[mode]
    assert decision.control == (None if expected is None else pytest.approx([expected]))
    decision = monitor.decide(0.35, Measurement(X, 0.34), GOAL, Proposal(make_plan()))
    assert decision.state is SafetyState.ACTIVE


def test_the_lqr_fallback_plans_again_when_a_state_arrives():
    calls = []

    def lqr_plan(x, goal):
        calls.append(x[0])
        return make_plan(x[0])

    monitor = SafetyMonitor(SYSTEM, settings_of('lqr'), lqr_plan)
    for now, measured in ((0.0, 0.0), (0.05, 0.0), (0.1, 0.1)):
        x = np.array([0.5 + measured, 0.0])
        decision = monitor.decide(now, Measurement(x, measured), GOAL, Proposal())
        assert decision.state is SafetyState.FALLBACK
    assert calls == [0.5, 0.6]
    assert decision.control == pytest.approx([0.6])


def test_an_abandoned_tail_is_not_resumed_by_a_state_without_a_plan():
    monitor = monitor_in('zero')
    monitor.decide(0.0, Measurement(X, 0.0), GOAL, Proposal(make_plan()))
    monitor.decide(0.3, Measurement(X, 0.0), GOAL, Proposal())
    decision = monitor.decide(0.35, Measurement(X, 0.35), GOAL, Proposal())
    assert decision.state is SafetyState.FALLBACK
    assert decision.control == pytest.approx([0.0])


def test_zero_is_clipped_into_bounds_that_exclude_it():
    system = replace(SYSTEM, u_min=[0.5], u_trim=[1.0])
    monitor = monitor_in('zero', system)
    monitor.decide(0.0, Measurement(X, 0.0), GOAL, Proposal(make_plan(1.5, system)))
    decision = monitor.decide(1.0, Measurement(X, 0.0), GOAL, Proposal())
    assert decision.control == pytest.approx([0.5])
    assert monitor.safe_control() == pytest.approx([0.5])


def test_the_last_word_is_the_trim_control_and_nothing_if_nothing_was_said():
    system = replace(SYSTEM, u_trim=[0.7])
    monitor = monitor_in('tail', system)
    assert monitor.safe_control() is None
    monitor.decide(0.0, Measurement(X, 0.0), GOAL, Proposal(make_plan(1.0, system)))
    assert monitor.safe_control() == pytest.approx([0.7])


def test_an_unknown_mode_names_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown fallback_mode 'stop'; choose from \['hold'"):
        monitor_in('stop')


bad_number = st.sampled_from([math.nan, math.inf, -math.inf, 1e300, 2.5, -2.5])


@st.composite
def proposals(draw, system):
    if draw(st.booleans()):
        return Proposal()
    plan = make_plan(draw(st.floats(-1.9, 1.9)), system)
    plan = replace(plan, controls=np.clip(plan.controls, system.u_min, system.u_max))
    if draw(st.booleans()):
        plan = replace(plan, controls=with_entry(plan.controls, draw(bad_number)))
    if draw(st.booleans()):
        plan = replace(plan, states=with_entry(plan.states, draw(bad_number)))
    return Proposal(plan, late=draw(st.booleans()))


@pytest.mark.parametrize(('name', 'mode'), itertools.product(SYSTEMS, FALLBACKS))
@given(data=st.data())
def test_no_sequence_of_inputs_leads_to_an_unsafe_command(name, mode, data):
    system = SYSTEMS[name]
    # Even the LQR plan may come out broken: the last line of defence is the monitor's own.
    broken = make_plan(math.nan, system)
    monitor = SafetyMonitor(system, settings_of(mode, system), lambda x, goal: broken)
    now = measured = 0.0
    for _ in range(data.draw(st.integers(1, 12))):
        now += data.draw(st.sampled_from([0.02, 0.3, 2.0, 30.0]))
        measured = now if data.draw(st.booleans()) else measured
        proposal = data.draw(proposals(system))
        decision = monitor.decide(now, Measurement(X, measured), np.zeros(system.n_x), proposal)
        for control in (decision.control, monitor.safe_control()):
            if control is not None:
                assert np.isfinite(control).all()
                assert (control >= system.u_min).all()
                assert (control <= system.u_max).all()
        if decision.state is SafetyState.ACTIVE:
            assert now - measured <= TIMEOUT
            assert defect(proposal.plan, system) == ''
        if decision.control is None:
            assert decision.state is SafetyState.WAITING or mode == 'none'


class ScriptedController:
    """Answers `plan` with what the test hands it, and remembers how it was asked."""

    def __init__(self, clock):
        self.system = SYSTEM
        self.cycles = 3
        self.adjustable = False
        self.correction = None
        self.clock = clock
        self.duration = 0.0
        self.answers = []
        self.asked = []

    def plan(self, x, goal, warm_start=None, deadline=None, elapsed=None):
        self.asked.append((warm_start, elapsed, deadline))
        self.clock.now += self.duration
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def flight():
    clock = Clock()
    controller = ScriptedController(clock)
    return clock, controller, Pilot(controller, monitor_in(), 0.05, clock)


def test_the_pilot_warms_up_from_the_last_accepted_plan_and_its_age(flight):
    clock, controller, pilot = flight
    first = make_plan()
    controller.answers = [first, make_plan()]
    pilot.fly(Measurement(X, 0.0), GOAL)
    clock.now = 0.05
    pilot.fly(Measurement(X, 0.04), GOAL)
    assert controller.asked[0][:2] == (None, None)
    assert controller.asked[1][0] is first
    assert controller.asked[1][1] == pytest.approx(0.04)
    assert controller.asked[1][2] == pytest.approx(0.04)  # 80 % of the period


def test_the_pilot_starts_cold_after_repeated_rejections(flight):
    clock, controller, pilot = flight
    controller.answers = [make_plan(), *[ValueError('singular')] * (COLD_START_AFTER + 1)]
    for _ in range(COLD_START_AFTER + 2):
        clock.now += 0.05
        decision = pilot.fly(Measurement(X, clock.now), GOAL)
    assert [warm is None for warm, *_ in controller.asked] == [
        True,
        *[False] * COLD_START_AFTER,
        True,
    ]
    assert decision.state is SafetyState.DEGRADED
    assert decision.reason == 'no plan: singular'


def test_the_pilot_calls_a_plan_late_that_takes_longer_than_the_period(flight):
    _, controller, pilot = flight
    controller.duration, controller.answers = 0.06, [make_plan()]
    decision = pilot.fly(Measurement(X, 0.0), GOAL)
    assert decision.state is SafetyState.DEGRADED
    assert decision.plan_time == pytest.approx(0.06)
    assert decision.control == pytest.approx([1.001])


def test_the_pilot_does_not_plan_from_a_stale_state(flight):
    clock, controller, pilot = flight
    clock.now = 1.0
    pilot.fly(Measurement(X, 0.0), GOAL)
    pilot.fly(None, GOAL)
    assert controller.asked == []
