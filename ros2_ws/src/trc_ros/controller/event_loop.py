"""A control loop that need not wait for the clock when there is news."""

from __future__ import annotations

import time
from collections.abc import Callable

from trc_ros.control_loop import LONGEST_SLEEP, ControlLoop

GRACE = 2.0  # periods without news before a cycle begins all the same: news may be a little late


class EventLoop(ControlLoop):
    """Calls `cycle` as soon as there is news, and every `period` seconds while there is none.

    Args:
        news: waits for at most so many seconds; whether there is a reason for a cycle.
        timed: whether cycles begin without news.
        period, cycle, on_failure, prepare: as `ControlLoop` takes them.
    """

    def __init__(
        self,
        news: Callable[[float], bool],
        timed: bool,
        period: float,
        cycle: Callable[[], None],
        on_failure: Callable[[Exception], None],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(period, cycle, on_failure, prepare=prepare)
        self._news = news
        self._timed = timed

    def _repeat(self) -> None:
        statistics, called = self.statistics, False
        while not self._stopping.is_set():
            began = time.monotonic()
            statistics.begin(began)
            self._cycle()
            statistics.deadline_misses += time.monotonic() - began > statistics.period
            called = self._wait_until(began + statistics.period * (GRACE if called else 1.0))

    def _wait_until(self, deadline: float) -> bool:
        """Whether there was news before the deadline; False, too, if the loop is to stop."""
        while not self._stopping.is_set():
            remaining = deadline - time.monotonic() if self._timed else LONGEST_SLEEP
            if remaining <= 0:
                return False
            if self._news(min(remaining, LONGEST_SLEEP)):
                return True
        return False
