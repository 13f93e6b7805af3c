"""Constraint monitor: judges the true state of a plant by the constraints of its system."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trc_core.problem.system import Array, System
from trc_ros.conversions import Status
from trc_ros.inputs import ThrottledLog

OK, WARNING = 0, 1


class ConstraintMonitor:
    """Evaluates the constraints and the state limits of a system, and remembers the worst.

    Args:
        system: states them.
        log: takes a line when one is broken.
    """

    def __init__(self, system: System, log: ThrottledLog) -> None:
        self._system = system
        self._log = log
        self._constraints = system.task.constraints
        self.present, self.largest = 0.0, 0.0
        """Largest violation max(0, h) now, and so far, each in its constraint's unit."""
        self.worst = ''
        """The constraint that was violated most so far."""
        self._grown = False

    @property
    def is_idle(self) -> bool:
        """Whether the system has no constraints."""
        return not self._constraints

    def check(self, x: Array, u: Array, parameters: Mapping[str, float], tolerance: float) -> None:
        """Judges a state.

        Args:
            x: true state (n_x,).
            u: control (n_u,) that the plant obeys.
            parameters: those that differ from the system's own, by name.
            tolerance: violation beyond which there is a line in the log.
        """
        if self.is_idle:
            return
        p = self._system.parameter_rows(parameters) if parameters else self._system.p
        goal = self._system.goal_centre
        with np.errstate(all='ignore'):
            found = self._constraints.evaluate(x, u, goal, list(p), 0.0)
        values = [float(h) for h in found]
        worst = max(range(len(values)), key=values.__getitem__)
        self.present = max(0.0, values[worst])
        if self.present > self.largest:
            self.largest, self.worst = self.present, self._constraints.names[worst]
            self._grown = self._grown or self.present > tolerance
        if self.present > tolerance:
            name = self._constraints.names[worst]
            so_far = f"the largest so far is {self.largest:.3g} of '{self.worst}'"
            self._log('broken', f"constraint '{name}' is broken by {self.present:.3g}; {so_far}")

    def reset(self) -> None:
        """Forgets the worst."""
        self.present = self.largest = 0.0
        self.worst, self._grown = '', False

    def status(self, tolerance: float) -> Status:
        """A line of diagnostics; a warning while a constraint is broken, and once after it."""
        is_broken = self.present > tolerance or self._grown
        self._grown = False
        count = len(self._constraints)
        message = f'largest violation {self.largest:.3g}' if count else 'no constraints'
        values = {
            'constraints': count,
            'violation': self.present,
            'largest_violation': self.largest,
            'worst_constraint': self.worst or 'none',
        }
        return Status('constraints', WARNING if is_broken else OK, message, values)
