"""One control cycle: state and goal in, a safe decision out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trc_core.runtime.delay import PendingCommands
from trc_core.runtime.safety import Decision, Measurement, Proposal, SafetyMonitor
from trc_core.runtime.settings import Settings
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
        input_delay: seconds from a command to its effect on the plant; plans start from the
            state then, as the commands already issued will have made it.
    """

    def __init__(
        self,
        controller: Controller,
        monitor: SafetyMonitor,
        period: float,
        clock: Callable[[], float],
        input_delay: float = 0.0,
    ) -> None:
        self.controller = controller
        self.monitor = monitor
        self.input_delay = input_delay
        self._period = period
        self._clock = clock
        self._own_cycles = controller.cycles
        self._pending = PendingCommands(monitor.system, input_delay)
        self.change(monitor.settings)

    def change(self, settings: Settings) -> None:
        """Flies with these settings from the next cycle on; call it between two cycles.

        Raises:
            ValueError: if the `fallback_mode` does not exist.
        """
        self.monitor.settings = settings
        cycles = settings.cycles
        self.controller.cycles = self._own_cycles if cycles is None else cycles
        self.controller.tolerance = settings.tolerance

    def reset(self) -> None:
        """Forgets the flight so far."""
        self.monitor.reset()
        self._pending.clear()

    def fly(
        self, measurement: Measurement | None, goal: Array, goal_time: float | None = None
    ) -> Decision:
        """Plans from the newest measurement and decides what to command now.

        Args:
            measurement: the newest state, None before the first.
            goal: (n_x,).
            goal_time: when it arrived, None for one that does not age.
        """
        if measurement is not None:
            measurement = self._pending.predicted(measurement)
        proposal = self._propose(measurement, goal, goal_time)
        now = self._clock()
        decision = self.monitor.decide(now, measurement, goal, proposal, goal_time)
        if decision.control is not None:
            oldest = now - self.monitor.settings.state_timeout
            self._pending.issued(now, decision.control, oldest)
        return decision

    def _propose(
        self, measurement: Measurement | None, goal: Array, goal_time: float | None
    ) -> Proposal:
        start, monitor = self._clock(), self.monitor
        if measurement is None or monitor.is_stale(start, measurement):
            return Proposal()
        if monitor.is_goal_stale(start, goal_time):
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
        if not self.monitor.settings.warm_start or accepted is None:
            return {}
        if self.monitor.rejections >= COLD_START_AFTER:
            return {}
        return {'warm_start': accepted.plan, 'elapsed': measurement.time - accepted.origin}
