"""Recording of one fault."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trc_core.problem.system import Array
from trc_ros.lab.recording import Diagnosis, Horizon, Samples


@dataclass(frozen=True)
class Exit:
    """End of a process that was asked to end."""

    time: float
    """[s since the epoch]"""
    code: int


@dataclass(frozen=True)
class Trial:
    """One fault in one fallback mode; times in seconds since the epoch, of sending."""

    fault: str
    fallback: str
    goal: Array  # (n_x,); of a reference: its last point
    began: float
    """Before whatever causes the fault was asked for."""
    ended: float
    """Before its end was asked for; of a killed process: see `disturbances`."""
    commands: Samples
    horizons: list[Horizon]
    diagnoses: list[Diagnosis]
    """What the controller said of itself."""
    states: Samples
    spawned: tuple[float, ...] = ()
    """When a new controller was started."""
    note: str = ''
    exit: Exit | None = None
    """Of the controller, where the fault asked it to end."""

    def said(self, start: float, end: float) -> list[Diagnosis]:
        """What the controller said of itself with start <= time < end."""
        return [d for d in self.diagnoses if start <= d.time < end]

    @property
    def blind_from(self) -> int:
        """Index of the last horizon sent before the fault ended, -1 if there is none.

        A controller that has no valid state sends no other until the fault ends.
        """
        sent = np.array([horizon.sent for horizon in self.horizons])
        return int(np.searchsorted(sent, self.ended)) - 1
