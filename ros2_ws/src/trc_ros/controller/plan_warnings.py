"""Warnings of plans: what a plan says about the problem that it was made for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trc_core.numerics.plan import Plan
from trc_ros.inputs import ThrottledLog

SUBJECTS = (' is ', ',')  # what a warning is about stands before them; numbers come after


class PlanWarnings:
    """Logs the warnings of plans, throttled, and keeps them for diagnostics.

    Args:
        warn: takes a line.
    """

    def __init__(self, warn: Callable[[str], Any]) -> None:
        self.count = 0
        """Plans with warnings so far."""
        self.latest: tuple[str, ...] = ()
        """Those of the last plan that had any."""
        self._log = ThrottledLog(warn)

    def note(self, plan: Plan) -> None:
        """Notes the warnings of a plan."""
        if not plan.warnings:
            return
        self.count += 1
        self.latest = tuple(plan.warnings)
        for line in plan.warnings:
            subject = line
            for end in SUBJECTS:
                subject = subject.partition(end)[0]
            self._log(subject, f'plan: {line}')
