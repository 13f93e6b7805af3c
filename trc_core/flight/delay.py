"""Actuation-delay compensation: predicts the state at which a new command takes effect."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.compile.plant import with_parameters
from trc_core.flight.safety import Measurement
from trc_core.numerics.rollout import hold_sequence
from trc_core.problem.motion import SAME_DT
from trc_core.problem.system import Array, System


class PendingCommands:
    """Commands under way to the plant, each taking effect `delay` seconds later and then held.

    The time of a predicted measurement stays the one at which it was measured: what is issued
    then acts on the predicted state, so that a plan is still looked up at its age.

    Args:
        system: the plant.
        delay: seconds from a command to its effect; 0 predicts nothing.

    Raises:
        ValueError: if the plant is in discrete time and the delay is not a multiple of its dt.
    """

    def __init__(self, system: System, delay: float) -> None:
        require_whole_steps(system, 'input_delay', delay)
        self._system = system
        self._delay = delay
        self._commands: deque[tuple[float, Array]] = deque()
        if delay:  # compiled now, and not in the first control cycle
            self.predicted(Measurement(np.zeros(system.n_x), 0.0))

    def clear(self) -> None:
        """Forgets all commands: the plant stands under its trim control."""
        self._commands.clear()

    def issued(self, time: float, control: Array, oldest: float) -> None:
        """Notes a command; forgets those that no longer act after `oldest`."""
        self._commands.append((time, control))
        while len(self._commands) > 1 and self._commands[1][0] <= oldest - self._delay:
            self._commands.popleft()

    def predicted(self, measurement: Measurement, p: Array | None = None) -> Measurement:
        """The measurement with its state `delay` seconds later; as it is if that blows up.

        Args:
            measurement: the newest.
            p: physical parameters (n_p,) of the plant, where they are not the system's own.
        """
        if not self._delay:
            return measurement
        plant, x = plant_of(self._system), np.empty(self._system.n_x)
        plant = plant if p is None else with_parameters(plant, p)
        controls, seconds = self.obeyed(measurement.time, measurement.time + self._delay)
        compiled(hold_sequence)(plant.dynamics, measurement.x, controls, seconds, x)
        return replace(measurement, x=x) if np.isfinite(x).all() else measurement

    def obeyed(self, since: float, until: float) -> tuple[Array, Array]:
        """The controls (N, n_u) that the plant obeys between two times, and their seconds (N,).

        It obeys the trim control until the first command takes effect. In discrete time it obeys
        in every dt what holds in the middle of it.
        """
        first, last = since - self._delay, until - self._delay
        controls, starts = [self._system.u_trim], [first]
        for time, control in self._commands:
            if time <= first:
                controls[-1] = control
            elif time < last:
                controls.append(control)
                starts.append(time)
        if self._system.discrete:
            middles = np.arange(first + 0.5 * self._system.dt, last, self._system.dt)
            held = np.searchsorted(starts, middles, side='right') - 1
            return np.array(controls)[held], np.full(len(held), self._system.dt)
        return np.array(controls), np.diff([*starts, last])


def require_whole_steps(system: System, name: str, seconds: float) -> None:
    """Refuses a time that is not a multiple of dt, for a plant in discrete time.

    Raises:
        ValueError: if it is not; the message calls it by its name.
    """
    steps = seconds / system.dt
    if system.discrete and abs(steps - round(steps)) > SAME_DT * max(steps, 1.0):
        raise ValueError(
            f"{name} is {seconds:g} s, but '{system.name}' is in discrete time; choose a multiple "
            f'of its dt, {system.dt:g} s'
        )
