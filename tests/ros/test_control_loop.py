"""The loop keeps its grid of deadlines, skips instead of bursting, and counts truthfully."""

import threading
import time

import numpy as np
import pytest

from trc_ros.control_loop import WINDOW, ControlLoop, LoopStatistics, Series, next_deadline


def run(period, cycle, seconds):
    failures = []
    loop = ControlLoop(period, cycle, failures.append)
    loop.start()
    time.sleep(seconds)
    loop.stop()
    return loop.statistics, failures


def test_deadlines_stay_on_the_grid():
    assert next_deadline(10.0, 0.1, 10.05) == (pytest.approx(10.1), 0)
    assert next_deadline(10.0, 0.1, 10.12) == (pytest.approx(10.2), 1)
    assert next_deadline(10.0, 0.1, 10.37) == (pytest.approx(10.4), 3)
    # Exactly at the next deadline is too late for it.
    assert next_deadline(8.0, 0.5, 8.5) == (9.0, 1)


def test_the_loop_calls_its_cycle_at_the_rate_on_a_fixed_grid():
    starts = []
    statistics, failures = run(0.02, lambda: starts.append(time.monotonic()), 1.01)
    assert failures == []
    assert statistics.cycles == len(starts)
    assert statistics.cycles + statistics.skipped == pytest.approx(51, abs=2)
    # Drift would move the median phase; a slow wake-up moves single starts only.
    phases = (np.array(starts) - starts[0] + 0.01) % 0.02 - 0.01
    assert abs(np.median(phases)) < 2e-3


def test_a_slow_cycle_costs_cycles_but_never_causes_a_burst():
    starts = []

    def cycle():
        starts.append(time.monotonic())
        if len(starts) == 5:
            time.sleep(0.07)

    statistics, _ = run(0.02, cycle, 0.5)
    gaps = np.diff(starts)
    assert statistics.deadline_misses >= 1
    assert statistics.skipped >= 3
    assert gaps[4] == pytest.approx(0.08, abs=0.015)
    # A burst would start two cycles within one period of each other, several times over.
    assert (gaps[4:] < 0.01).sum() <= 1


def test_the_loop_stops_at_once_even_when_it_is_slow():
    loop = ControlLoop(30.0, lambda: None, pytest.fail)
    loop.start()
    time.sleep(0.05)
    before = time.monotonic()
    loop.stop()
    assert time.monotonic() - before < 0.5
    assert loop.statistics.cycles == 1


def test_a_cycle_that_raises_ends_the_loop_and_is_reported():
    error, reported = RuntimeError('broken'), threading.Event()
    failures = []

    def fail(reason):
        failures.append(reason)
        loop.stop()  # from the loop's own thread: must not wait for itself
        reported.set()

    def cycle():
        raise error

    loop = ControlLoop(0.01, cycle, fail)
    loop.start()
    assert reported.wait(2.0)
    assert failures == [error]
    assert loop.statistics.cycles == 1


def test_statistics_match_the_times_they_were_given():
    statistics = LoopStatistics(0.1)
    for now in (1.0, 1.1, 1.21, 1.3):
        statistics.begin(now)
    assert statistics.rate() == pytest.approx(10.0)
    spread = statistics.jitter.spread()
    assert spread.max == pytest.approx(0.01)
    assert spread.p50 == pytest.approx(0.01)


def test_a_series_keeps_the_newest_values_and_the_maximum_of_all():
    series, values = Series(), np.random.default_rng(0).uniform(0, 1, 3 * WINDOW // 2)
    values[0] = 7.0
    for value in values:
        series.add(value)
    spread = series.spread()
    assert spread.max == 7.0
    assert spread.p50 == pytest.approx(np.percentile(values[-WINDOW:], 50))
    assert spread.p99 == pytest.approx(np.percentile(values[-WINDOW:], 99))


def test_an_empty_series_has_no_numbers():
    spread = Series().spread()
    assert np.isnan([spread.p50, spread.p99, spread.max]).all()


def test_a_period_must_be_positive():
    with pytest.raises(ValueError, match='period is 0'):
        ControlLoop(0, print, print)
