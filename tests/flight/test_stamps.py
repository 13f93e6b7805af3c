"""A stamp is believed only where the clocks on both sides can be right."""

import pytest

from trc_core.flight.stamps import BadStamp, StampCheck

TIMEOUT = 0.2


def refused(check, stamp, now):
    with pytest.raises(BadStamp) as caught:
        check.age(stamp, now, TIMEOUT)
    return caught.value.reason, str(caught.value)


def test_the_age_of_a_message_is_what_its_stamp_says():
    check = StampCheck()
    assert check.age(100.0, 100.15, TIMEOUT) == pytest.approx(0.15)
    assert check.age(100.0, 100.16, TIMEOUT) == pytest.approx(0.16)  # twice the same stamp
    assert check.age(100.3, 100.2, TIMEOUT) == 0.0  # clocks are never quite alike


def test_a_message_that_is_too_old_on_arrival_is_stale_and_says_how_old():
    reason, text = refused(StampCheck(), 98.7, 100.0)
    assert reason == 'stale'
    assert text.startswith('1.300 s old on arrival, state_timeout is 0.2 s; send it sooner, or')


def test_a_stamp_in_the_future_or_before_the_last_one_means_that_a_clock_jumped():
    check = StampCheck()
    reason, text = refused(check, 100.3, 100.0)
    assert reason == 'stamp'
    assert text.startswith('0.300 s in the future; synchronise the clocks')
    check.age(100.0, 100.0, TIMEOUT)
    assert refused(check, 99.95, 100.05) == ('stamp', '0.050 s before the one that came before')
    assert refused(check, 50.0, 100.1)[0] == 'stamp'
    assert check.age(100.2, 100.2, TIMEOUT) == 0.0


def test_stamps_are_believed_again_after_our_own_clock_has_started_over():
    check = StampCheck()
    check.age(100.0, 100.0, TIMEOUT)
    assert check.age(1.0, 1.05, TIMEOUT) == pytest.approx(0.05)
    assert refused(check, 0.9, 1.1)[0] == 'stamp'


def test_a_simulated_clock_that_has_not_started_is_named():
    assert refused(StampCheck(), 5.0, 0.0) == (
        'stamp',
        'use_sim_time is set but nothing has arrived on /clock yet',
    )
