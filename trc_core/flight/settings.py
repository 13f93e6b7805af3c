"""Live settings: what may change between two control cycles, swapped at once."""

from __future__ import annotations

from dataclasses import dataclass

from trc_core.flight.limits import CommandLimits
from trc_core.planner.controller import TOLERANCE


@dataclass(frozen=True, eq=False)
class Settings:
    """Live settings of a pilot and its safety monitor.

    Raises:
        ValueError: if a number is out of range.
    """

    limits: CommandLimits
    """Limits of every command."""
    state_timeout: float
    """Age [s] beyond which a state is stale."""
    fallback_mode: str = 'tail'
    """Control in FALLBACK, a key of `trc_core.flight.safety.FALLBACKS`."""
    goal_timeout: float = 0.0
    """Age [s] beyond which a goal is stale; 0: goals do not age."""
    failure_tolerance: int = -1
    """Late or rejected plans in a row that the tail may bridge; -1: as many as it reaches."""
    cycles: int | None = None
    """Refinement cycles of a plan; None: the checkpoint's own number."""
    tolerance: float = TOLERANCE
    """Refinement ends when a cycle is expected to gain less than this share of the cost."""
    warm_start: bool = True
    """Start every plan from the last accepted one."""

    def __post_init__(self) -> None:
        if not self.state_timeout > 0:
            raise ValueError(f'state_timeout is {self.state_timeout} s; choose a positive time')
        if not self.goal_timeout >= 0:
            raise ValueError(f'goal_timeout is {self.goal_timeout} s; 0 disables it')
        if self.failure_tolerance < -1:
            raise ValueError(f'failure_tolerance is {self.failure_tolerance}; -1 is for ever')
        if self.cycles is not None and self.cycles < 0:
            raise ValueError(f'cycles must not be negative, got {self.cycles}')
