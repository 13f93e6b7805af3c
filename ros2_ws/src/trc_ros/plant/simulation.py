"""Simulation of a plant under the last command."""

from __future__ import annotations

import threading
import time

import numpy as np

from trc_core.problem.system import Array
from trc_core.simulation import Plant

LONGEST_CATCH_UP = 0.5  # [s] of simulated time in one go; more is dropped, as after a suspend


class Simulation:
    """Moves a plant under the last command, by the steady clock or by turns; thread-safe.

    Args:
        plant: moves under `u` until the first command.
        x: initial state (n_x,).
        u: first control (n_u,).
        waiting: whether the steady clock stands still until the first command.
    """

    def __init__(self, plant: Plant, x: Array, u: Array, waiting: bool) -> None:
        self._plant = plant
        self._idle = self._u = u
        self._waiting = waiting
        self._lock = threading.Lock()
        self._time = time.monotonic()
        self._fresh = True
        self.reset(x)

    @property
    def x(self) -> Array:
        """The state (n_x,)."""
        return self._plant.x

    @property
    def u(self) -> Array:
        """The last command (n_u,), or the first control before any."""
        return self._u

    @property
    def ended(self) -> str:
        """How the flight ended, as on the ground; empty while it goes on."""
        return self._plant.ended

    def reset(self, x: Array) -> None:
        """Continues from x (n_x,) under the first control until the next command."""
        with self._lock:
            self._plant.reset(x)
            self._u, self._fresh = self._idle, True

    def command(self, u: Array) -> None:
        """Applies u (n_u,) from now on; wakes a plant that waits for its first command."""
        with self._lock:
            if self._waiting:
                self._waiting, self._time = False, time.monotonic()
            self._u = u

    def follow(self, now: float) -> None:
        """Integrates up to `now` on the steady clock."""
        dt = self._plant.integration_step
        with self._lock:
            if self._waiting:
                return
            self._time = max(self._time, now - max(LONGEST_CATCH_UP, 2.0 * dt))
            while self._time + dt <= now:
                self._step(dt)
                self._time += dt

    def measure(self) -> Array:
        """The state (n_x,), which the next command is taken to answer."""
        with self._lock:
            self._fresh = False
            return self._plant.x

    def advance(self, duration: float) -> None:
        """Integrates, unless the state after a reset is unmeasured: no command answers that."""
        with self._lock:
            if not self._fresh:
                self._step(duration)

    def _step(self, duration: float) -> None:
        with np.errstate(all='ignore'):
            x = self._plant.step(self._u, duration)
        if not np.isfinite(x).all():
            raise ValueError(
                f'the state has become {x.tolist()}; start nearer to the goal (initial_state), or '
                f'take smaller steps (simulation_rate)'
            )
