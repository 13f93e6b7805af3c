"""Whatever flies stays inside the command limits and changes no faster than they allow."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trc_core.flight.limits import CommandLimits
from trc_core.flight.safety import (
    FALLBACKS,
    Measurement,
    Proposal,
    SafetyMonitor,
    SafetyState,
)
from trc_core.flight.settings import Settings
from trc_core.numerics.plan import Plan
from trc_core.systems import get_system

SYSTEM = get_system('quadrotor_2d')  # two controls, a trim control that is not zero
ONE = get_system('van_der_pol')  # |u| <= 2
GOAL = np.zeros(SYSTEM.n_x)


def plan_of(value, system=ONE):
    controls = np.full((system.horizon, system.n_u), float(value))
    return Plan(controls, np.zeros((system.horizon + 1, system.n_x)), 1.0, 'test')


def monitor_of(system=ONE, lqr=None, **changes):
    values = {'limits': CommandLimits.of(system), 'state_timeout': 0.2, **changes}
    return SafetyMonitor(system, Settings(**values), lqr)


def fly(monitor, now, value, **changes):
    """One cycle with a fresh state and a plan that holds `value`."""
    system = monitor.system
    measurement = Measurement(np.zeros(system.n_x), now)
    goal = np.zeros(system.n_x)
    return monitor.decide(now, measurement, goal, Proposal(plan_of(value, system)), **changes)


MISTAKES = {
    "command_limits.min has 2 values; write one for each of ['force'], or []": {'low': [0, 1]},
    'command_limits.max is [2.5]; choose from [-2.0] to [2.0], the bounds of van_der_pol': {
        'high': [2.5]
    },
    'command_limits.min is [1.0], above command_limits.max [0.5]; '
    'in flight, change the other one first': {
        'low': [1.0],
        'high': [0.5],
    },
    'command_limits.rate is [0.0]; write positive numbers, or [] for none': {'rate': [0.0]},
}


@pytest.mark.parametrize('message', MISTAKES)
def test_limits_that_cannot_hold_say_what_to_write(message):
    with pytest.raises(ValueError) as caught:
        CommandLimits.of(ONE, **MISTAKES[message])
    assert str(caught.value) == message


def test_a_plan_beyond_the_range_is_clipped_counted_and_named():
    monitor = monitor_of(limits=CommandLimits.of(ONE, [-1.0], [0.5]))
    for now, value, control, limit in (
        (0.00, 0.3, 0.3, ''),
        (0.05, 1.5, 0.5, 'range'),
        (0.10, -1.5, -1.0, 'range'),
    ):
        decision = fly(monitor, now, value)
        assert decision.control == pytest.approx([control])
        assert decision.limit == limit
        assert decision.state is SafetyState.ACTIVE
    assert monitor.limited == {'range': 2}


def test_a_command_changes_no_faster_than_its_rate():
    monitor = monitor_of(limits=CommandLimits.of(ONE, rate=[4.0]))
    assert fly(monitor, 0.0, 1.0).control == pytest.approx([1.0])  # nothing was said before
    controls = [fly(monitor, 0.1 * k, -1.0).control[0] for k in range(1, 8)]
    assert controls == pytest.approx([0.6, 0.2, -0.2, -0.6, -1.0, -1.0, -1.0])
    assert monitor.limited == {'rate': 4}


def test_a_command_walks_into_a_range_that_became_narrower():
    monitor = monitor_of(limits=CommandLimits.of(ONE, rate=[4.0]))
    fly(monitor, 0.0, 1.5)
    narrow = CommandLimits.of(ONE, [-0.5], [0.5], [4.0])
    monitor.settings = replace(monitor.settings, limits=narrow)
    controls = [fly(monitor, 0.1 * k, 1.5).control[0] for k in range(1, 5)]
    assert controls == pytest.approx([1.1, 0.7, 0.5, 0.5])


def test_the_way_to_the_last_word_keeps_the_rate_too():
    monitor = monitor_of(limits=CommandLimits.of(ONE, rate=[4.0]))
    assert monitor.land(0.0) is None
    fly(monitor, 0.0, 1.0)
    controls = [monitor.land(0.1 * k)[0] for k in range(1, 5)]
    assert controls == pytest.approx([0.6, 0.2, 0.0, 0.0])
    fly(monitor, 0.0, 1.0)
    assert monitor.land(0.1, at_once=True) == pytest.approx([0.0])
    assert monitor.last_control == pytest.approx([0.0])
    assert monitor.safe_control() == pytest.approx([0.0])


def test_a_goal_that_is_too_old_leads_to_the_fallback_and_a_new_one_back():
    monitor = monitor_of(fallback_mode='zero', goal_timeout=1.0)
    assert fly(monitor, 5.0, 1.0, goal_time=3.9).state is SafetyState.WAITING
    assert fly(monitor, 5.0, 1.0, goal_time=4.1).state is SafetyState.ACTIVE
    decision = fly(monitor, 5.2, 1.0, goal_time=4.1)
    assert (decision.state, decision.reason) == (SafetyState.FALLBACK, 'goal is stale')
    assert decision.control == pytest.approx([0.0])
    assert fly(monitor, 5.3, 1.0, goal_time=5.25).state is SafetyState.ACTIVE
    assert fly(monitor, 99.0, 1.0, goal_time=None).state is SafetyState.ACTIVE


@pytest.mark.parametrize('tolerance', [-1, 0, 1, 3])
def test_more_failures_than_tolerated_lead_to_the_fallback(tolerance):
    monitor = monitor_of(failure_tolerance=tolerance)
    fly(monitor, 0.0, 1.0)
    states = [fly(monitor, 0.05 * k, math.nan).state for k in range(1, 6)]
    bridged = 5 if tolerance < 0 else tolerance
    degraded, fallback = SafetyState.DEGRADED, SafetyState.FALLBACK
    assert states == [degraded] * bridged + [fallback] * (5 - bridged)
    reason = fly(monitor, 0.3, math.nan).reason
    if tolerance >= 0:
        assert reason == '6 plans late or rejected in a row: plan is not finite'
    assert fly(monitor, 0.35, 1.0).state is SafetyState.ACTIVE
    if tolerance:
        assert fly(monitor, 0.4, math.nan).state is degraded  # counted anew


def numbers(low, high):
    return st.lists(st.floats(low, high), min_size=2, max_size=2).map(np.array)


@st.composite
def limits_of(draw):
    """Any limits inside the bounds, with and without rates."""
    span = SYSTEM.u_max - SYSTEM.u_min
    ends = np.sort([draw(numbers(0, 1)), draw(numbers(0, 1))], axis=0)
    # Rounding of the scaling must not leave the bounds.
    low, high = np.clip(SYSTEM.u_min + ends * span, SYSTEM.u_min, SYSTEM.u_max)
    rate = draw(st.one_of(st.just(()), numbers(0.01, 100.0)))
    return CommandLimits.of(SYSTEM, low, high, rate)


@st.composite
def events(draw):
    """Seconds since the last cycle, whether a state came, the plan, and new settings or None."""
    change = None
    if draw(st.integers(0, 2)) == 0:
        change = Settings(
            draw(limits_of()),
            state_timeout=0.2,
            fallback_mode=draw(st.sampled_from(sorted(FALLBACKS))),
            failure_tolerance=draw(st.integers(-1, 2)),
        )
    value = draw(st.one_of(st.none(), st.sampled_from([math.nan, 1e9]), st.floats(0.0, 8.0)))
    elapsed = draw(st.sampled_from([0.0, 1e-9, 0.02, 0.3, 5.0]))
    return elapsed, draw(st.booleans()), value, change


def inside(control, limits):
    return (control >= limits.low).all() and (control <= limits.high).all()


@settings(max_examples=150)
@given(st.lists(events(), min_size=2, max_size=15))
def test_no_sequence_of_events_and_settings_breaks_a_limit_or_a_rate(sequence):
    broken = plan_of(math.nan, SYSTEM)
    monitor = monitor_of(SYSTEM, lambda x, goal: broken)
    now, measured, last, last_time, walking = 0.0, -1.0, None, 0.0, False
    for elapsed, arrived, value, change in sequence:
        now += elapsed
        measured = now if arrived else measured
        if change is not None:
            monitor.settings = change
            walking = last is not None and not inside(last, change.limits)
        limits = monitor.settings.limits
        proposal = Proposal() if value is None else Proposal(plan_of(value, SYSTEM))
        decision = monitor.decide(now, Measurement(GOAL, measured), GOAL, proposal)
        if decision.control is None:
            continue
        control = decision.control
        assert np.isfinite(control).all()
        assert (control >= SYSTEM.u_min).all() and (control <= SYSTEM.u_max).all()
        if last is not None and np.isfinite(limits.rate).all():
            allowed = limits.rate * (now - last_time)
            assert (np.abs(control - last) <= allowed + 1e-12).all()
        if walking:  # never further out than it was, and at the full rate while it is outside
            out = np.maximum(np.maximum(limits.low - control, control - limits.high), 0.0)
            before = np.maximum(np.maximum(limits.low - last, last - limits.high), 0.0)
            step = np.minimum(limits.rate, 1e9) * (now - last_time)
            reach = np.where(np.isfinite(limits.rate), step, np.inf)
            assert (out <= np.maximum(before - reach, 0.0) + 1e-12).all()
            walking = bool(out.any())
        else:
            assert inside(control, limits)
        last, last_time = control, now
