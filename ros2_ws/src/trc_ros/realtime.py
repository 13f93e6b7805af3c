"""What keeps the control loop on time; each step may fail, and then says what would help."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable, Mapping
from typing import Any

MCL_CURRENT, MCL_FUTURE = 1, 2  # of <sys/mman.h>
OFF, FAILED = 'off', 'failed: '


class RealTime:
    """The settings `realtime.*`, applied by the thread that is to run on time.

    Args:
        values: the parameters of the node by name.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._wanted = {name: values[f'realtime.{name}'] for name in STEPS}
        self.report: dict[str, str] = dict.fromkeys(STEPS, OFF)
        """What became of each setting, for diagnostics."""

    def enter(self) -> list[str]:
        """Applies what is asked for to the calling thread; returns one line per failure."""
        warnings = []
        for name, wanted in self._wanted.items():
            if not wanted:
                continue
            step, remedy = STEPS[name]
            try:
                step(wanted)
                self.report[name] = _shown(wanted)
            except (OSError, ValueError, AttributeError) as error:
                self.report[name] = f'{FAILED}{error}'
                warnings.append(f'realtime.{name} has no effect: {error}; {remedy}')
        return warnings

    def leave(self) -> None:
        """Takes back what concerns the whole process; the thread is about to end."""
        if self._wanted['disable_gc']:
            gc.enable()
            gc.unfreeze()
        self.report = dict.fromkeys(STEPS, OFF)


def _schedule(priority: int) -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))  # 0: this thread


def _pin(cpus: list[int]) -> None:
    os.sched_setaffinity(0, cpus)


def _lock(_: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _stop_collecting(_: bool) -> None:
    gc.collect()
    gc.freeze()
    gc.disable()


def _shown(value: Any) -> str:
    return 'on' if value is True else str(value if isinstance(value, int) else list(value))


STEPS: dict[str, tuple[Callable[[Any], None], str]] = {
    'sched_fifo_priority': (
        _schedule,
        "add '@realtime - rtprio 98' to /etc/security/limits.conf, join the group realtime and "
        'log in again',
    ),
    'cpu_affinity': (_pin, f'choose from the {os.cpu_count()} CPUs that this process may use'),
    'lock_memory': (
        _lock,
        "add '@realtime - memlock unlimited' to /etc/security/limits.conf, join the group "
        'realtime and log in again',
    ),
    'disable_gc': (_stop_collecting, 'leave it out'),
}
"""For every setting: what applies it, and what to do where that fails."""
