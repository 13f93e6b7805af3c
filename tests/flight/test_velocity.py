"""Velocities by differences are those of the motion, whenever and however positions arrive."""

import math

import numpy as np
import pytest

from trc_core.flight.velocity import VelocityFilter

GAP = 0.5  # [s]
CUTOFF = 20.0  # [Hz]
TIME_CONSTANT = 1 / (2 * math.pi * CUTOFF)


def times_of(rng, period, seconds):
    """Times with 30 % jitter."""
    steps = period * rng.uniform(0.7, 1.3, round(seconds / period))
    return np.cumsum(steps)


def velocities(times, positions, cutoff=CUTOFF, turning=()):
    found = VelocityFilter(cutoff, GAP, turning)
    return [found.update(0, x, t) for x, t in zip(positions, times, strict=True)]


def test_a_constant_velocity_comes_out_as_it_is_at_any_times():
    times = times_of(np.random.default_rng(0), 0.01, 1.0)
    first, *others = velocities(times, 2.0 - 3.0 * times)
    assert first is None
    np.testing.assert_allclose(others, -3.0, rtol=1e-9)


@pytest.mark.parametrize('period', [0.001, 0.0025, 0.01])
def test_a_velocity_that_jumps_is_followed_at_the_time_constant_whatever_the_period(period):
    times = times_of(np.random.default_rng(1), period, 2.0)
    positions = np.maximum(times - 1.0, 0.0)  # it stands, then moves at 1 m/s from t = 1
    found = np.array(velocities(times, positions)[1:])
    since = times[1:] - 1.0
    expected = np.where(since > 0, 1 - np.exp(-since / TIME_CONSTANT), 0.0)
    assert np.abs(found - expected).max() <= 1.3 * period / TIME_CONSTANT


def test_a_sine_comes_out_with_the_gain_and_delay_of_the_filter():
    times = times_of(np.random.default_rng(2), 0.001, 3.0)
    w = 2 * math.pi * 5.0
    found = np.array(velocities(times, np.sin(w * times))[1:])
    gain = 1 / math.hypot(1, w * TIME_CONSTANT)
    delay = math.atan(w * TIME_CONSTANT)
    expected = w * gain * np.cos(w * times[1:] - delay)
    late = times[1:] > 1.0
    assert np.abs(found - expected)[late].max() < 0.03 * w


def test_noise_of_an_encoder_is_smoothed_and_not_magnified_by_short_periods():
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(1e-6, 5e-3, 4000))  # some arrive in bursts
    ticks = np.round(0.3 * times / 1e-3) * 1e-3  # 1 mm
    raw = np.diff(ticks) / np.diff(times)
    found = np.array(velocities(times, ticks, cutoff=2.0)[200:])
    assert raw.max() > 5.0
    np.testing.assert_allclose(found, 0.3, atol=0.03)


def test_an_angle_that_wraps_turns_on_at_the_same_speed():
    times = np.arange(0.0, 3.0, 0.01)
    wrapped = np.arctan2(np.sin(5.0 * times), np.cos(5.0 * times))
    np.testing.assert_allclose(velocities(times, wrapped, turning=(0,))[1:], 5.0, rtol=1e-9)
    assert min(velocities(times, wrapped)[1:]) < -50.0


def test_a_repeated_time_says_nothing_new():
    found = VelocityFilter(CUTOFF, GAP)
    assert found.update(0, 0.0, 1.0) is None
    assert found.update(0, 0.5, 1.0) is None
    assert found.update(0, 0.1, 1.1) == pytest.approx(1.0)
    assert found.update(0, 7.0, 1.1) == pytest.approx(1.0)
    assert found.update(0, 0.2, 1.2) == pytest.approx(1.0)


@pytest.mark.parametrize('then', [1.1 + 2 * GAP, 0.3])
def test_after_a_gap_or_when_the_clock_starts_over_it_begins_anew(then):
    found = VelocityFilter(CUTOFF, GAP)
    found.update(0, 0.0, 1.0)
    found.update(0, 0.1, 1.1)
    assert found.update(0, 50.0, then) is None
    assert found.update(0, 50.2, then + 0.1) == pytest.approx(2.0)


def test_a_series_that_is_young_has_its_mean_velocity():
    found = VelocityFilter(0.01, GAP)
    positions = [0.0, 0.3, 0.1, 0.6]
    values = [found.update(0, x, 0.1 * k) for k, x in enumerate(positions)]
    assert values[1:] == pytest.approx([3.0, 0.5, 2.0])
