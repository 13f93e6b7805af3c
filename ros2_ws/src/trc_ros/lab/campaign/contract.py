"""Contract of a campaign: the parameters of the controller, and the limits of its outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trc_core.checkpoint import shipped_checkpoints
from trc_core.planner.controller import CLASSICAL
from trc_core.problem.system import Array
from trc_core.systems import System

STATE_TIMEOUT = 0.2  # [s]
LIMIT_SHARE = 0.95  # commands may use this much of the system's bounds, so that both differ
RATE_SHARE = 10.0  # times its range a command may change per second
DIAGNOSTICS_PERIOD = 0.05  # [s]
INJECTOR = 'fault_injector'  # name of the node that publishes where it should not
GOAL_TIMEOUT = 0.4  # [s] in flights that follow a stream of references


def goal_range(system: System) -> Array:
    """(n_x,): the box of goals, that of initial states where goals have none."""
    return np.where(system.goal_box > 0, system.goal_box, system.x0_box)


@dataclass(frozen=True)
class Contract:
    """Limits and times that a controller must keep in one fallback mode."""

    system: System
    frequency: float
    """Control cycles per second [Hz]."""
    fallback: str
    margin: float = 0.02
    """What the scheduler of the machine may add to a time [s]."""
    state_timeout: float = STATE_TIMEOUT
    low: Array = field(init=False)
    high: Array = field(init=False)
    rate: Array = field(init=False)
    """The command limits (n_u,), the last one per second."""

    def __post_init__(self) -> None:
        span = self.system.u_max - self.system.u_min
        edge = (1.0 - LIMIT_SHARE) / 2 * span
        limits = {
            'low': self.system.u_min + edge,
            'high': self.system.u_max - edge,
            'rate': RATE_SHARE * span,
        }
        for name, value in limits.items():
            object.__setattr__(self, name, value)

    @property
    def period(self) -> float:
        """Period of a control cycle [s]."""
        return 1.0 / self.frequency

    @property
    def deadline(self) -> float:
        """Age of the last state used [s] at which a safe command must have been sent."""
        return self.state_timeout + self.period + self.margin

    @property
    def goal_deadline(self) -> float:
        """Time [s] after the last of a stream of references at which the fallback must fly."""
        return GOAL_TIMEOUT + self.period + self.margin

    @property
    def model(self) -> str:
        """What plans: the checkpoint that ships for the system, or sweeps where there is none."""
        return self.system.name if self.system.name in shipped_checkpoints() else CLASSICAL

    @property
    def final_command(self) -> Array | None:
        """What is commanded last (n_u,) when the controller ends; None where nothing has to be."""
        if self.fallback == 'none':
            return None
        trim = self.system.u_trim
        return self.limited(np.zeros_like(trim) if self.fallback == 'zero' else trim)

    def limited(self, control: Array) -> Array:
        """A control (..., n_u) as the range of the limits lets it through."""
        return np.clip(control, self.low, self.high)

    def parameters(self) -> dict[str, Any]:
        """The parameters of the node `controller` that ask for it."""
        model = {'model_path': CLASSICAL} if self.model == CLASSICAL else {}
        return {
            **model,
            'controller_frequency': float(self.frequency),
            'fallback_mode': self.fallback,
            'state_timeout': float(self.state_timeout),
            'command_limits.min': self.low.tolist(),
            'command_limits.max': self.high.tolist(),
            'command_limits.rate': self.rate.tolist(),
            'diagnostics.period': DIAGNOSTICS_PERIOD,
        }
