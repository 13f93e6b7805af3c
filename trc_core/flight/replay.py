"""Replay of recorded cycles: the same inputs at the same times, and what is commanded now.

Time is an input: a cycle reads its clock as often, and gets the same answers, as it did in flight;
refinement spends as many cycles on a plan as there was time for. So a replay waits for nothing and
depends on no clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from trc_core.flight.cycle_record import CycleRecord
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Decision
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller

NEVER = 1e6  # [s] a deadline that is never met, for planning that goes by one


class RecordedClock:
    """Clock that repeats the readings of a cycle, and the last one where more are asked for."""

    def __init__(self) -> None:
        self._readings: tuple[float, ...] = (0.0,)
        self._next = 0

    def set(self, readings: tuple[float, ...]) -> None:
        """The readings of the next cycle."""
        self._readings, self._next = readings or self._readings[-1:], 0

    def __call__(self) -> float:
        reading = self._readings[min(self._next, len(self._readings) - 1)]
        self._next += 1
        return reading


class ReplayedController(Controller):
    """A controller that plans without regard to time, with the cycles that were spent in flight.

    Args:
        controller: the one that it plans like.
    """

    def __init__(self, controller: Controller) -> None:
        settings = 'cpu', controller.cycles, controller.tolerance, controller._num_threads
        super().__init__(controller.checkpoint, controller.backend, *settings)
        self.spent: int | None = None
        """Refinement cycles of the recorded plan; None where they do not matter."""

    def plan(self, x: ArrayLike, goal: ArrayLike, *rest: Any, **known: Any) -> Plan:
        """`Controller.plan`, ended where the recorded plan was."""
        deadline = known.get('deadline')
        if deadline is not None and deadline < math.inf:
            known['deadline'] = NEVER
        plan = super().plan(x, goal, *rest, **known)
        if self.spent is None or plan.cycles <= self.spent:
            return plan
        # There was no time for more: a plan of fewer cycles, whatever they would have gained.
        cycles, self.cycles = self.cycles, self.spent
        try:
            return super().plan(x, goal, *rest, **known)
        finally:
            self.cycles = cycles


@dataclass(frozen=True, eq=False)
class Replayed:
    """A recorded cycle and what is decided now."""

    record: CycleRecord
    decision: Decision


def replayed(
    pilot: Pilot,
    records: Iterable[CycleRecord],
    before: Callable[[CycleRecord], None] = lambda record: None,
    same: bool = True,
) -> Iterator[Replayed]:
    """Flies recorded cycles one after another.

    Args:
        pilot: of a `ReplayedController`; its clock is set.
        records: the cycles in turn.
        before: called with every record before it is flown, to change settings.
        same: whether the recorded plans were made by this controller, so that their refinement
            says how much time there was.
    """
    clock, controller = RecordedClock(), pilot.controller
    pilot.clock = clock
    for record in records:
        for event in record.events:
            if event in FORGETTING:
                FORGETTING[event](pilot)
        before(record)
        clock.set(record.clock)
        if isinstance(controller, ReplayedController):
            controller.spent = record.cycles if same else None
            controller.watch.script = record.deadlines if same else ()
        yield Replayed(record, _decision(pilot, record))


FORGETTING: dict[str, Callable[[Pilot], None]] = {'reset': Pilot.reset, 'restart': Pilot.restart}


def _decision(pilot: Pilot, record: CycleRecord) -> Decision:
    if not record.enabled:
        return pilot.stand_by()
    target = record.target(pilot.controller.system)
    return pilot.fly(record.measurement, target, record.goal_time, record.parameters)
