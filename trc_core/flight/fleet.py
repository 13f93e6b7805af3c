"""Fleet pilot: one control cycle of many robots, whose plans are made in batches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from trc_core.flight.pilot import PLANNING_SHARE, Pilot, Task
from trc_core.flight.reference import Goal
from trc_core.flight.safety import Decision, Measurement, Proposal
from trc_core.numerics.plan import Plan
from trc_core.planner.clock import now

if TYPE_CHECKING:
    from trc_core.planner.controller import Controller

TOGETHER = frozenset({'warm_start', 'elapsed'})
"""What a plan may know beside its state and goal to be made in a batch."""


@dataclass(frozen=True, eq=False)
class Asked:
    """What one robot is asked for in a cycle, as `Pilot.fly` takes it."""

    measurement: Measurement | None
    goal: Goal | None
    goal_time: float | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)


class FleetPilot:
    """Runs the control cycles of many robots of one kind, one pilot each.

    Every pilot decides for itself, as if it flew alone; the plans of those that fly to goals are
    made together. A robot without a state, or with a plan that fails, does not hold up the others.

    Args:
        pilots: of the robots, all with the same controller.
        period: length of a cycle [s].
        deadline: seconds that all plans of a cycle may take; most of a period by default, infinity
            for a simulation that waits.

    Raises:
        ValueError: if there are no pilots, or they have not the same controller.
    """

    def __init__(
        self, pilots: Sequence[Pilot], period: float, deadline: float | None = None
    ) -> None:
        if not pilots or any(pilot.controller is not pilots[0].controller for pilot in pilots):
            raise ValueError('a fleet needs pilots, one per robot, that share one controller')
        self.pilots = tuple(pilots)
        self._period = period
        self._deadline = PLANNING_SHARE * period if deadline is None else deadline
        self._first = 0  # the robot that is planned for first in the next cycle

    @property
    def controller(self) -> Controller:
        """The controller that plans for all."""
        return self.pilots[0].controller

    def fly(self, asked: Sequence[Asked]) -> list[Decision]:
        """Plans for every robot and decides what to command each; in the order of the pilots."""
        tasks = [
            pilot.prepare(a.measurement, a.goal, a.goal_time, a.parameters)
            for pilot, a in zip(self.pilots, asked, strict=True)
        ]
        proposals = self._proposals(tasks)
        rows = zip(self.pilots, tasks, proposals, strict=True)
        return [pilot.conclude(task, proposal) for pilot, task, proposal in rows]

    def _proposals(self, tasks: Sequence[Task]) -> list[Proposal]:
        proposals = [Proposal()] * len(tasks)
        end = self.pilots[0].clock() + self._deadline
        # Whoever comes last gets what time is left: by turns.
        order = [*range(self._first, len(tasks)), *range(self._first)]
        self._first = (self._first + 1) % len(tasks)
        for group in self._groups(tasks, order):
            for robot, proposal in zip(group, self._planned(tasks, group, end), strict=True):
                proposals[robot] = proposal
        return proposals

    def _groups(self, tasks: Sequence[Task], order: Sequence[int]) -> list[list[int]]:
        """The robots that need a plan, those together whose plans are made in one batch."""
        groups: dict[Any, list[int]] = {}
        together = self._plans_together()
        for robot in order:
            known = tasks[robot].known
            if known is None:
                continue
            joins = together and self._can_join(robot, tasks[robot])
            kind = 'warm_start' in known if joins else ('alone', robot)
            groups.setdefault(kind, []).append(robot)
        return list(groups.values())

    def _plans_together(self) -> bool:
        """Whether plans of the controller are the same in a batch: those without memory are."""
        controller = self.controller
        system, (low, high) = controller.system, controller.bounds
        if controller.checkpoint.is_classical or controller.correction is not None:
            return False
        whole = (low == system.u_min).all() and (high == system.u_max).all()
        return bool(whole) and system.task.is_plain

    def _can_join(self, robot: int, task: Task) -> bool:
        """Whether a task can be planned in a batch, and no number of it makes that fail."""
        known, measurement = task.known or {}, task.measurement
        if measurement is None or not TOGETHER.issuperset(known):
            return False
        before = known.get('warm_start')
        if before is not None and before.memory is not None:
            return False
        n_x = self.controller.system.n_x
        numbers = (measurement.x, self.pilots[robot].target(task))
        if any(np.shape(values) != (n_x,) for values in numbers):
            return False
        return bool(np.isfinite(numbers).all()) and math.isfinite(known.get('elapsed', 0.0))

    def _planned(self, tasks: Sequence[Task], group: list[int], end: float) -> list[Proposal]:
        """The proposals of a group, in its order."""
        clock = self.pilots[0].clock
        start = clock()
        if len(group) > 1:
            try:
                plans = self._batch(tasks, group, max(0.0, end - start))
            except (ValueError, ArithmeticError):
                pass  # whose fault it is shows when each is planned for alone, below
            else:
                seconds = clock() - start
                late = seconds > self._period
                return [Proposal(row_of(plans, row), seconds, late) for row in range(len(group))]
        return [
            self.pilots[robot].propose(tasks[robot], max(0.0, end - clock())) for robot in group
        ]

    def _batch(self, tasks: Sequence[Task], group: list[int], deadline: float) -> Plan:
        known = [tasks[robot].known or {} for robot in group]
        x = [tasks[robot].measurement.x for robot in group]  # type: ignore[union-attr]
        goals = [self.pilots[robot].target(tasks[robot]) for robot in group]
        history: dict[str, Any] = {}
        if 'warm_start' in known[0]:
            before = [k['warm_start'] for k in known]
            history['warm_start'] = Plan(
                np.array([plan.controls for plan in before]),
                np.array([plan.states for plan in before]),
                0.0,
                'fleet',
            )
            history['elapsed'] = np.array([k['elapsed'] for k in known])
        return self.controller.plan_batch(x, goals, deadline=deadline, **history)


def row_of(plans: Plan, row: int) -> Plan:
    """One plan of a batch without memory."""
    starts: Any = plans.candidates
    candidates = {name: float(costs[row]) for name, costs in starts.items()}
    rows: Any = (plans.cost, plans.source, plans.converged, plans.cycles)
    cost, source, converged, cycles = (values[row] for values in rows)
    return Plan(
        plans.controls[row],
        plans.states[row],
        float(cost),
        str(source),
        bool(converged),
        int(cycles),
        candidates,
        times=plans.times,
    )


def batch_times(controller: Controller, robots: int, rounds: int = 5) -> list[float]:
    """Seconds that plans for so many robots take together, going on from those before."""
    system = controller.system
    x = np.tile(system.x0_centre + 0.5 * system.x0_box, (robots, 1))
    goals = np.tile(system.goal_centre, (robots, 1))
    plans, times = controller.plan_batch(x, goals), []
    for _ in range(rounds):
        began = now()
        plans = controller.plan_batch(x, goals, warm_start=plans)
        times.append(now() - began)
    return times
