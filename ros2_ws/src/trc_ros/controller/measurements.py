"""Measurements from messages on `state`: the state, and the time at which it was valid."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from builtin_interfaces.msg import Time

from trc_core.flight.assembly import Incomplete, StateAssembly, StatePart
from trc_core.flight.ranges import StateBox
from trc_core.flight.safety import Measurement
from trc_core.flight.stamps import BadStamp, StampCheck
from trc_core.problem.system import Array
from trc_ros.conversions import PartReader, PassedOver, RejectedInput, own_stamp, seconds_of

MOST_SOURCES = 64  # sets of joints whose stamps are compared with each other


class SimulatedClock:
    """Clock of a simulation [s], set by the stamps of its states."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class MeasurementReader:
    """Reads states, whole or in parts; one without a valid stamp is as old as its arrival.

    Args:
        read: the part of a state that a message holds.
        assembly: puts the parts together.
        limits: the box that states must lie in; None where nobody asks for one.
        clock: the node's time, simulated or not, which stamps are compared with.
        timeout: the largest age [s] of a state.
        use_stamps: whether they are used.
    """

    def __init__(
        self,
        read: PartReader,
        assembly: StateAssembly[Time],
        limits: Callable[[], StateBox | None],
        clock: Callable[[], Time],
        timeout: Callable[[], float],
        use_stamps: bool = True,
    ) -> None:
        self._read = read
        self._assembly = assembly
        self._limits = limits
        self._clock = clock
        self._timeout = timeout
        self._stamp_of = own_stamp if use_stamps else lambda message: None
        self._stamps: dict[tuple[int, ...], StampCheck] = {}

    @property
    def is_fresh(self) -> bool:
        """Whether older messages hold nothing that newer ones have not held."""
        return self._assembly.is_fresh

    def begin(self) -> None:
        """Begins with the newest message."""
        self._assembly.begin()

    def forget(self) -> None:
        """Forgets the parts so far."""
        self._assembly.forget()

    def __call__(self, message: Any, waited: float = 0.0) -> tuple[Measurement, Time]:
        """The state after a message, its time on the steady clock, and its stamp.

        Args:
            message: as it came.
            waited: seconds since it did.

        Raises:
            PassedOver: if there is no new state after it.
            RejectedInput: for a message or a stamp that must not be used.
        """
        moment, now = time.monotonic(), self._clock()
        part, stamp = self._part(message), self._stamp_of(message)
        if stamp is None:
            return self._assembled(part, moment - waited, now, moment - waited)
        seconds = seconds_of(stamp)
        try:
            age = self._check_of(part).age(seconds, seconds_of(now), self._timeout())
        except BadStamp as error:
            raise RejectedInput(error.reason, str(error)) from error
        return self._assembled(part, moment - age, stamp, seconds)

    def _part(self, message: Any) -> StatePart:
        """The part of a state that a message holds, inside the limits."""
        part, limits = self._read(message), self._limits()
        if self._assembly.is_outdated(part):
            raise PassedOver('outdated', 'newer messages hold as much')
        if limits is not None:
            require_inside(limits, part.x, part.places)
        return part

    def _assembled(
        self, part: StatePart, time: float, stamp: Time, clock: float
    ) -> tuple[Measurement, Time]:
        """The state that a part completes, and its stamp."""
        try:
            measurement, stamp = self._assembly.add(part, time, stamp, clock)
        except Incomplete as news:
            raise PassedOver('partial', str(news)) from None
        limits = self._limits()
        if limits is not None and part.unmeasured:
            require_inside(limits, measurement.x, [place for _, place in part.unmeasured])
        return measurement, stamp

    def _check_of(self, part: StatePart) -> StampCheck:
        """The check of the stamps of a part: every driver has its own series."""
        if part.places not in self._stamps and len(self._stamps) >= MOST_SOURCES:
            self._stamps.clear()
        return self._stamps.setdefault(part.places, StampCheck())


class SimulatedMeasurementReader(MeasurementReader):
    """Reads states of a simulation, whose stamps set the clock.

    Args:
        read, assembly, limits: as `MeasurementReader` takes them.
        time: set to the stamp of every state.
    """

    def __init__(
        self,
        read: PartReader,
        assembly: StateAssembly[Time],
        limits: Callable[[], StateBox | None],
        time: SimulatedClock,
    ) -> None:
        super().__init__(read, assembly, limits, Time, lambda: 0.0)
        self._time = time

    def __call__(self, message: Any, waited: float = 0.0) -> tuple[Measurement, Time]:
        """The state, its time and its stamp, however long it has `waited`.

        Raises:
            PassedOver: if there is no new state after it.
            RejectedInput: for a message that must not be used, or has no stamp.
        """
        part, stamp = self._part(message), own_stamp(message)
        if stamp is None:
            raise RejectedInput(
                'stamp', 'a simulated state needs a stamp: it says what time it is'
            )
        seconds = seconds_of(stamp)
        measurement, oldest = self._assembled(part, seconds, stamp, seconds)
        self._time.now = measurement.time
        return measurement, oldest


def require_inside(limits: StateBox, x: Array, places: Collection[int]) -> None:
    """Compares coordinates of x (n_x,) with the limits of states.

    Raises:
        RejectedInput: if one lies outside.
    """
    if outside := limits.outside(x, places):
        raise RejectedInput('out_of_range', f'{outside} (state_limits)')
