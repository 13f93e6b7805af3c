"""Rejection of messages that must not be used."""

from __future__ import annotations

import math

from trc_core.problem.system import Array


class RejectedInput(ValueError):  # noqa: N818  (a verdict on a message, not a fault of ours)
    """A message that must not be used.

    Attributes:
        reason: one of 'not_finite', 'wrong_size', 'duplicate_name', 'unknown_name',
            'missing_name', 'missing_velocity', 'unreadable', 'frame', 'not_unit', 'off_plane',
            'stamp', 'stale' and 'out_of_range', of references also 'one_point', 'out_of_order'
            and 'past', of parameters 'no_obstacle' and of both 'fixed'; what counters are named
            after.
        weight: of several reasons for which nothing changes, the one that is told.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f'{reason}: {detail}')
        self.reason = reason
        self.weight = 2


class PassedOver(Exception):  # noqa: N818  (a verdict on a message, not a fault of anybody)
    """A message that is in order, but after which nothing has changed.

    Attributes:
        reason: 'foreign' (it is about something else), 'partial' (it needs others) or 'outdated'
            (newer ones hold as much).
        weight: of several reasons for which nothing changes, the one that is told.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f'{reason}: {detail}')
        self.reason = reason
        self.weight = 1 if reason == 'partial' else 0


def require_finite(x: Array) -> Array:
    """Passes x on.

    Raises:
        RejectedInput: if it holds a NaN or an infinity.
    """
    if not all(map(math.isfinite, values := x.tolist())):
        raise RejectedInput('not_finite', f'{values}')
    return x
