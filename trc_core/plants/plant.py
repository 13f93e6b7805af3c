"""A plant: physics, a state, and actuators that do not quite do what they are told."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from trc_core.systems.base import Array, System

TOLERANCE = 1e-6  # of an integration step, by which a duration may miss the grid


class Physics(Protocol):
    """State in, state out."""

    def __call__(self, x: Array, u: Array, dt: float, /) -> Array:
        """The state (n_x,) after holding the force u (n_u,) for dt seconds."""


@dataclass(frozen=True)
class Imperfections:
    """What the model of a plant does not know.

    A command is clipped to the bounds, waits for `actuation_delay`, is multiplied by
    `input_gain`, and has `bias` and `disturbance` added, which no bound holds.

    Raises:
        ValueError: if a delay or a deviation is negative.
    """

    parameter_error: float = 0.0
    """Share by which every physical parameter is larger than in the model."""
    input_gain: float = 1.0
    """Of the commands on their way into the plant."""
    actuation_delay: float = 0.0
    """Time from a command to its effect [s]; rounded to whole integration steps."""
    disturbance: float = 0.0
    """Standard deviation of a random force on every control, as a share of the control's range;
    drawn anew every dt of the system."""
    bias: float = 0.0
    """A constant force on every control, in the same share."""

    def __post_init__(self) -> None:
        for name in ('actuation_delay', 'disturbance'):
            if not getattr(self, name) >= 0:
                raise ValueError(f'{name} is {getattr(self, name)}; choose 0 or more')


class Plant:
    """Remembers its state, the commands under way and the disturbance.

    Args:
        physics: what moves the state.
        system: bounds, trim control and sampling period.
        imperfections: what lies between a command and the physics; `parameter_error` is not
            applied here, the physics has it.
        integration_step: of the physics [s].
        seed: of the disturbance; the same seed and commands give the same bytes.
    """

    def __init__(
        self,
        physics: Physics,
        system: System,
        imperfections: Imperfections,
        integration_step: float,
        seed: int = 0,
    ) -> None:
        if not integration_step > 0:
            raise ValueError(f'integration_step is {integration_step} s; choose a positive time')
        self.integration_step = integration_step
        self._physics = physics
        self._system = system
        self._imperfections = imperfections
        self._range = system.u_max - system.u_min
        self._rng = np.random.default_rng(seed)
        self._steps_per_draw = max(1, round(system.dt / integration_step))
        self.reset(np.zeros(system.n_x))

    def reset(self, x: ArrayLike) -> Array:
        """Starts over from x (n_x,), under the trim control until a command has arrived.

        The disturbance goes on with the random numbers that follow.

        Raises:
            ValueError: if x has another shape.
        """
        self.x = _vector('the state', x, self._system.n_x)
        delay = round(self._imperfections.actuation_delay / self.integration_step)
        self._under_way = deque([self._system.u_trim] * delay)
        self._steps = 0
        return self.x

    def step(self, u: ArrayLike, dt: float | None = None) -> Array:
        """The state (n_x,) after commanding u (n_u,) for dt seconds; the system's dt by default.

        Raises:
            ValueError: if u has another shape or is not finite, or if dt is not a whole number of
                integration steps.
        """
        dt = self._system.dt if dt is None else dt
        count = round(dt / self.integration_step)
        if count < 1 or abs(count * self.integration_step - dt) > TOLERANCE * dt:
            raise ValueError(f'dt is {dt} s; choose a multiple of {self.integration_step} s')
        command = _vector('the control', u, self._system.n_u)
        command = np.clip(command, self._system.u_min, self._system.u_max)
        for _ in range(count):
            self._under_way.append(command)
            force = self._imperfections.input_gain * self._under_way.popleft() + self._push()
            self.x = self._physics(self.x, force, self.integration_step)
            self._steps += 1
        return self.x

    def _push(self) -> Array:
        """The force of bias and disturbance (n_u,)."""
        if self._steps % self._steps_per_draw == 0:
            share = self._imperfections.bias + self._rng.normal(
                0.0, self._imperfections.disturbance, self._system.n_u
            )
            self._force = share * self._range
        return self._force


def in_error(system: System, share: float) -> System:
    """The system with every physical parameter larger by a share."""
    return system.with_parameters(
        **{name: value * (1 + share) for name, value in system.parameters.items()}
    )


def _vector(name: str, values: ArrayLike, size: int) -> Array:
    vector = np.array(values, dtype=np.float64)
    if vector.shape != (size,) or not np.isfinite(vector).all():
        raise ValueError(f'{name} is {vector.tolist()}; give {size} finite values')
    return vector
