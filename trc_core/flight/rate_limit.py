"""Rate limit of cycles that events begin: no more of them in a second than are asked for."""

from __future__ import annotations

import math

CLOSEST = 0.25  # periods between two cycles
EARLY = 0.01  # periods by which an event may come before its time: clocks are not exact
LONGEST_DELAY = 2.0  # periods by which an event may be late: beyond, events were missing


class RateLimit:
    """Says from when on the next event may begin a cycle.

    Cycles are due on a grid of periods. One that begins late leaves the grid where it is, so that
    events with jitter keep their rate; over any time there is at most one cycle more than periods.

    Args:
        period: seconds between two cycles.
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self.forget()

    def forget(self) -> None:
        """Begins anew, as after construction."""
        self._grid = -math.inf
        self.due = -math.inf
        """The earliest time at which an event may begin a cycle."""

    def begin(self, now: float) -> None:
        """Notes that a cycle begins."""
        period = self._period
        # After a gap, a grid that is far behind would let a burst through.
        missing = now - self._grid > LONGEST_DELAY * period
        self._grid = now + period if missing else max(self._grid + period, now)
        self.due = max(self._grid - EARLY * period, now + CLOSEST * period)
