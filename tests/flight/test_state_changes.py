"""Every change of the safety state is counted; the log stays readable when it flaps."""

import pytest

from trc_core.flight.safety import SafetyState
from trc_core.flight.state_changes import AT_ONCE, PERIOD, StateChanges

ACTIVE, DEGRADED, FALLBACK = SafetyState.ACTIVE, SafetyState.DEGRADED, SafetyState.FALLBACK
REASONS = {ACTIVE: 'plan accepted', DEGRADED: 'plan late', FALLBACK: 'state is stale'}


class Log:
    """Changes under a clock of the test's own, and what is told of them."""

    def __init__(self):
        self.now = 0.0
        self.lines = []
        tell = lambda state, line: self.lines.append((state, line))  # noqa: E731
        self.changes = StateChanges(tell, lambda: self.now)

    def note(self, state):
        self.changes.note(state, REASONS[state])

    def flap(self, seconds, rate=50.0, states=(ACTIVE, DEGRADED)):
        for k in range(round(seconds * rate)):
            self.note(states[k % len(states)])
            self.now += 1 / rate


@pytest.fixture
def log():
    return Log()


def test_the_first_changes_are_told_at_once_and_with_their_reason(log):
    for state in (ACTIVE, ACTIVE, FALLBACK, ACTIVE):
        log.note(state)
    assert log.lines == [
        (ACTIVE, 'active: plan accepted'),
        (FALLBACK, 'fallback: state is stale'),
        (ACTIVE, 'active: plan accepted'),
    ]


def test_a_flapping_state_is_one_line_per_period_and_every_change_is_counted(log):
    log.flap(4 * PERIOD)
    assert AT_ONCE + 3 <= len(log.lines) <= AT_ONCE + 4
    state, line = log.lines[AT_ONCE]
    assert state is DEGRADED
    assert line == (
        f'active <-> degraded: {round(50 * PERIOD) - AT_ONCE + 1} changes in {PERIOD:.1f} s, '
        'last degraded for: plan late; now active: plan accepted'
    )
    assert log.changes.entries == {ACTIVE: 100 * PERIOD, DEGRADED: 100 * PERIOD}


def test_what_was_held_back_is_told_although_the_state_has_come_to_rest(log):
    log.flap(0.5, states=(ACTIVE, FALLBACK))
    told = len(log.lines)
    log.note(ACTIVE)
    log.now += PERIOD
    log.note(ACTIVE)
    assert [state for state, _ in log.lines[told:]] == [FALLBACK]
    assert 'now active: plan accepted' in log.lines[-1][1]


def test_changes_are_told_at_once_again_after_a_calm_period(log):
    log.flap(PERIOD)
    log.changes.flush()
    told = len(log.lines)
    log.now += PERIOD
    log.note(FALLBACK)
    assert log.lines[told:] == [(FALLBACK, 'fallback: state is stale')]


def test_nothing_is_lost_at_the_end_of_a_flight(log):
    log.flap(0.2)
    log.changes.clear()
    assert ': 6 changes in 0.2 s' in log.lines[-1][1]
    log.note(ACTIVE)
    assert log.lines[-1] == (ACTIVE, 'active: plan accepted')
    assert log.changes.entries == {ACTIVE: 1}
