"""Command limits: a range, and how fast a command may change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trc_core.problem.system import Array, System

MOMENT = np.finfo(float).tiny  # [s]; no time at all times no limit would be no number
BOUND_TOLERANCE = 1e-6  # share of the control range: beyond it is a defect, below it rounding


@dataclass(frozen=True, eq=False)
class CommandLimits:
    """A range inside the bounds of the system, and the largest change per second."""

    low: Array  # (n_u,)
    high: Array  # (n_u,)
    rate: Array  # (n_u,), per second; infinite: none
    fallback: Array  # (n_u,), takes the place of a control that is not finite
    slack: Array  # (n_u,), changes up to this are rounding

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
        # The rate.
        speed = _vector('rate', rate, system, np.full(system.n_u, np.inf))
        if not (speed > 0).all():
            raise ValueError(
                f'command_limits.rate is {speed.tolist()}; write positive numbers, or [] for none'
            )
        # The changes that count as rounding.
        slack = BOUND_TOLERANCE * (system.u_max - system.u_min)
        return cls(smallest, largest, speed, system.u_trim, slack)

    def applied(self, control: Array, previous: Array | None, elapsed: float) -> tuple[Array, str]:
        """The control that may be sent, and which limit changed it; '' if none did.

        Where `previous` lies outside a range that has become narrower, the rate comes first: the
        control walks into the range.

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
