"""Process statistics of the kernel: CPU time, memory, scheduling class and time spent waiting."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trc_core.lab.benchmark.environment import CLASSES

TICKS = os.sysconf('SC_CLK_TCK')  # per second, in /proc
PAGE = os.sysconf('SC_PAGE_SIZE')
HOLD_UP = 0.5  # of a period lost to others explains a missed deadline


class MissCount(NamedTuple):
    """Counts since the start of a process."""

    misses: int
    """Deadlines missed."""
    held_up: float
    """Seconds in which its threads were ready but did not run, or the machine stood still."""


class ProcessStatistics:
    """Reads /proc about one process, which must be alive."""

    def __init__(self, pid: int) -> None:
        self._place = Path('/proc') / str(pid)

    def cpu_seconds(self) -> float:
        """CPU time of all threads so far, user and system [s]."""
        fields = (self._place / 'stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_mb(self) -> float:
        """Resident memory [MB]."""
        return int((self._place / 'statm').read_text().split()[1]) * PAGE / 1e6

    def held_up(self) -> float:
        """Seconds in which threads were ready to run but did not, and that the host took away."""
        waits = 0
        for task in self._tasks():
            # A thread may end between the listing and the reading.
            with contextlib.suppress(OSError):
                waits += int((task / 'schedstat').read_text().split()[1])
        return 1e-9 * waits + _stolen()

    def scheduling(self) -> str:
        """The scheduling classes of its threads, the rarest first."""
        classes = []
        for task in self._tasks():
            with contextlib.suppress(OSError):
                classes.append(os.sched_getscheduler(int(task.name)))
        names = [CLASSES.get(number, 'unknown') for number in classes]
        counts = sorted((names.count(name), name) for name in set(names))
        return ', '.join(f'{name} ({count} threads)' for count, name in counts)

    def _tasks(self) -> Iterator[Path]:
        return (self._place / 'task').iterdir()


def _stolen() -> float:
    """Seconds that the host of this virtual machine has given to others, over all CPUs."""
    with open('/proc/stat') as file:
        return int(file.readline().split()[8]) / TICKS


def unexplained_misses(counts: Sequence[MissCount], period: float) -> int:
    """Deadlines missed in intervals in which nothing held the process up for longer than usual.

    Longer than usual: by `HOLD_UP` of a period more than in the median interval. On a machine that
    is busy all the time this explains too little rather than too much.

    Args:
        counts: counts, oldest first.
        period: of the loop [s].
    """
    if len(counts) < 2:
        return 0
    misses = np.diff([count.misses for count in counts])
    held_up = np.diff([count.held_up for count in counts])
    usual = np.median(held_up)
    return int(misses[held_up < usual + HOLD_UP * period].sum())
