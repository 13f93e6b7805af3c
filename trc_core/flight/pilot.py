"""Pilot: one control cycle, with state and goal in and a safe decision out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trc_core.flight.adaptation import ParameterEstimator
from trc_core.flight.delay import PendingCommands, require_whole_steps
from trc_core.flight.holding import Anchor
from trc_core.flight.reference import Goal, state_at, target_from
from trc_core.flight.safety import Decision, Measurement, Proposal, SafetyMonitor
from trc_core.flight.settings import Settings
from trc_core.flight.turns import Turns
from trc_core.problem.system import Array

if TYPE_CHECKING:
    from trc_core.planner.controller import Controller

RATE_TOLERANCE = 0.01  # of the period at which a fine-tuned controller flies
PLANNING_SHARE = 0.8  # of a period; the rest is for messages and for waking up late
HOPELESS = 100.0  # tolerances; plans of a free duration that miss by more begin anew
COLD_START_AFTER = 3  # rejected plans in a row: the warm start itself may be the cause
NONE: Mapping[str, float] = {}
LONGEST_GAP = 3  # periods between two measurements that parameters are learned from
FREE_MOTION = 10  # dt of a motion that is learned from where the duration of plans is free


@dataclass(frozen=True, eq=False)
class Task:
    """One cycle between its two halves: what is to be planned, and then decided upon."""

    measurement: Measurement | None
    """The newest state, as predicted for when a command takes effect."""
    goal: Goal | None
    goal_time: float | None
    known: Mapping[str, Any] | None
    """Arguments of a plan beside state and target; None where no plan is due."""


class Pilot:
    """Runs control cycles: plans, and returns the command that the safety monitor chooses.

    Args:
        controller: the planner.
        monitor: checks the plans and chooses the command.
        period: length of a cycle [s]; a plan that takes longer is late.
        clock: the time [s] on which measurements are stamped.
        input_delay: seconds from a command to its effect on the plant. Plans start from the
            state at that time, as predicted under the commands already issued.
        estimator: estimates the plant's parameters in flight; None for those of the model.
        deadline: seconds that planning may take; most of a period by default, infinity for a
            simulation that waits.

    Raises:
        ValueError: if a fine-tuned controller would fly at another rate than it was tuned at, or
            the plant is in discrete time and the delay, or the period with an estimator, is not a
            multiple of its dt.
    """

    def __init__(
        self,
        controller: Controller,
        monitor: SafetyMonitor,
        period: float,
        clock: Callable[[], float],
        input_delay: float = 0.0,
        estimator: ParameterEstimator | None = None,
        deadline: float | None = None,
    ) -> None:
        require_rate(controller, period)
        if estimator is not None:
            require_whole_steps(monitor.system, 'the period of the controller', period)
        self.controller = controller
        self.monitor = monitor
        self.input_delay = input_delay
        self.clock = clock
        self._period = period
        self._deadline = PLANNING_SHARE * period if deadline is None else deadline
        self._own_cycles = controller.cycles
        self._pending = PendingCommands(monitor.system, input_delay)
        self._estimator = estimator
        self._estimate = None if estimator is None else estimator.prior()
        self._last: Measurement | None = None
        self._begun: Measurement | None = None
        self._reachable: Array | None = None
        self._motion = FREE_MOTION * monitor.system.dt if monitor.system.final_time else 0.0
        self._turns = Turns(monitor.system, LONGEST_GAP * period)
        self._anchor = Anchor(monitor.system)
        self.readings: list[float] = []
        """The clock [s] as the newest cycle read it, in turn."""
        self._events: list[str] = []
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
        if self.controller.adjustable:  # otherwise commands are cut off, and plans do not know
            self.controller.bounds = settings.limits.low, settings.limits.high

    def take_over(self, controller: Controller) -> None:
        """Flies with another controller of the same plant; call it between two cycles.

        Raises:
            ValueError: if a fine-tuned one would fly at another rate than it was tuned at.
        """
        require_rate(controller, self._period)
        self.controller = controller
        self.monitor.lqr_plan = controller.lqr_plan
        self._own_cycles = controller.cycles
        self._events.append('take_over')
        self.change(self.monitor.settings)

    def reset(self) -> None:
        """Forgets everything, as after construction."""
        self._events.append('reset')
        self.monitor.reset()
        self._pending.clear()
        self._estimate = None if self._estimator is None else self._estimator.prior()
        self._last = self._reachable = None
        self._turns.forget()
        self._anchor.release()

    @property
    def parameters(self) -> Array | None:
        """Physical parameters of the plant (n_p,) as learned in flight; None without learning."""
        return self._learned_of(None)

    @property
    def learned(self) -> dict[str, float]:
        """The parameters that are learned in flight, by name, as plans are made with them."""
        p = self.parameters
        if p is None or self._estimator is None:
            return {}
        places = self.controller.system.places
        return {name: float(p[places[name]]) for name in self._estimator.names}

    @property
    def held(self) -> Array | None:
        """State (n_x,) in which the plant stays while there is no goal; None if there is none."""
        return self._anchor.state

    def restart(self) -> None:
        """Forgets the flight, but not what the plant still obeys or what was learned of it."""
        self._events.append('restart')
        self.monitor.restart()
        self._last = self._reachable = None
        self._anchor.release()

    def take_events(self) -> tuple[str, ...]:
        """What made it forget something since this was last asked: names of its methods."""
        events, self._events = tuple(self._events), []
        return events

    def stand_by(self) -> Decision:
        """A cycle without a plan: the safe control flies."""
        self.readings = []
        now = self._read_clock()
        self._anchor.release()  # somebody may carry the plant elsewhere meanwhile
        return self._issued(now, self.monitor.stand_by(now))

    def fly(
        self,
        measurement: Measurement | None,
        goal: Goal | None,
        goal_time: float | None = None,
        parameters: Mapping[str, float] = NONE,
    ) -> Decision:
        """Plans from the newest measurement and decides what to command now.

        Args:
            measurement: the newest state, None before the first.
            goal: state (n_x,) to reach and hold, or a track to follow, on the same clock; None
                to stay where the first fresh measurement was, if the plant can.
            goal_time: time of its arrival, None for one that does not age.
            parameters: of the plant by name, where they are not those of its system.
        """
        task = self.prepare(measurement, goal, goal_time, parameters)
        return self.conclude(task, self.propose(task))

    def prepare(
        self,
        measurement: Measurement | None,
        goal: Goal | None,
        goal_time: float | None = None,
        parameters: Mapping[str, float] = NONE,
    ) -> Task:
        """The first half of `fly`: what a cycle has to plan."""
        p = None
        self.readings = []
        if measurement is not None:
            measurement = self._turns.unwrapped(measurement)
            model = self._stated(parameters)
            if goal is None and not self.monitor.is_stale(self._read_clock(), measurement):
                goal = self._anchor.at(measurement.x, model)
            self._learn(measurement, model)
            p = self._learned_of(model)
            if p is self.controller.system.p:  # which plans have anyway, and need not check
                p = None
            measurement = self._pending.predicted(measurement, p)
        due = None if goal is None else self._due(measurement, goal, goal_time, p)
        return Task(measurement, goal, goal_time, due)

    def target(self, task: Task) -> Array:
        """The target of a plan for a task: (n_x,), or (T + 1, n_x) where it moves."""
        assert task.measurement is not None
        assert task.goal is not None
        return target_from(task.goal, self._begin(task.measurement))

    def conclude(self, task: Task, proposal: Proposal) -> Decision:
        """The second half of `fly`: decides what to command now."""
        measurement, goal, now = task.measurement, task.goal, self._read_clock()
        begin = now if measurement is None else self._begin(measurement)
        aim = None if goal is None else state_at(goal, begin)
        decision = self.monitor.decide(now, measurement, aim, proposal, task.goal_time)
        tolerance = self.monitor.settings.constraint_tolerance
        if self._motion and proposal.plan is not None and proposal.plan.violation <= tolerance:
            self._reachable = aim
        return self._issued(now, decision)

    def _read_clock(self) -> float:
        self.readings.append(self.clock())
        return self.readings[-1]

    def _begin(self, measurement: Measurement) -> float:
        """The time at which a plan from a measurement takes effect."""
        return measurement.time + self.input_delay

    def _stated(self, parameters: Mapping[str, float]) -> Array | None:
        """The parameters (n_p,) with those given by name; None if they are the system's own.

        They are not checked: a plan with what is not finite fails, and the fallback flies.
        """
        if not parameters:
            return None
        system = self.controller.system
        p = system.p.copy()
        for name, value in parameters.items():
            p[system.places[name]] = value
        return p

    def _learned_of(self, model: Array | None) -> Array | None:
        """The parameters (n_p,) to plan with, given the model's; None for the system's own."""
        if self._estimator is None or self._estimate is None:
            return model
        return self._estimator.parameters(self._estimate, model)

    def _issued(self, now: float, decision: Decision) -> Decision:
        """The decision, its control noted as under way to the plant."""
        if decision.control is None:
            self._last = None  # nobody knows what the plant obeys
        else:
            gap = LONGEST_GAP * self._period
            oldest = now - max(self.monitor.settings.state_timeout, gap, self._motion + gap)
            self._pending.issued(now, decision.control, oldest)
        return decision

    def _learn(self, measurement: Measurement, model: Array | None) -> None:
        """Compares the motion since the last measurement with what was commanded.

        Args:
            measurement: the newest state.
            model: the parameters (n_p,) that the plant is said to have; None: the system's own.
        """
        last, self._last = self._last, measurement
        if self._estimator is None or self._estimate is None:
            return
        begun, gap = self._begun if self._motion else last, LONGEST_GAP * self._period
        if last is None or begun is None or not 0 <= measurement.time - last.time <= gap:
            self._begun = measurement
            return
        # one tick moves a plant whose plans take minutes less than its sensors' noise
        seconds = measurement.time - begun.time
        if seconds <= 0.0 or seconds < self._motion - 0.5 * self._period:
            return
        self._begun = measurement
        controls, durations = self._pending.obeyed(begun.time, measurement.time)
        self._estimate = self._estimator.update(
            self._estimate, begun.x, controls, durations, measurement.x, model
        )

    def _due(
        self,
        measurement: Measurement | None,
        goal: Goal,
        goal_time: float | None,
        p: Array | None,
    ) -> dict[str, Any] | None:
        """Arguments of the plan that is due; None where there is nothing to plan from or for."""
        now, monitor = self._read_clock(), self.monitor
        if measurement is None or monitor.is_stale(now, measurement):
            return None
        if monitor.is_goal_stale(now, goal_time):
            return None
        aim = state_at(goal, self._begin(measurement))
        if monitor.has_arrived(measurement, aim):
            return None
        known = self._warm_start_from(measurement, aim)
        if p is not None:
            known['p'] = p
        if monitor.settings.weights:
            known['weights'] = monitor.settings.weights
        return known

    def propose(self, task: Task, deadline: float | None = None) -> Proposal:
        """Plans for a task, in so many seconds; by default those of the pilot."""
        if task.known is None or task.measurement is None:
            return Proposal()
        seconds = self._deadline if deadline is None else deadline
        start = self._read_clock()
        x, target = task.measurement.x, self.target(task)
        try:
            plan = self.controller.plan(x, target, deadline=seconds, **task.known)
        except (ValueError, ArithmeticError) as error:
            return Proposal(plan_time=self._read_clock() - start, failure=f'no plan: {error}')
        plan_time = self._read_clock() - start
        return Proposal(plan, plan_time, late=plan_time > self._period)

    def _warm_start_from(self, measurement: Measurement, aim: Array) -> dict[str, Any]:
        """The last accepted plan and its age, unless starting from it may be what goes wrong."""
        accepted = self.monitor.accepted
        if not self.monitor.settings.warm_start or accepted is None:
            return {}
        if self.monitor.rejections >= COLD_START_AFTER or self.monitor.is_over(measurement.time):
            return {}
        system, tolerance = self.monitor.system, self.monitor.settings.constraint_tolerance
        # A few sweeps do not bring a bad plan to its goal. Where one did reach that, disturbances
        # took it away, and one that begins anew gives up: it dives.
        was_reached = self._reachable is not None and np.array_equal(self._reachable, aim)
        is_hopeless = accepted.plan.violation > HOPELESS * tolerance and not was_reached
        if system.final_time is not None and is_hopeless:
            return {}
        known: dict[str, Any] = {'warm_start': accepted.plan}
        known['elapsed'] = measurement.time - accepted.origin
        if self.controller.correction is not None:
            known['issued'] = self.monitor.last_control
        return known


def require_rate(controller: Controller, period: float) -> None:
    """Checks that a fine-tuned controller flies at the rate that it was tuned at.

    Raises:
        ValueError: if it would not; the message names the rate.
    """
    dt, tuned = controller.system.dt, controller.correction is not None
    if tuned and abs(period - dt) > RATE_TOLERANCE * dt:
        raise ValueError(
            f'the controller was fine-tuned at {1 / dt:g} Hz and would fly at {1 / period:g} Hz; '
            f'set controller_frequency to {1 / dt:g}, or take the one that it was tuned from'
        )
