"""Turns of joints in flight: every state counts them on from the one before."""

from __future__ import annotations

from dataclasses import replace

from trc_core.flight.safety import Measurement
from trc_core.planner.turns import nearest_reading, turning_places
from trc_core.problem.system import System


class Turns:
    """Unwraps the angles of joints against the measurement before.

    No joint makes half a turn between two measurements: where a reading jumps by more, it was
    wrapped. States that are no position of a joint, and units other than rad, are left alone.

    Args:
        system: names the joints and the units.
        gap: seconds between two measurements beyond which they have nothing to do with each other.
    """

    def __init__(self, system: System, gap: float) -> None:
        self._places = turning_places(system)
        self._gap = gap
        self._last: Measurement | None = None

    def unwrapped(self, measurement: Measurement) -> Measurement:
        """The measurement with its angles within half a turn of those before."""
        last, places = self._last, self._places
        if last is not None and places and 0 <= measurement.time - last.time <= self._gap:
            x = nearest_reading(measurement.x, [last.x.item(i) for i in places], places)
            if x is not measurement.x:
                measurement = replace(measurement, x=x)
        self._last = measurement
        return measurement

    def forget(self) -> None:
        """Begins anew, as after construction."""
        self._last = None
