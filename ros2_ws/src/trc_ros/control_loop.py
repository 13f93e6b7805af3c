"""Control loop on absolute deadlines in a thread of its own, and its statistics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WINDOW = 10_000  # cycles over which percentiles are taken
LONGEST_SLEEP = 0.1  # [s] a stop request is noticed after at most this time


@dataclass(frozen=True)
class Spread:
    """Percentiles over the last `WINDOW` values, the maximum over all; NaN if there is none."""

    p50: float
    p99: float
    max: float


class Series:
    """The last `WINDOW` values of one quantity and the maximum of all, in constant memory."""

    def __init__(self) -> None:
        self._values = np.zeros(WINDOW)
        self._count = 0
        self._max = float('nan')

    def add(self, value: float) -> None:
        """Appends a value; the oldest one drops out of a full window."""
        self._values[self._count % WINDOW] = value
        self._count += 1
        self._max = value if self._count == 1 else max(self._max, value)

    def spread(self) -> Spread:
        """The distribution so far."""
        if self._count == 0:
            return Spread(float('nan'), float('nan'), float('nan'))
        p50, p99 = np.percentile(self._values[: self._count], (50, 99))
        return Spread(float(p50), float(p99), self._max)


class LoopStatistics:
    """Counts and times of a loop since it was started; times in seconds."""

    def __init__(self, period: float) -> None:
        self.period = period
        self.cycles = 0
        self.deadline_misses = 0
        """Cycles that had not ended when the next one was due."""
        self.skipped = 0
        """Cycles that were never started because an earlier one ran over."""
        self.jitter = Series()
        """|time between two starts - period|."""
        self.plan_time = Series()
        self._first = self._last = 0.0

    def begin(self, now: float) -> None:
        """Notes that a cycle starts at `now`."""
        if self.cycles:
            self.jitter.add(abs(now - self._last - self.period))
        else:
            self._first = now
        self._last = now
        self.cycles += 1

    def rate(self) -> float:
        """Cycles per second from the first to the last start; NaN before the second one."""
        elapsed = self._last - self._first
        return (self.cycles - 1) / elapsed if elapsed > 0 else float('nan')


def next_deadline(deadline: float, period: float, now: float) -> tuple[float, int]:
    """The first deadline after both `deadline` and `now`, and how many were skipped to get there.

    Deadlines stay on the grid of the first one: a late cycle costs cycles, never a burst.
    """
    deadline += period
    if now < deadline:
        return deadline, 0
    skipped = int((now - deadline) / period) + 1
    return deadline + skipped * period, skipped


class ControlLoop:
    """Calls `cycle` every `period` seconds of the steady clock until stopped.

    Args:
        period: seconds between two calls.
        cycle: the work; called in the loop's own thread.
        on_failure: called in that thread with the exception that ended the loop.
        name: of the thread.
        prepare: called once in that thread, before the first cycle.
    """

    def __init__(
        self,
        period: float,
        cycle: Callable[[], None],
        on_failure: Callable[[Exception], None],
        name: str = 'control_loop',
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        if period <= 0:
            raise ValueError(f'period is {period} s, expected a positive time')
        self.statistics = LoopStatistics(period)
        self._cycle = cycle
        self._on_failure = on_failure
        self._prepare = prepare
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Starts the thread; the first cycle begins at once."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when the running cycle has ended and no other will follow."""
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._prepare()
            self._repeat()
        except Exception as error:  # whatever it was: the process must learn that nothing flies
            self._on_failure(error)

    def _repeat(self) -> None:
        statistics, deadline = self.statistics, time.monotonic()
        while self._sleep_until(deadline):
            statistics.begin(time.monotonic())
            self._cycle()
            deadline, skipped = next_deadline(deadline, statistics.period, time.monotonic())
            statistics.deadline_misses += skipped > 0
            statistics.skipped += skipped

    def _sleep_until(self, deadline: float) -> bool:
        """Sleeps; False if the loop is to stop."""
        while not self._stopping.is_set():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return True
            time.sleep(min(remaining, LONGEST_SLEEP))
        return False
