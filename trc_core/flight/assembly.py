"""States put together from parts that are measured separately."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from trc_core.flight.safety import Measurement
from trc_core.flight.velocity import VelocityFilter
from trc_core.problem.system import Array, System

Stamp = TypeVar('Stamp')
SAME_TIME = 1e-4  # [s] two readings of a clock may differ by this much


@dataclass(frozen=True, eq=False)
class StatePart:
    """The coordinates of a state that one message holds."""

    x: Array
    """A state (n_x,), of which only the coordinates at `places` count."""
    places: tuple[int, ...]
    unmeasured: tuple[tuple[int, int], ...] = ()
    """Places of the positions that came without a velocity, and of those velocities."""


class Incomplete(ValueError):  # noqa: N818  (nothing is wrong with the part)
    """A part after which there is no new state yet; the message says what is awaited."""


class StateAssembly(Generic[Stamp]):
    """Keeps the newest value of every coordinate. A state is as old as its oldest coordinate.

    It is new as soon as the oldest coordinate has been measured again: a coordinate that is
    measured more often than others waits for them.

    Args:
        system: whose states they are.
        velocities: finds those that are not measured; None if all are.
    """

    def __init__(self, system: System, velocities: VelocityFilter | None = None) -> None:
        self._system = system
        self._velocities = velocities
        self._fresh: set[int] = set()
        self.forget()

    def forget(self) -> None:
        """Begins anew, as after construction."""
        self._x = np.zeros(self._system.n_x)
        self._held: dict[int, tuple[float, Stamp]] = {}
        self._time: float | None = None
        if self._velocities is not None:
            self._velocities.forget()

    def begin(self) -> None:
        """Begins a batch of parts, which are added with the newest first."""
        self._fresh.clear()

    @property
    def is_fresh(self) -> bool:
        """Whether this batch has held every coordinate: parts added later are out of date."""
        return len(self._fresh) == self._system.n_x

    def is_outdated(self, part: StatePart) -> bool:
        """Whether this batch has held newer values of everything in a part."""
        return self._fresh.issuperset(part.places)

    def add(
        self, part: StatePart, time: float, stamp: Stamp, clock: float
    ) -> tuple[Measurement, Stamp]:
        """Adds a part.

        Args:
            part: its coordinates, as far as this batch has not held newer ones.
            time: of its measurement.
            stamp: of its measurement.
            clock: the same time [s] as its source knows it, for differences of positions.

        Returns:
            The new state with time and stamp of its oldest coordinate.

        Raises:
            Incomplete: if there is no new state yet.
        """
        part = self._with_velocities(part, clock)
        if len(part.places) == self._system.n_x and not self._fresh:
            self._fresh.update(part.places)
            self._x, self._time = part.x, time
            self._held = dict.fromkeys(part.places, (time, stamp))
            return Measurement(part.x, time), stamp
        self._hold(part, time, stamp)
        return self._assembled(time)

    def _with_velocities(self, part: StatePart, clock: float) -> StatePart:
        """The part with velocities by differences, where they can be found."""
        if self._velocities is None or not part.unmeasured:
            return part
        x, found = part.x.copy(), list(part.places)
        for position, velocity in part.unmeasured:
            if position in self._fresh:
                continue
            value = self._velocities.update(position, float(x[position]), clock)
            if value is None:
                self._fresh.add(velocity)  # an older one would not fit the position
            else:
                x[velocity] = value
                found.append(velocity)
        return StatePart(x, tuple(found))

    def _hold(self, part: StatePart, time: float, stamp: Stamp) -> None:
        later = {i for i, (held, _) in self._held.items() if held > time + SAME_TIME}
        if not later.isdisjoint(part.places) and later.isdisjoint(self._fresh):
            self._held.clear()  # time has jumped back: what is held is of another time
        x = self._x.copy()  # the last one flies
        for i in part.places:
            if i not in self._fresh:
                x[i] = part.x[i]
                self._held[i] = time, stamp
                self._fresh.add(i)
        self._x = x

    def _assembled(self, now: float) -> tuple[Measurement, Stamp]:
        names, held = self._system.state_names, self._held
        if len(held) < len(names):
            missing = [name for i, name in enumerate(names) if i not in held]
            raise Incomplete(f'no {", ".join(missing)} so far')
        time, stamp = min(held.values(), key=lambda entry: entry[0])
        before = self._time
        if before is not None and abs(time - before) <= SAME_TIME:
            old = [name for i, name in enumerate(names) if held[i][0] <= time + SAME_TIME]
            raise Incomplete(
                f'{", ".join(old)} last measured {now - time:.3g} s before the others'
            )
        self._time = time
        return Measurement(self._x, time), stamp
