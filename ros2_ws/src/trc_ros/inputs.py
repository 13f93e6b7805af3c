"""Inputs: the newest valid message of a topic, and counts of those rejected."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from trc_core.flight.obstacles import ObstacleField, Parameters
from trc_ros.conversions import PassedOver, RejectedInput

Content = TypeVar('Content')
LOG_PERIOD = 5.0  # [s] at most one line about a reason in this time


class ThrottledLog:
    """Logs lines, at most one about the same subject in a period.

    Args:
        warn: takes a line.
        period: seconds between two lines.
    """

    def __init__(self, warn: Callable[[str], Any], period: float = LOG_PERIOD) -> None:
        self._warn, self._period = warn, period
        self._logged: dict[str, float] = {}

    def __call__(self, subject: str, line: str) -> None:
        """Logs a line, unless there has just been one about the same subject."""
        now = time.monotonic()
        if now - self._logged.get(subject, -math.inf) >= self._period:
            self._logged[subject] = now
            self._warn(line)


class RejectionLog:
    """Logs why messages of a topic are rejected, without repeating itself.

    Args:
        topic: its name.
        warn: takes a line.
    """

    def __init__(self, topic: str, warn: Callable[[str], Any]) -> None:
        self._topic, self._log = topic, ThrottledLog(warn)

    def __call__(self, rejection: RejectedInput) -> None:
        """Logs a line, unless there has just been one about the same reason."""
        self._log(rejection.reason, f'{self._topic} refused: {rejection}')


class Input(Generic[Content]):
    """Keeps the newest valid message of one topic; counts the others by reason.

    Attributes:
        latest: the newest content.
        received: messages so far.
        rejected: those that must not be used, by reason.
        passed_over: those after which nothing has changed, by reason.
        idle: messages since the last valid one.
        verdict: why messages since then were not used; rejections count before those passed over.

    Args:
        read: makes the content of what `take` is given, or raises `RejectedInput` or
            `PassedOver`.
        on_rejection: called with every rejection.
        initial: the content before any message.
    """

    def __init__(
        self,
        read: Callable[..., Content],
        on_rejection: Callable[[RejectedInput], None],
        initial: Content,
    ) -> None:
        self.latest = initial
        self.received = 0
        self.rejected: Counter[str] = Counter()
        self.passed_over: Counter[str] = Counter()
        self.idle = 0
        self.verdict, self._weight = '', 0
        self._read = read
        self._on_rejection = on_rejection

    def take(self, *message: Any) -> bool:
        """Subscription callback; more than the message where there is more to know of it.

        Returns:
            Whether the message was valid.
        """
        self.received += 1
        self.idle += 1
        try:
            self.latest = self._read(*message)
        except PassedOver as news:
            self.passed_over[news.reason] += 1
            self._judge(news.weight, str(news))
            return False
        except RejectedInput as error:
            self.rejected[error.reason] += 1
            self._judge(error.weight, str(error))
            self._on_rejection(error)
            return False
        self.idle, self.verdict, self._weight = 0, '', 0
        return True

    def _judge(self, weight: int, verdict: str) -> None:
        if weight >= self._weight:
            self.verdict, self._weight = verdict, weight


def warn_of_surplus(log: ThrottledLog, parameters: Parameters) -> None:
    """Warns if there are more obstacles than the system has rows for."""
    if isinstance(parameters, ObstacleField) and parameters.surplus:
        rows = len(parameters.system.obstacles)
        count = rows + parameters.surplus
        log('surplus', f'{count} obstacles but {rows} rows of them: only the nearest are seen')
