"""Event-driven control loop: a cycle begins when a state arrives, not by the clock alone."""

from __future__ import annotations

import time
from collections.abc import Callable

from trc_ros.control_loop import LONGEST_SLEEP, ControlLoop

GRACE = 2.0  # periods without an event before a cycle begins all the same: it may be late


class EventLoop(ControlLoop):
    """Calls `cycle` at every event, and every `period` seconds while there is none.

    Args:
        wait_for_event: waits for at most so many seconds; whether an event came.
        timed: whether cycles begin without events.
        period, cycle, on_failure, prepare: as `ControlLoop` takes them.
    """

    def __init__(
        self,
        wait_for_event: Callable[[float], bool],
        timed: bool,
        period: float,
        cycle: Callable[[], None],
        on_failure: Callable[[Exception], None],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(period, cycle, on_failure, prepare=prepare)
        self._wait_for_event = wait_for_event
        self._timed = timed

    def _repeat(self) -> None:
        statistics, woken = self.statistics, False
        while not self._stopping.is_set():
            began = time.monotonic()
            statistics.begin(began)
            self._cycle()
            statistics.deadline_misses += time.monotonic() - began > statistics.period
            woken = self._wait_until(began + statistics.period * (GRACE if woken else 1.0))

    def _wait_until(self, deadline: float) -> bool:
        """Whether an event came before the deadline; False, too, if the loop is to stop."""
        while not self._stopping.is_set():
            remaining = deadline - time.monotonic() if self._timed else LONGEST_SLEEP
            if remaining <= 0:
                return False
            if self._wait_for_event(min(remaining, LONGEST_SLEEP)):
                return True
        return False
