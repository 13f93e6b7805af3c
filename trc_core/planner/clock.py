"""The steady clock, for Python and for compiled code."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

CLOCK_MONOTONIC = 1  # of Linux, the clock of time.monotonic
_clock_gettime: Any = types.ExternalFunction('clock_gettime', types.intc(types.intc, types.uintp))


def now() -> float:
    """Seconds since some moment in the past, as `time.monotonic` counts them."""
    return time.monotonic()


@overload(now)
def _compiled_now() -> Any:
    def read() -> Any:
        moment = np.empty(2, np.int64)  # struct timespec
        _clock_gettime(CLOCK_MONOTONIC, moment.ctypes.data)
        return moment[0] + 1e-9 * moment[1]

    return read
