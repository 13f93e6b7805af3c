"""Fleets of plants that differ from their model, each a draw from ranges, for fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trc_core.numerics.batch import BatchStep
from trc_core.problem.system import Array, System
from trc_core.simulation.mujoco_plants import mujoco_physics
from trc_core.simulation.plant import Resistance, first_order_share


class BlackBox(Protocol):
    """B plants that can be started and commanded; their gradients and parameters stay hidden."""

    def reset(self, x0: Array, /) -> Array:
        """Starts at x0 (B, n_x), or where the plants will; returns the states there."""

    def step(self, u: Array, /) -> Array:
        """The states (B, n_x) one dt after commanding u (B, n_u); NaN rows have ended."""


@dataclass(frozen=True)
class ModelMismatch:
    """Ranges of how far plants may differ from their model; every plant is a draw from them.

    Raises:
        ValueError: if a range is upside down, or a spread is not in [0, 1).
    """

    parameter_spread: float = 0.0
    """Every physical parameter lies within this share of the model's, drawn one by one."""
    gain_spread: float = 0.0
    """The gain of the commands lies within this share of 1."""
    delay: Sequence[int] = (0, 0)
    """Fewest and most ticks from a command to its effect."""
    disturbance: Sequence[float] = (0.0, 0.0)
    """Standard deviation of a random force, as a share of a control's range."""
    friction: Sequence[float] = (0.0, 0.0)
    """Dry friction, as a share of a control's range."""
    drag: Sequence[float] = (0.0, 0.0)
    """Drag, as a share of a control's range."""
    motor_lag: Sequence[float] = (0.0, 0.0)
    """Time constant with which the force follows [s]."""

    def __post_init__(self) -> None:
        for f in fields(ModelMismatch):
            value = getattr(self, f.name)
            if isinstance(value, float) and not 0 <= value < 1:
                raise ValueError(f'{f.name} is {value}; choose from [0, 1)')
            if not isinstance(value, float) and not (
                len(value) == 2 and 0 <= value[0] <= value[1]
            ):
                raise ValueError(f'{f.name} is {list(value)}; write [low, high], 0 or more')


@dataclass(frozen=True)
class Draw:
    """Properties of N plants."""

    p: Array
    """Physical parameters (N, n_p)."""
    gain: Array
    """Of the commands (N, 1), a column like all that follow."""
    delay: NDArray[np.int64]
    """Ticks."""
    disturbance: Array
    friction: Array
    drag: Array
    motor_lag: Array

    @classmethod
    def of(
        cls,
        system: System,
        mismatch: ModelMismatch,
        count: int,
        rng: np.random.Generator,
        repeat: int = 1,
        share: float = 1.0,
    ) -> Draw:
        """`count` plants, each of them `repeat` times in a row.

        Args:
            system: the model.
            mismatch: ranges of how far they differ from it.
            count: number of different plants.
            rng: source of the draw.
            repeat: copies of each.
            share: share of the way from the model to them; delays are rounded at random.
        """
        # Parameters, gains and delays of different plants.
        p = system.p
        spread = share * mismatch.parameter_spread * rng.uniform(-1, 1, (count, len(p)))
        gain = 1 + share * mismatch.gain_spread * rng.uniform(-1, 1, (count, 1))
        ticks = share * rng.integers(mismatch.delay[0], mismatch.delay[1] + 1, (count, 1))
        delay = np.floor(ticks + rng.random((count, 1))).astype(np.int64)

        # Everything else: one column for each range.
        def column(limits: Sequence[float]) -> Array:
            return share * rng.uniform(limits[0], limits[1], (count, 1))

        draw = cls(
            p=p * (1 + spread),
            gain=gain,
            delay=delay,
            disturbance=column(mismatch.disturbance),
            friction=column(mismatch.friction),
            drag=column(mismatch.drag),
            motor_lag=column(mismatch.motor_lag),
        )
        # Copies in a row.
        columns = {f.name: np.repeat(getattr(draw, f.name), repeat, axis=0) for f in fields(draw)}
        return replace(draw, **columns)

    def where(self, rows: NDArray[np.bool_], other: Draw) -> Draw:
        """These plants, but the others' in some rows (N,)."""
        columns = {
            f.name: np.where(rows[:, None], getattr(other, f.name), getattr(self, f.name))
            for f in fields(self)
        }
        return replace(self, **columns)


Move = Callable[[Array, Array, float], Array]


def _compiled_rows(system: System, p: Array) -> Move:
    step = BatchStep(system)
    return lambda x, u, seconds: step(x, u, p, seconds)


def _mujoco_rows(system: System, p: Array) -> Move:
    rows = [
        mujoco_physics(system.with_parameters(**dict(zip(system.parameters, values, strict=True))))
        for values in p
    ]
    return lambda x, u, seconds: np.array([row(x[b], u[b], seconds) for b, row in enumerate(rows)])


ROWS: dict[str, Callable[[System, Array], Move]] = {
    'system': _compiled_rows,
    'mujoco': _mujoco_rows,
}
"""Physics of plants with parameters p (B, n_p), by name."""


class Fleet:
    """B plants of a system that differ from it.

    Args:
        system: the model.
        draw: properties of the plants.
        substeps: RK4 steps within a dt.
        seed: decides the disturbances.
        repeat: plants of a group of this many in a row have the same disturbance.
        physics: a key of `ROWS`, which computes the motion.

    Raises:
        ValueError: if the physics is unknown, or cannot simulate this system.
    """

    def __init__(
        self,
        system: System,
        draw: Draw,
        substeps: int = 1,
        seed: int = 0,
        repeat: int = 1,
        physics: str = 'system',
    ) -> None:
        if physics not in ROWS:
            raise ValueError(f"unknown physics '{physics}'; choose from {sorted(ROWS)}")
        self.system, self.draw, self.substeps = system, draw, substeps
        self._move = ROWS[physics](system, draw.p)
        self._rng = np.random.default_rng(seed)
        self._repeat = repeat
        self._resistance = Resistance(system, draw.friction, draw.drag)
        self._share = first_order_share(draw.motor_lag, system.dt / substeps)
        self._range = system.u_max - system.u_min

    def reset(self, x0: Array) -> Array:
        """Starts at x0 (B, n_x), under the trim control.

        Raises:
            ValueError: if x0 has another shape.
        """
        self.x = self._checked('x0', x0, self.system.n_x).copy()
        B, longest = len(x0), int(self.draw.delay.max()) + 1
        self._commands = np.tile(self.system.u_trim, (longest, B, 1))  # newest first
        self._motor = self.draw.gain * self.system.u_trim
        return self.x

    def step(self, u: Array) -> Array:
        """The states (B, n_x) one dt after commanding u (B, n_u); NaN where a plant has blown up.

        Raises:
            ValueError: if u has another shape.
        """
        u = self._checked('u', u, self.system.n_u)
        u = np.clip(u, self.system.u_min, self.system.u_max)
        self._commands = np.concatenate([u[None], self._commands[:-1]])
        acting = self._commands[self.draw.delay[:, 0], np.arange(len(u))]
        asked, disturbance = self.draw.gain * acting, self.disturbance()
        for _ in range(self.substeps):
            self._motor = asked + (1 - self._share) * (self._motor - asked)
            force = self._motor + disturbance - self._resistance(self.x)
            self.x = self._move(self.x, force, self.system.dt / self.substeps)
        return self.x

    def disturbance(self) -> Array:
        """The next disturbance (B, n_u)."""
        groups = len(self.draw.gain) // self._repeat
        noise = self._rng.standard_normal((groups, self.system.n_u))
        return self._range * self.draw.disturbance * np.repeat(noise, self._repeat, axis=0)

    def _checked(self, name: str, values: Array, size: int) -> Array:
        shape = len(self.draw.gain), size
        if values.shape != shape:
            raise ValueError(f'{name} has shape {values.shape}, expected {shape}')
        return values
