"""Clock of a cycle: a node's time, read once per cycle for all robots."""

from __future__ import annotations

import time

from builtin_interfaces.msg import Time
from rclpy.clock import Clock


class CycleClock:
    """Goes on from one reading of a node's clock by the steady one.

    A reading of rclpy takes 20 us; for every robot that would add up to as much as the plans.

    Args:
        clock: of the node, which may be simulated and stand at 0.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """Reads the clock of the node."""
        read = self._clock.now().nanoseconds
        self._ahead = read - time.monotonic_ns() if read else None

    def __call__(self) -> Time:
        """The time now."""
        if self._ahead is None:
            return Time()
        now = time.monotonic_ns() + self._ahead
        return Time(sec=now // 10**9, nanosec=now % 10**9)
