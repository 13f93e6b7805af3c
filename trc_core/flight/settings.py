"""Live settings, which may change between two control cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trc_core.flight.limits import CommandLimits
from trc_core.planner.controller import TOLERANCE
from trc_core.problem.system import CONSTRAINT_TOLERANCE, Array, System


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
    """Largest number of consecutive late or rejected plans during which the last plan is used;
    -1 for no limit but its end."""
    cycles: int | None = None
    """Refinement cycles of a plan; None: the checkpoint's own number."""
    tolerance: float = TOLERANCE
    """Refinement ends when a cycle is expected to gain less than this share of the cost."""
    warm_start: bool = True
    """Start every plan from the last accepted one."""
    constraint_tolerance: float = CONSTRAINT_TOLERANCE
    """Violation of a constraint, in its unit, beyond which a plan is DEGRADED."""
    weights: Mapping[str, Array] = field(default_factory=dict)
    """Diagonals of the weights 'Q', 'R' and 'Q_f' that differ from the system's own."""

    def __post_init__(self) -> None:
        if not self.state_timeout > 0:
            raise ValueError(f'state_timeout is {self.state_timeout} s; choose a positive time')
        if not self.goal_timeout >= 0:
            raise ValueError(f'goal_timeout is {self.goal_timeout} s; 0 disables it')
        if self.failure_tolerance < -1:
            raise ValueError(f'failure_tolerance is {self.failure_tolerance}; -1 is for ever')
        if self.cycles is not None and self.cycles < 0:
            raise ValueError(f'cycles must not be negative, got {self.cycles}')
        if not self.constraint_tolerance >= 0:
            raise ValueError(
                f'constraint_tolerance is {self.constraint_tolerance}; choose 0 or more'
            )


def weights_of(
    system: System, Q: Sequence[float] = (), R: Sequence[float] = (), Q_f: Sequence[float] = ()
) -> dict[str, Array]:
    """Diagonals of the weights that are not empty, by name.

    Args:
        system: the plant.
        Q: n_x numbers, none negative.
        R: n_u positive numbers.
        Q_f: n_x numbers, none negative.

    Raises:
        ValueError: for another length or sign; the message says what to write.
    """
    rows = (('Q', Q, system.state_names), ('R', R, system.control_names))
    found: dict[str, Array] = {}
    for name, values, entries in (*rows, ('Q_f', Q_f, system.state_names)):
        diagonal = np.array(values, dtype=np.float64)
        if not len(diagonal):
            continue
        if diagonal.shape != (len(entries),):
            raise ValueError(
                f'weights.{name} has {len(diagonal)} values; write one for each of '
                f"{list(entries)}, or [] for the system's own"
            )
        positive = name == 'R'
        fits = diagonal > 0 if positive else diagonal >= 0
        if not (fits & np.isfinite(diagonal)).all():
            wanted = 'positive numbers' if positive else 'numbers that are not negative'
            raise ValueError(f'weights.{name} is {diagonal.tolist()}; write {wanted}')
        found[name] = diagonal
    return found
