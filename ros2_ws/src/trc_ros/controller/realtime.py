"""Real-time settings of the control loop; one that fails says what would help."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

MCL_CURRENT, MCL_FUTURE = 1, 2  # of <sys/mman.h>
MCL_ONFAULT = 4  # lock what is touched: the libraries reserve far more than they use
OFF, FAILED = 'off', 'failed: '
SWITCH_INTERVAL = 1e-4  # [s] for which a thread keeps the interpreter that another one wants


class RealtimeSettings:
    """Applies the settings `realtime.*` to the thread that is to run on time.

    Args:
        values: the parameters of the node by name.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._wanted = {name: values[f'realtime.{name}'] for name in STEPS}
        self._usual_interval = sys.getswitchinterval()
        self.report: dict[str, str] = dict.fromkeys(STEPS, OFF)
        """What became of each setting, for diagnostics."""

    def apply(self) -> list[str]:
        """Applies what is asked for to the calling thread; returns one line per failure.

        In any case, other threads hand the interpreter over at once, not after Python's 5 ms.
        """
        sys.setswitchinterval(SWITCH_INTERVAL)
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

    def revert(self) -> None:
        """Reverts the settings of the whole process; the thread is about to end."""
        sys.setswitchinterval(self._usual_interval)
        if self.report['sched_fifo_priority'] == str(self._wanted['sched_fifo_priority']):
            schedule_others(os.SCHED_OTHER, 0)
        if self._wanted['disable_gc']:
            gc.enable()
            gc.unfreeze()
        self.report = dict.fromkeys(STEPS, OFF)


def _schedule(priority: int) -> None:
    """Puts this thread into SCHED_FIFO, and the others of the process one step below.

    Each of them may hold the interpreter's lock while the loop waits for it: preempted by some
    other process, it would keep the loop waiting.
    """
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))  # 0: this thread
    schedule_others(os.SCHED_FIFO, max(1, priority - 1))


def schedule_others(policy: int, priority: int) -> None:
    """Sets the scheduling class of every thread of this process but the calling one."""
    for name in os.listdir('/proc/self/task'):
        if int(name) != threading.get_native_id():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.sched_setscheduler(int(name), policy, os.sched_param(priority))


def leave_realtime_class() -> None:
    """Moves the calling thread out of the real-time class that it may have inherited."""
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _pin(cpus: list[int]) -> None:
    os.sched_setaffinity(0, cpus)


def _lock_memory(_: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _disable_gc(_: bool) -> None:
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
        _lock_memory,
        "add '@realtime - memlock unlimited' to /etc/security/limits.conf, join the group "
        'realtime and log in again',
    ),
    'disable_gc': (_disable_gc, 'leave it out'),
}
"""For every setting: what applies it, and what to do where that fails."""
