"""Reader of joints, which may arrive in parts and among others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from sensor_msgs.msg import JointState

from trc_core.flight.assembly import StatePart
from trc_core.systems import System
from trc_ros.conversions.axes import Axis, axes_of
from trc_ros.conversions.rejection import PassedOver, RejectedInput, require_finite

MOST_LAYOUTS = 32  # sets of names that are remembered: a robot has a few


class Layout(NamedTuple):
    """The joints of a system in messages with certain names."""

    known: list[tuple[int, Axis]]
    """Places in the message, and what is there."""
    measured: bool
    """Whether a position matters."""
    doubled: bool
    """Whether a name is there twice."""


class JointPartReader:
    """Reads the joints of a system from a JointState; others in it do not matter.

    Args:
        system: whose joints they are.
        differentiates: accept messages without velocities (or with NaN for one), which somebody
            finds from the positions.
        notice: called once for every set of names with a line about those that do not matter.
    """

    def __init__(
        self,
        system: System,
        differentiates: bool = False,
        notice: Callable[[str], Any] = lambda line: None,
    ) -> None:
        self._system = system
        self._axes = {axis.name: axis for axis in axes_of(system)}
        self._differentiates = differentiates
        self._notice = notice
        self._layouts: dict[tuple[str, ...], Layout] = {}

    def __call__(self, message: JointState) -> StatePart:
        """The part of a state that a message holds.

        Raises:
            PassedOver: if it names no joint of the system.
            RejectedInput: if it names one twice, if the numbers are not as many as the names, if
                one that matters is not finite, or if there are no velocities where they matter.
        """
        layout = self._layout(message.name)
        n, positions, velocities = len(message.name), message.position, message.velocity
        counted = len(positions) == n or not (positions or layout.measured)
        if not counted or len(velocities) not in (0, n):
            counts = f'{len(positions)} positions and {len(velocities)} velocities'
            raise RejectedInput('wrong_size', f'{n} names, {counts}')
        x, places, unmeasured = [0.0] * self._system.n_x, [], []
        for i, axis in layout.known:
            if axis.position is not None:
                x[axis.position] = positions[i]
                places.append(axis.position)
            if axis.velocity is None:
                continue
            if self._is_measured(velocities, i):
                x[axis.velocity] = velocities[i]
                places.append(axis.velocity)
            elif self._differentiates and axis.position is not None:
                unmeasured.append((axis.position, axis.velocity))
            else:
                raise RejectedInput(
                    'missing_velocity',
                    f'{axis.name} has none; publish it, or set velocity_cutoff_frequency to have '
                    'it found from positions',
                )
        return StatePart(require_finite(np.array(x)), tuple(places), tuple(unmeasured))

    def _is_measured(self, velocities: Sequence[float], i: int) -> bool:
        """Whether there is a velocity; drivers that have none may send NaN."""
        if not velocities:
            return False
        return not (self._differentiates and math.isnan(velocities[i]))

    def _layout(self, names: Sequence[str]) -> Layout:
        """The places of the joints in a message with these names.

        Raises:
            PassedOver: if there is none.
            RejectedInput: if one is there twice.
        """
        key = tuple(names)
        layout = self._layouts.get(key) or self._learned(key)
        if not layout.known:
            raise PassedOver('foreign', f'names {list(key)}, expected {sorted(self._axes)}')
        if layout.doubled:
            raise RejectedInput('duplicate_name', f'names {list(key)}')
        return layout

    def _learned(self, names: tuple[str, ...]) -> Layout:
        known = [(i, self._axes[name]) for i, name in enumerate(names) if name in self._axes]
        measured = any(axis.position is not None for _, axis in known)
        layout = Layout(known, measured, len({axis.name for _, axis in known}) < len(known))
        if len(self._layouts) < MOST_LAYOUTS:
            self._layouts[names] = layout
            self._describe(names)
        return layout

    def _describe(self, names: Sequence[str]) -> None:
        others = [name for name in names if name not in self._axes]
        if others:
            self._notice(f'no joints of {self._system.name}, and not read: {others}')
