"""Stamp check: the age of a message, and whether its stamp can be right."""

from __future__ import annotations

CLOCKS = (
    'synchronise the clocks, set use_sim_time on both sides or on none, or use_stamps to false'
)


class BadStamp(ValueError):  # noqa: N818  (a verdict on a message, not a fault of ours)
    """A message whose stamp says that it must not be used.

    Attributes:
        reason: 'stamp' (the clocks disagree) or 'stale'.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class StampCheck:
    """Judges the stamps of one topic, in order of arrival, on one clock.

    The clock may be a simulated one: it stands at 0 until it starts, and may start over.
    """

    def __init__(self) -> None:
        self._last: float | None = None

    def age(self, stamp: float, now: float, timeout: float) -> float:
        """Seconds from `stamp` to `now`; 0 for one that lies a little in the future.

        Args:
            stamp: time [s] of a message; later messages must not have earlier ones.
            now: the same clock, when the message arrived.
            timeout: the largest age [s], and the largest lead.

        Raises:
            BadStamp: if it is too old, too far in the future or before the last good one.
        """
        if now == 0.0:
            raise BadStamp('stamp', 'use_sim_time is set but nothing has arrived on /clock yet')
        age = now - stamp
        if age < -timeout:
            raise BadStamp('stamp', f'{-age:.3f} s in the future; {CLOCKS}')
        # After our own clock jumped back, the last stamp is the one that cannot be right.
        if self._last is not None and self._last - now <= timeout and stamp < self._last:
            raise BadStamp('stamp', f'{self._last - stamp:.3f} s before the one that came before')
        if age > timeout:
            late = f'{age:.3f} s old on arrival, state_timeout is {timeout} s'
            raise BadStamp('stale', f'{late}; send it sooner, or {CLOCKS}')
        self._last = stamp
        return max(age, 0.0)
