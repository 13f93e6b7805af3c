"""Command limits: a range, and how fast a command may change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trc_core.problem.system import Array, System

MOMENT = np.finfo(float).tiny  # [s]; no time at all times no limit would be no number
BOUND_TOLERANCE = 1e-6  # share of the control range: beyond it is a defect, below it rounding


@dataclass(frozen=True)
class LengthLimits:
    """Limits of the length of some controls, which are one vector, as a thrust is.

    A vector of length 0 is off, which the lower limit lets through: an engine that does not run.
    """

    names: tuple[str, ...]
    places: list[int]
    low: float
    high: float

    def holds(self, length: float) -> bool:
        """Whether a length is one of these, but for rounding."""
        slack = BOUND_TOLERANCE * self.high
        return self.low - slack <= length <= self.high + slack

    def fit(self, control: list[float], off: bool) -> bool:
        """Stretches the vector of a control (n_u,) into the limits; whether that changes it.

        Args:
            control: is changed.
            off: whether one that is shorter than the lower limit is to be 0.
        """
        length = math.hypot(*(control[i] for i in self.places))
        if self.low <= length <= self.high or not length:
            return False
        off = (off and length < self.low) or length < BOUND_TOLERANCE * self.low
        factor = 0.0 if off else min(max(length, self.low), self.high) / length
        for i in self.places:
            control[i] *= factor
        return not self.holds(length)


@lru_cache(maxsize=256)
def norms_of(system: System) -> tuple[LengthLimits, ...]:
    """The limits of the lengths of the groups of controls that have some."""
    places = {name: i for i, name in enumerate(system.control_names)}
    return tuple(
        LengthLimits(n.controls, [places[name] for name in n.controls], n.low, n.high)
        for n in system.norms
    )


@dataclass(frozen=True, eq=False)
class CommandLimits:
    """A range inside the bounds of the system, and the largest change per second."""

    low: Array  # (n_u,)
    high: Array  # (n_u,)
    rate: Array  # (n_u,), per second; infinite: none
    fallback: Array  # (n_u,), takes the place of a control that is not finite
    slack: Array  # (n_u,), changes up to this are rounding
    norms: tuple[LengthLimits, ...] = ()  # which come before the rate

    @classmethod
    def of(
        cls,
        system: System,
        low: Sequence[float] = (),
        high: Sequence[float] = (),
        rate: Sequence[float] = (),
    ) -> CommandLimits:
        """Limits of the commands to `system`; what is empty is left to its bounds.

        Args:
            system: the plant; its bounds and its trim control.
            low: smallest control, n_u numbers.
            high: largest control, n_u numbers.
            rate: largest change of a control per second, n_u positive numbers.

        Raises:
            ValueError: for a wrong length, limits outside the bounds or above each other, or a
                rate that is not positive.
        """
        # The range, inside the bounds of the system.
        smallest = _within_bounds('min', low, system, system.u_min)
        largest = _within_bounds('max', high, system, system.u_max)
        if (smallest > largest).any():
            raise ValueError(
                f'command_limits.min is {smallest.tolist()}, above command_limits.max '
                f'{largest.tolist()}; in flight, change the other one first'
            )
        for norm in norms_of(system):
            narrow = (smallest > system.u_min) | (largest < system.u_max)
            if narrow[norm.places].any():
                raise ValueError(
                    f'command_limits.min and command_limits.max cut the length of '
                    f'{list(norm.names)}, whose limits are {norm.low:g} to {norm.high:g}; give '
                    'them the bounds of the system'
                )
        # The rate.
        speed = _vector('rate', rate, system, np.full(system.n_u, np.inf))
        if not (speed > 0).all():
            raise ValueError(
                f'command_limits.rate is {speed.tolist()}; write positive numbers, or [] for none'
            )
        # The changes that count as rounding.
        slack = BOUND_TOLERANCE * (system.u_max - system.u_min)
        return cls(smallest, largest, speed, system.u_trim, slack, norms_of(system))

    def applied(self, control: Array, previous: Array | None, elapsed: float) -> tuple[Array, str]:
        """The control that may be sent, and which limit changed it; '' if none did.

        Where `previous` lies outside a range that has become narrower, the rate comes first: the
        control walks into the range. The limits of a length come before the rate: between off and
        the lower limit there is nothing.

        Args:
            control: (n_u,), any numbers.
            previous: the control sent last, None if there is none.
            elapsed: seconds since then.
        """
        # Plain numbers: for a few of them NumPy's calls would cost more than their work.
        wanted = control.tolist()
        finite = all(map(math.isfinite, wanted))
        if not finite:
            wanted = self.fallback.tolist()
        sides = (self.low, self.high, self.rate, self.slack)
        low, high, rate, slack = (side.tolist() for side in sides)
        before, seconds = None if previous is None else previous.tolist(), max(elapsed, MOMENT)
        sent, limit = [], ''
        for i, value in enumerate(wanted):
            inside = reached = min(max(value, low[i]), high[i])
            if before is not None:
                step = rate[i] * seconds
                reached = min(max(inside, before[i] - step), before[i] + step)
            sent.append(reached)
            if abs(reached - inside) > slack[i]:
                limit = 'rate'
            elif abs(inside - value) > slack[i]:
                limit = limit or 'range'
        for norm in self.norms:
            off = not any(wanted[i] for i in norm.places)
            if norm.fit(sent, off):
                limit = limit or 'range'
        return np.array(sent), limit if finite else 'not finite'


def _within_bounds(name: str, values: Sequence[float], system: System, default: Array) -> Array:
    vector = _vector(name, values, system, default)
    if (vector < system.u_min).any() or (vector > system.u_max).any():
        raise ValueError(
            f'command_limits.{name} is {vector.tolist()}; choose from {system.u_min.tolist()} '
            f'to {system.u_max.tolist()}, the bounds of {system.name}'
        )
    return vector


def _vector(name: str, values: Sequence[float], system: System, default: Array) -> Array:
    vector = np.array(values, dtype=np.float64)
    if not len(vector):
        return default
    if vector.shape != (system.n_u,):
        raise ValueError(
            f'command_limits.{name} has {len(vector)} values; '
            f'write one for each of {list(system.control_names)}, or []'
        )
    return vector
