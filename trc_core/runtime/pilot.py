"""One control cycle: state and goal in, a safe decision out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trc_core.runtime.safety import Decision, Measurement, Proposal, SafetyMonitor
from trc_core.systems.base import Array

if TYPE_CHECKING:
    from trc_core.runtime.controller import Controller

PLANNING_SHARE = 0.8  # of a period; the rest is for messages and for waking up late
COLD_START_AFTER = 3  # rejected plans in a row: the warm start itself may be the cause


class Pilot:
    """Asks the controller for a plan every cycle and flies what the safety monitor lets through.

    Args:
        controller: makes the plans.
        monitor: judges them.
        period: length of a cycle [s]; a plan that takes longer is late.
        clock: the time [s] on which measurements are stamped.
        warm_start: start every plan from the last accepted one.
    """

    def __init__(
        self,
        controller: Controller,
        monitor: SafetyMonitor,
        period: float,
        clock: Callable[[], float],
        warm_start: bool = True,
    ) -> None:
        self.controller = controller
        self.monitor = monitor
        self._period = period
        self._clock = clock
        self._warm_start = warm_start

    def fly(self, measurement: Measurement | None, goal: Array) -> Decision:
        """Plans from the newest measurement and decides what to command now."""
        proposal = self._propose(measurement, goal)
        return self.monitor.decide(self._clock(), measurement, goal, proposal)

    def _propose(self, measurement: Measurement | None, goal: Array) -> Proposal:
        start = self._clock()
        if measurement is None or self.monitor.is_stale(start, measurement):
            return Proposal()
        try:
            plan = self.controller.plan(
                measurement.x,
                goal,
                deadline=PLANNING_SHARE * self._period,
                **self._warm_start_from(measurement),
            )
        except (ValueError, ArithmeticError) as error:
            return Proposal(plan_time=self._clock() - start, failure=f'no plan: {error}')
        plan_time = self._clock() - start
        return Proposal(plan, plan_time, late=plan_time > self._period)

    def _warm_start_from(self, measurement: Measurement) -> dict[str, Any]:
        """The last accepted plan and its age, unless starting from it may be what goes wrong."""
        accepted = self.monitor.accepted
        if not self._warm_start or accepted is None:
            return {}
        if self.monitor.rejections >= COLD_START_AFTER:
            return {}
        return {'warm_start': accepted.plan, 'elapsed': measurement.time - accepted.origin}
