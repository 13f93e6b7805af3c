"""An environment as a plant: its state, its reward, and the problem that is stated for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from trc_core.problem.system import Array, System


@dataclass(frozen=True)
class Step:
    """What an environment answers to a control."""

    x: Array
    """The state after it (n_x,)."""
    reward: float
    """The sum over the steps for which the control was held."""
    over: bool = False
    """Whether the environment ended the episode early."""
    violations: int = 0
    """How many of its steps ended outside of its constraints."""


class Environment(ABC):
    """An environment whose state can be read; its observations are functions of it.

    Args:
        system: the problem by which it is planned for; its `dt` is a whole number of steps of the
            environment, during which a control is held.
        ticks: controls of an episode.
    """

    def __init__(self, system: System, ticks: int) -> None:
        self.system, self.ticks = system, ticks

    @abstractmethod
    def reset(self, seed: int) -> Array:
        """Begins an episode as the environment draws it; its state (n_x,)."""

    @abstractmethod
    def place(self, x: Array) -> None:
        """Begins an episode at the state x (n_x,)."""

    @abstractmethod
    def step(self, u: Array) -> Step:
        """Holds the control u (n_u,), in the units of the system, for its dt."""
