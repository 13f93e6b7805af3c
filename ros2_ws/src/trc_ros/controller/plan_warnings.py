"""Warnings of plans: what a plan says about the problem that it was made for."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from trc_core.flight.ranges import StateBox
from trc_core.numerics.plan import Plan
from trc_core.planner.inputs import FAR_OUTSIDE
from trc_core.problem.system import Array
from trc_ros.inputs import ThrottledLog

NUMBERS = re.compile(r'\d[\d.e+-]*')  # change from plan to plan
SUBJECTS = (' is ', ',', ': ')  # what a warning is about stands before them; numbers come after


class PlanWarnings:
    """Logs the warnings of plans, throttled, and keeps them for diagnostics.

    A swing-up is faster on its way than any state that it begins in: a state outside of the
    training box is worth a line only where plans never passed, or towards a goal far from all.

    Args:
        warn: takes a line.
        passed: the states that plans pass from where the controller was trained.
        goals: the goals that it was trained for.
    """

    def __init__(self, warn: Callable[[str], Any], passed: StateBox, goals: StateBox) -> None:
        self.count = 0
        """Plans with warnings so far."""
        self.latest: tuple[str, ...] = ()
        """Those of the last plan that had any."""
        self._log = ThrottledLog(warn)
        self._passed, self._goals = passed, goals

    def note(self, plan: Plan, goal: Array | None) -> None:
        """Notes the warnings of a plan to a goal (n_x,)."""
        if not plan.warnings:
            return
        lines = tuple(plan.warnings)
        if not self._passed.outside(plan.states[0]) and not self._is_far(goal):
            lines = tuple(line for line in lines if not line.endswith(FAR_OUTSIDE))
        if not lines:
            return
        self.count += 1
        self.latest = lines
        for line in lines:
            subject = line
            for end in SUBJECTS:
                subject = subject.partition(end)[0]
            subject = NUMBERS.sub('', subject)
            self._log(subject, f'plan: {line}')

    def _is_far(self, goal: Array | None) -> bool:
        return goal is not None and bool(self._goals.outside(goal))
