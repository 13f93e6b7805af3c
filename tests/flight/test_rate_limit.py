"""Events begin no more cycles than asked for, and their jitter costs none."""

import itertools

import numpy as np
import pytest

from trc_core.flight.rate_limit import RateLimit


def answered(arrivals, frequency):
    """The arrivals that begin a cycle."""
    limit, found = RateLimit(1 / frequency), []
    for now in arrivals:
        if now >= limit.due:
            limit.begin(now)
            found.append(now)
    return np.array(found)


def most_in_a_second(times):
    return max(np.searchsorted(times, t + 1.0) - k for k, t in enumerate(times))


def intervals(rng, rate, seconds, jitter):
    return np.cumsum((1 + rng.uniform(-jitter, jitter, round(rate * seconds))) / rate)


def phases(rng, rate, seconds, jitter):
    return (np.arange(rate * seconds) + rng.uniform(-jitter, jitter, round(rate * seconds))) / rate


ARRIVALS = {'intervals': intervals, 'phases': phases}


@pytest.mark.parametrize('kind', ARRIVALS)
@pytest.mark.parametrize('jitter', [0.0, 0.01, 0.3])
@pytest.mark.parametrize(
    ('rate', 'frequency'),
    [(100, 100), (400, 50), (120, 100), (199, 100), (10_000, 100), (30, 100)],
)
def test_the_rate_is_the_smaller_one_and_never_more(kind, jitter, rate, frequency):
    for seed in range(2):
        arrivals = ARRIVALS[kind](np.random.default_rng(seed), rate, 10, jitter)
        found = answered(arrivals, frequency)
        assert most_in_a_second(found) <= frequency + 1
        mean = (len(found) - 1) / (found[-1] - found[0])
        assert mean <= frequency * (1 + 1e-6) + 1 / 10
        wanted = min(rate, frequency)
        worst = 0.94 if rate < 2 * frequency else 0.999
        assert mean >= (worst if jitter or rate % frequency else 0.999) * wanted


def test_a_state_that_comes_as_often_as_asked_is_answered_always_but_for_its_jitter():
    arrivals = phases(np.random.default_rng(0), 100, 20, 0.3)
    assert len(answered(arrivals, 100)) >= len(arrivals) - 2


def test_one_late_state_does_not_delay_those_after_it():
    arrivals = 0.01 * np.arange(100.0)
    arrivals[50] += 0.008
    assert len(answered(arrivals, 100)) == 100 - 1  # the next one comes 2 ms later
    arrivals[50] -= 0.004
    assert len(answered(arrivals, 100)) == 100


def test_after_a_gap_there_is_no_burst():
    before, after = 0.0025 * np.arange(400), 5.0 + 0.0025 * np.arange(400)
    found = answered([*before, *after], 50)
    assert min(b - a for a, b in itertools.pairwise(found)) >= 0.0149
