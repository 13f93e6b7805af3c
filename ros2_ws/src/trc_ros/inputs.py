"""What arrived last on a topic, and what had to be refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from trc_ros.conversions import RejectedInput

Content = TypeVar('Content')


class Input(Generic[Content]):
    """Keeps the newest valid message of one topic; counts the others by reason.

    Args:
        read: makes the content of what `take` is given, or raises `RejectedInput`.
        refused: told the first line of every refusal.
        initial: the content before any message.
    """

    def __init__(
        self,
        read: Callable[..., Content],
        refused: Callable[[str], None],
        initial: Content,
    ) -> None:
        self.latest = initial
        self.received = 0
        self.rejected: Counter[str] = Counter()
        self._read = read
        self._refused = refused

    def take(self, *message: Any) -> None:
        """Subscription callback; more than the message where there is more to know of it."""
        self.received += 1
        try:
            self.latest = self._read(*message)
        except RejectedInput as error:
            self.rejected[error.reason] += 1
            self._refused(str(error))
