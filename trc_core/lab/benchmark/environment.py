"""Environment of a measurement: its core, its scheduling class, the memory in use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trc_core.provenance import read

FIFO_PRIORITY = 50
NO_FIFO = (
    'SCHED_FIFO not permitted: run as root, or put `USER - rtprio 50` into '
    '/etc/security/limits.conf and log in again'
)
THROTTLED = 'the kernel lets real-time tasks run for {} us of every {} us'
CLASSES = {0: 'SCHED_OTHER', 1: 'SCHED_FIFO', 2: 'SCHED_RR', 3: 'SCHED_BATCH', 5: 'SCHED_IDLE'}


@contextmanager
def placed(core: int | None, fifo: bool) -> Iterator[dict[str, str]]:
    """Pins the calling thread and raises its scheduling class, as far as that is allowed.

    Yields:
        What was done: 'pinned to' and 'scheduling'.

    Raises:
        ValueError: if this process may not use the core.
    """
    # as it was before
    allowed = os.sched_getaffinity(0)
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    if core is not None and core not in allowed:
        raise ValueError(f'core {core} is not available; choose from {sorted(allowed)}')
    # core
    if core is not None:
        os.sched_setaffinity(0, {core})
    # scheduling class
    note = ''
    if fifo:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
        except PermissionError:
            note = f' ({NO_FIFO})'
        else:
            runtime, period = (
                read(f'/proc/sys/kernel/sched_rt_{name}_us') for name in ('runtime', 'period')
            )
            note = f' ({THROTTLED.format(runtime, period)})'
    scheduling = CLASSES.get(os.sched_getscheduler(0), 'unknown')
    try:
        yield {
            'pinned to': 'no core' if core is None else f'core {core}',
            'scheduling': scheduling + note,
        }
    finally:
        if scheduling == 'SCHED_FIFO':
            os.sched_setscheduler(0, policy, parameters)
        os.sched_setaffinity(0, allowed)


def resident_mb() -> float:
    """Resident memory of this process [MB]."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE') / 1e6
