"""Turns of joints: encoders that wrap an angle, and plans that count its turns, get along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trc_core.flight.safety import Measurement
from trc_core.numerics.cost import TURN
from trc_core.problem.system import System


def turning_places(system: System) -> list[int]:
    """The places of the positions of joints in rad, which encoders may wrap."""
    joints = {joint.position for joint in system.joints if joint.position is not None}
    return [i for i in sorted(joints) if system.state_units[i] == 'rad']


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
            jumps = [measurement.x[i] - last.x[i] for i in places]
            if max(map(abs, jumps)) > 0.5 * TURN:
                x = measurement.x.copy()
                x[places] -= TURN * np.round(np.array(jumps) / TURN)
                measurement = replace(measurement, x=x)
        self._last = measurement
        return measurement

    def forget(self) -> None:
        """Begins anew, as after construction."""
        self._last = None
