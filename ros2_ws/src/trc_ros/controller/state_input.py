"""Input of states: taken when a cycle needs one, or as the event that begins a cycle."""

from __future__ import annotations

import math
from collections.abc import Callable

from builtin_interfaces.msg import Time

from trc_core.flight.safety import Measurement
from trc_ros.controller.polled_subscription import PolledSubscription
from trc_ros.conversions import RejectedInput
from trc_ros.inputs import Input

MIN_SPACING = 0.5  # periods between two states that are both answered
NOTHING: tuple[Measurement | None, Time] = (None, Time())  # has been measured yet


class StateInput:
    """Takes states, and remembers which of them has had its cycle.

    Args:
        topic: where states arrive.
        measure: makes a measurement and its stamp of a message.
        on_rejection: called with the reason why a message cannot be used.
        period: of the controller [s]: real states are answered at its rate, whatever theirs.
        simulated: they are the states of a simulation that waits: all are answered.
    """

    def __init__(
        self,
        topic: PolledSubscription,
        measure: Callable[..., tuple[Measurement, Time]],
        on_rejection: Callable[[RejectedInput], None],
        period: float,
        simulated: bool,
    ) -> None:
        self.input = Input[tuple[Measurement | None, Time]](measure, on_rejection, NOTHING)
        self._topic = topic
        self._min_spacing = -math.inf if simulated else MIN_SPACING * period
        self._answered = -math.inf

    @property
    def latest(self) -> tuple[Measurement | None, Time]:
        """The newest measurement, None before the first, and its stamp."""
        return self.input.latest

    def take(self) -> None:
        """Takes the newest message, if there is one."""
        if news := self._topic.newest():
            self.input.take(*news)

    def mark_answered(self) -> None:
        """Notes that the newest state has had its cycle."""
        measurement, _ = self.latest
        if measurement is not None:
            self._answered = measurement.time

    def wait(self, seconds: float) -> bool:
        """Whether a state arrives within so many seconds that is due for a cycle."""
        if not self._topic.wait(seconds):
            return False
        before, _ = self.latest
        self.take()
        measurement, _ = self.latest
        if measurement is None or measurement is before:
            return False
        return measurement.time - self._answered >= self._min_spacing

    def time_has_jumped_back(self) -> bool:
        """Whether the newest state is not newer than the one answered last."""
        measurement, _ = self.latest
        return measurement is not None and measurement.time <= self._answered

    def forget(self) -> None:
        """Forgets everything that has arrived."""
        self.input.latest, self._answered = NOTHING, -math.inf

    def close(self) -> None:
        """Ends the subscription."""
        self._topic.close()
