"""Stalls of the machine itself, which no priority helps against.

A thread on every CPU, above all others, sleeps again and again for a moment. Where it wakes late,
nothing of this machine went before it: the host of a virtual machine ran others, or its firmware.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np

PERIOD = 7e-3  # [s] between two readings: too seldom to disturb a loop, and in step with none
LATE = 1e-3  # [s] beyond which a thread did not merely wake up slowly
PRIORITY = 98  # of SCHED_FIFO


class MachineStalls:
    """A process that measures them, for as long as the `with` block lasts.

    Where SCHED_FIFO is not permitted there is none, and `seconds` stays at 0.
    """

    def __enter__(self) -> MachineStalls:
        self._file = tempfile.NamedTemporaryFile()
        self._lost = _mapped(self._file.name, 'w+')
        command = [sys.executable, '-m', 'trc_ros.lab.loop_benchmark.stalls', self._file.name]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()  # the end of its input is its end
        self._file.close()

    def seconds(self) -> float:
        """Time that the machine has stood still so far, on the CPU where that was longest [s]."""
        return float(self._lost.max())


def _mapped(path: str, mode: Any) -> Any:
    return np.memmap(path, float, mode, shape=(os.cpu_count(),))


def watch(cpu: int, lost: Any) -> None:
    """Adds to lost[cpu] what a thread on that CPU oversleeps [s]; for ever."""
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    while True:
        due = time.monotonic() + PERIOD
        time.sleep(PERIOD)
        late = time.monotonic() - due
        if late > LATE:
            lost[cpu] += late


def main(argv: Sequence[str]) -> None:
    """Watches every CPU until the end of the input; results go to the file in the arguments."""
    lost = _mapped(argv[0], 'r+')
    for cpu in os.sched_getaffinity(0):
        threading.Thread(target=watch, args=(cpu, lost), daemon=True).start()
    sys.stdin.read()


if __name__ == '__main__':
    main(sys.argv[1:])
