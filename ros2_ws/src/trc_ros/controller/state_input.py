"""Input of states: taken when a cycle needs one, or as the event that begins a cycle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

from builtin_interfaces.msg import Time

from trc_core.flight.rate_limit import RateLimit
from trc_core.flight.safety import Measurement
from trc_ros.controller.polled_subscription import Arrival, JoinedSubscriptions, PolledSubscription
from trc_ros.conversions import RejectedInput
from trc_ros.inputs import Input

VAIN_WAKINGS = 8  # for messages that are no state, before the loop takes a break
BREAK = 0.05  # periods
NOTHING: tuple[Measurement | None, Time] = (None, Time())  # has been measured yet


class Measuring(Protocol):
    """Makes measurements of messages, which come with the newest first."""

    @property
    def is_fresh(self) -> bool:
        """Whether older messages hold nothing that newer ones have not held."""

    def begin(self) -> None:
        """Begins with the newest message."""

    def __call__(self, message: object, waited: float) -> tuple[Measurement, Time]:
        """The measurement after a message, and its stamp."""

    def forget(self) -> None:
        """Forgets the messages so far."""


class StateInput:
    """Takes states, and remembers which of them has had its cycle.

    Several drivers may publish on the topic, also about other joints. Of the messages since the
    last cycle the newest valid one counts, so they are read from the newest backwards until every
    coordinate is known: most often that is one of them, whatever the rate.

    Args:
        topic: where states arrive.
        measure: makes measurements of messages.
        on_rejection: called with the reason why a message cannot be used.
        period: of the controller [s]: states begin no more cycles than that, whatever their rate.
        simulated: they are the states of a simulation that waits: all are answered.
    """

    def __init__(
        self,
        topic: PolledSubscription | JoinedSubscriptions,
        measure: Measuring,
        on_rejection: Callable[[RejectedInput], None],
        period: float,
        simulated: bool,
    ) -> None:
        self.input = Input[tuple[Measurement | None, Time]](self._measured, on_rejection, NOTHING)
        self.changed = time.monotonic()
        """When there was a new state last, or when waiting for one began."""
        self._topic = topic
        self._measure = measure
        self._limit = None if simulated else RateLimit(period)
        self._period, self._vain = period, 0
        self._answered = -math.inf

    @property
    def latest(self) -> tuple[Measurement | None, Time]:
        """The newest measurement, None before the first, and its stamp."""
        return self.input.latest

    def take(self) -> bool:
        """Takes the messages that have arrived; whether there is a new state."""
        arrivals, news = self._topic.take(), False
        if not arrivals:
            return False
        self._measure.begin()
        while arrivals and not self._measure.is_fresh:
            news = self.input.take(arrivals.pop()) or news
        self.input.received += len(arrivals)
        if news:
            self.changed = time.monotonic()
        return news

    def _measured(self, arrival: Arrival) -> tuple[Measurement, Time]:
        return self._measure(self._topic.read(arrival), arrival.waited)

    def mark_answered(self) -> None:
        """Notes that a cycle begins, with the newest state if there is one."""
        self._vain = 0
        measurement, _ = self.latest
        if measurement is None:
            return
        self._answered = measurement.time
        if self._limit is not None:
            self._limit.begin(time.monotonic())

    def wait(self, seconds: float) -> bool:
        """Whether a state arrives within so many seconds that is due for a cycle."""
        early = self._limit.due - time.monotonic() if self._limit is not None else 0.0
        if early > 0.0:
            # What comes now is too early: a flood must not wake the loop for every message.
            time.sleep(min(early, seconds))
            self.take()
            return False
        if self._vain > VAIN_WAKINGS:
            time.sleep(min(BREAK * self._period, seconds))
        if not self._topic.wait(seconds):
            return False
        self._vain += 1
        return self.take()

    def time_has_jumped_back(self) -> bool:
        """Whether the newest state is not newer than the one answered last."""
        measurement, _ = self.latest
        return measurement is not None and measurement.time <= self._answered

    def begin(self) -> None:
        """Begins to wait for states."""
        self.changed = time.monotonic()
        if self._limit is not None:
            self._limit.forget()

    def forget(self) -> None:
        """Forgets everything that has arrived."""
        self.input.latest, self._answered = NOTHING, -math.inf
        self._measure.forget()
        self.begin()

    def close(self) -> None:
        """Ends the subscription."""
        self._topic.close()
