"""Rejection of messages that must not be used."""

from __future__ import annotations

import numpy as np

from trc_core.problem.system import Array


class RejectedInput(ValueError):  # noqa: N818  (a verdict on a message, not a fault of ours)
    """A message that must not be used.

    Attributes:
        reason: one of 'not_finite', 'wrong_size', 'duplicate_name', 'unknown_name',
            'missing_name', 'frame', 'not_unit', 'off_plane', 'stamp' and 'stale', of goals and
            references also 'out_of_range', of references 'one_point', 'out_of_order' and 'past',
            of parameters 'no_obstacle' and of both 'fixed'; what counters are named after.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f'{reason}: {detail}')
        self.reason = reason


def require_finite(x: Array) -> Array:
    """Passes x on.

    Raises:
        RejectedInput: if it holds a NaN or an infinity.
    """
    if not np.isfinite(x).all():
        raise RejectedInput('not_finite', f'{x.tolist()}')
    return x
