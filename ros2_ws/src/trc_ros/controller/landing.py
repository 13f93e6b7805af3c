"""Landing: the way of one robot, or many, to the final command."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trc_core.flight.safety import SafetyMonitor
from trc_core.problem.system import Array

SHUTDOWN_TIME = 8.0  # [s] for the way to the final command: launch kills after 10
SHUTDOWN_PERIOD = 0.05  # [s] at most, between two commands on that way


@dataclass(frozen=True)
class Landing:
    """What one robot needs on its way to the safe control."""

    monitor: SafetyMonitor
    send: Callable[[Array], None]
    """Publishes a control (n_u,)."""
    wait_until_delivered: Callable[[], None]
    warn: Callable[[str], object]


def land(landings: Sequence[Landing], begin: float, period: float) -> None:
    """Approaches the safe controls at the rate limits; after `SHUTDOWN_TIME`, in one step.

    Args:
        landings: of the robots.
        begin: the time now, on the clock of the monitors.
        period: seconds between two commands.
    """
    began = time.monotonic()
    flying = [landing for landing in landings if landing.monitor.safe_control() is not None]
    landed = []
    while flying:
        elapsed = time.monotonic() - began  # a simulated clock may stand still
        for landing in tuple(flying):
            if _is_down(landing, begin + elapsed, at_once=elapsed > SHUTDOWN_TIME):
                flying.remove(landing)
                landed.append(landing)
        if flying:
            time.sleep(min(period, SHUTDOWN_PERIOD))
    for landing in landed:
        landing.wait_until_delivered()


def _is_down(landing: Landing, now: float, at_once: bool) -> bool:
    """Sends the next command of a landing; whether it is the final one."""
    monitor = landing.monitor
    target = monitor.safe_control()
    if target is None:
        return True
    if at_once and monitor.last_control is not None:
        left = f'from {monitor.last_control.tolist()} to {target.tolist()}'
        landing.warn(f'no time for the rate limit: {left} at once')
    control = monitor.land(now, at_once=at_once)
    if control is None:
        return True
    landing.send(control)
    return bool(np.array_equal(control, target))
