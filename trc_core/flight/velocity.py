"""Velocities from positions, for sensors that measure no velocity."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

from trc_core.numerics.cost import TURN


class Sample(NamedTuple):
    """A position, and the velocity up to there; None where there was no position before."""

    position: float
    time: float
    velocity: float | None
    began: float
    """Time of the first position of this series."""


class VelocityFilter:
    """Differentiates positions, and smooths the result by a low-pass filter of first order.

    The filter is exact for any times between two positions: a constant velocity comes out as it
    is, and one that jumps is followed by 1 - exp(-2 pi cutoff t). Until a series is as long as the
    time constant 1 / (2 pi cutoff), its velocity is the mean since it began.

    Args:
        cutoff: frequency [Hz] above which velocities are smoothed away.
        gap: seconds between two positions beyond which they have nothing to do with each other.
        turning: places whose positions are angles [rad] that may arrive wrapped. None makes half
            a turn between two positions.
    """

    def __init__(self, cutoff: float, gap: float, turning: Collection[int] = ()) -> None:
        self._rate = 2.0 * math.pi * cutoff
        self._gap = gap
        self._turning = frozenset(turning)
        self._last: dict[int, Sample] = {}

    def update(self, place: int, position: float, time: float) -> float | None:
        """The velocity at the newest position; None if it is the first one, or first after a gap.

        Args:
            place: of the position in x.
            position: measured.
            time: of the measurement [s], on any clock. At the same time as before, nothing is
                learned from it.
        """
        last = self._last.get(place)
        if last is None or not 0.0 <= time - last.time <= self._gap:
            self._last[place] = Sample(position, time, None, time)
            return None
        elapsed = time - last.time
        if elapsed == 0.0:
            return last.velocity
        way = position - last.position
        if place in self._turning:
            way -= TURN * round(way / TURN)
        slope = way / elapsed
        share = max(-math.expm1(-self._rate * elapsed), elapsed / (time - last.began))
        before = slope if last.velocity is None else last.velocity
        velocity = before + share * (slope - before)
        self._last[place] = Sample(position, time, velocity, last.began)
        return velocity

    def forget(self) -> None:
        """Begins anew, as after construction."""
        self._last.clear()
