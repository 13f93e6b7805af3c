"""Measurements from messages on `state`: the state, and the time at which it was valid."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from builtin_interfaces.msg import Time

from trc_core.flight.safety import Measurement
from trc_core.flight.stamps import BadStamp, StampCheck
from trc_ros.conversions import Reader, RejectedInput, own_stamp, seconds_of


class SimulatedClock:
    """Clock of a simulation [s], set by the stamps of its states."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class SimulatedMeasurementReader:
    """Reads states of a simulation, whose stamps set the clock.

    Args:
        read: the state of a message.
        time: set to the stamp of every state.
    """

    def __init__(self, read: Reader, time: SimulatedClock) -> None:
        self._read = read
        self._time = time

    def __call__(self, message: Any, waited: float = 0.0) -> tuple[Measurement, Time]:
        """The state, its time and its stamp, however long it has `waited`.

        Raises:
            RejectedInput: for a message that must not be used, or has no stamp.
        """
        x, stamp = self._read(message), own_stamp(message)
        if stamp is None:
            raise RejectedInput(
                'stamp', 'a simulated state needs a stamp: it says what time it is'
            )
        self._time.now = seconds_of(stamp)
        return Measurement(x, self._time.now), stamp


class MeasurementReader:
    """Reads states; one without a valid stamp is as old as its arrival.

    Args:
        read: the state of a message.
        clock: the node's time, simulated or not, which stamps are compared with.
        timeout: the largest age [s] of a state.
        use_stamps: whether they are used.
    """

    def __init__(
        self,
        read: Reader,
        clock: Callable[[], Time],
        timeout: Callable[[], float],
        use_stamps: bool = True,
    ) -> None:
        self._read = read
        self._clock = clock
        self._timeout = timeout
        self._stamp_of = own_stamp if use_stamps else lambda message: None
        self._stamps = StampCheck()

    def __call__(self, message: Any, waited: float = 0.0) -> tuple[Measurement, Time]:
        """The state, its time on the steady clock, and its stamp.

        Args:
            message: as it came.
            waited: seconds since it did.

        Raises:
            RejectedInput: for a message or a stamp that must not be used.
        """
        moment, now = time.monotonic(), self._clock()
        x, stamp = self._read(message), self._stamp_of(message)
        if stamp is None:
            return Measurement(x, moment - waited), now
        try:
            age = self._stamps.age(seconds_of(stamp), seconds_of(now), self._timeout())
        except BadStamp as error:
            raise RejectedInput(error.reason, str(error)) from error
        return Measurement(x, moment - age), stamp
