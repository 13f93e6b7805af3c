"""Watch: answers whether planning has to end, and can answer as it did before."""

from __future__ import annotations

from collections.abc import Sequence

from trc_core.planner.clock import now


class Watch:
    """Compares deadlines with the clock between two steps of a plan.

    With the answers of an earlier plan it needs no clock: planning then takes the same steps, and
    comes to the same numbers to the last bit.
    """

    def __init__(self) -> None:
        self.answers: list[bool] = []
        """Whether the deadline had passed, every time that the newest plan asked."""
        self.script: Sequence[bool] = ()
        """The first answers of every plan, whatever the time."""

    def begin(self) -> None:
        """Begins a plan."""
        self.answers = []

    def is_over(self, deadline: float) -> bool:
        """Whether a deadline [s] has passed."""
        asked = len(self.answers)
        over = self.script[asked] if asked < len(self.script) else now() >= deadline
        self.answers.append(over)
        return over
