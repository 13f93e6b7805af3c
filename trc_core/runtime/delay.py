"""A plant that obeys late: the state in which it will be when a new command takes effect."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from itertools import pairwise

import numpy as np

from trc_core.runtime.safety import Measurement
from trc_core.systems.base import Array, System


class PendingCommands:
    """Commands that were issued, each taking effect `delay` seconds later and then held.

    The time of a predicted measurement stays the one at which it was measured: what is issued
    then acts on the predicted state, so that a plan is still looked up at its age.

    Args:
        system: the plant.
        delay: seconds from a command to its effect; 0 predicts nothing.
    """

    def __init__(self, system: System, delay: float) -> None:
        self._system = system
        self._delay = delay
        self._commands: deque[tuple[float, Array]] = deque()

    def clear(self) -> None:
        """Forgets all commands: the plant stands under its trim control."""
        self._commands.clear()

    def issued(self, time: float, control: Array, oldest: float) -> None:
        """Notes a command; forgets what no measurement later than `oldest` can ask for."""
        if not self._delay:
            return
        self._commands.append((time, control))
        while len(self._commands) > 1 and self._commands[1][0] <= oldest - self._delay:
            self._commands.popleft()

    def predicted(self, measurement: Measurement) -> Measurement:
        """The measurement with its state `delay` seconds later; as it is if that blows up."""
        if not self._delay:
            return measurement
        x = measurement.x
        try:
            for control, seconds in self._acting(measurement.time):
                x = self._held(x, control, seconds)
        except ArithmeticError:
            return measurement
        return replace(measurement, x=x) if np.isfinite(x).all() else measurement

    def _acting(self, measured: float) -> list[tuple[Array, float]]:
        """What the plant will obey in the `delay` seconds after `measured`, and how long each."""
        first = measured - self._delay
        controls = [self._system.u_trim]
        starts = [first]
        for time, control in self._commands:
            if time <= first:
                controls[-1] = control
            elif time < measured:
                controls.append(control)
                starts.append(time)
        ends = pairwise([*starts, measured])
        return [(u, end - start) for u, (start, end) in zip(controls, ends, strict=True)]

    def _held(self, x: Array, control: Array, seconds: float) -> Array:
        n = math.ceil(seconds / self._system.dt)
        for _ in range(n):
            x = self._system.step(x, control, seconds / n)
        return x
