"""Landing: the way from the last command to the safe one, when a flight ends."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from trc_core.flight.pilot import Pilot
from trc_ros.controller.outputs import Outputs

SHUTDOWN_TIME = 8.0  # [s] for the way to the final command: launch kills after 10
SHUTDOWN_PERIOD = 0.05  # [s] at most, between two commands on that way


def land(pilot: Pilot, outputs: Outputs, period: float, warn: Callable[[str], object]) -> None:
    """Approaches the safe control at the rate limit; after `SHUTDOWN_TIME`, in one step.

    Args:
        pilot: of the flight; nothing is sent if it commanded nothing.
        outputs: take the commands.
        period: between two of them [s].
        warn: takes a line if there is no time for the rate limit.
    """
    monitor, begin, began = pilot.monitor, pilot.clock(), time.monotonic()
    target = monitor.safe_control()
    while target is not None:
        elapsed = time.monotonic() - began  # a simulated clock may stand still
        overdue = elapsed > SHUTDOWN_TIME
        if overdue:
            left = f'from {monitor.last_control.tolist()} to {target.tolist()}'
            warn(f'no time for the rate limit: {left} at once')
        control = monitor.land(begin + elapsed, at_once=overdue)
        outputs.send_command(control)
        if np.array_equal(control, target):
            outputs.wait_until_delivered()
            return
        time.sleep(min(period, SHUTDOWN_PERIOD))
