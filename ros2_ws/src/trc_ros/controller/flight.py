"""Flight of a configured controller: its topics and its loop between configure and clean-up."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from trc_core import Controller
from trc_core.flight.goal_range import trained_goals
from trc_core.flight.pilot import Pilot
from trc_core.flight.ranges import StateBox
from trc_core.flight.safety import Decision
from trc_core.flight.state_changes import StateChanges
from trc_core.problem.system import Array
from trc_ros.control_loop import ControlLoop
from trc_ros.controller import diagnostics
from trc_ros.controller.command_claim import CommandClaim
from trc_ros.controller.cycle_log import CycleLog
from trc_ros.controller.cycle_output import CycleOutput
from trc_ros.controller.event_loop import EventLoop
from trc_ros.controller.go_to import serve_orders
from trc_ros.controller.goal_frames import GoalFrames
from trc_ros.controller.goal_status import GoalStatus
from trc_ros.controller.instruction_input import InstructionInput
from trc_ros.controller.landing import Landing, land
from trc_ros.controller.live_settings import LiveSettings
from trc_ros.controller.measurements import SimulatedClock
from trc_ros.controller.outputs import RELIABLE, Outputs
from trc_ros.controller.plan_warnings import PlanWarnings
from trc_ros.controller.realtime import RealtimeSettings
from trc_ros.controller.states import open_states
from trc_ros.conversions import (
    Status,
    diagnostic_array,
    later,
    stamp_at,
    with_joint_names,
)
from trc_ros.qos import PUBLISHER, qos_of


class Flight:
    """Connects one controller with its topics, and runs its loop.

    Args:
        node: owns the topics.
        pilot: its controller compiled and ready.
        values: the parameters of the node by name.
        live: those that may change; a new object in the attribute applies from the next cycle
            on.
        goal: (n_x,), holds until one arrives; None to stay where the plant is.
        trained: the states that the controller was made for.
        claim: on the topic of the commands.

    Raises:
        ValueError: if a message type cannot carry the state of the system.
    """

    def __init__(
        self,
        node: Node,
        pilot: Pilot,
        values: dict[str, Any],
        live: LiveSettings,
        goal: Array | None,
        trained: StateBox,
        claim: CommandClaim,
    ) -> None:
        self.live = live
        self.enabled = True
        """Whether the controller may plan; otherwise the safe control flies."""
        self._requests: deque[Callable[[], None]] = deque()  # to be carried out between two cycles
        self._reloads = 0
        self._applied: LiveSettings | None = None
        self._node = node
        self._claim = claim
        self._values = values
        self._period = 1.0 / values['controller_frequency']
        self._pilot = pilot
        self._realtime = RealtimeSettings(values)
        self._loop: ControlLoop | None = None
        self._decision: Decision | None = None
        self._changes = StateChanges(functools.partial(diagnostics.log_state, node.get_logger()))
        self._commands = 0
        self._cycle_log = CycleLog(node.get_logger())
        self._counters = diagnostics.CounterMonitor()
        self._make_inputs(goal, trained)
        named = with_joint_names(pilot.controller.system, values['joints'])
        self._outputs = Outputs(node, named, values)
        self._record_cycle = CycleOutput(node, pilot, values)
        self._open_topics()

    @property
    def controller(self) -> Controller:
        """The controller that flies."""
        return self._pilot.controller

    def start(self, fail: Callable[[str], None]) -> None:
        """Starts the loop; `fail` is called with the reason if it ever breaks.

        Raises:
            ValueError: if another node publishes commands.
        """
        outputs = self._outputs
        self._claim.take(outputs.open_command, outputs.close_command)
        # The plant still obeys the last command, but a simulation's clock may have been reset.
        forget = self._pilot.reset if self._simulated else self._pilot.restart
        forget()
        self._requests.clear()
        self._decision, self._commands, self._applied = None, 0, None
        self._states.begin()
        self._changes.clear()
        self._loop = self._make_loop(
            lambda error: fail(f'the control loop broke: {type(error).__name__}: {error}')
        )
        self._loop.start()

    def reset(self) -> None:
        """Requests that the flight so far be forgotten before the next cycle.

        Raises:
            ValueError: if the loop does not run.
        """
        if self._loop is None:
            raise ValueError('the controller is not active: there is nothing to forget')
        self._requests.append(self._restart)

    def replace_controller(self, controller: Controller) -> None:
        """Requests another controller of the same plant from the next cycle on."""
        self._reloads += 1
        opening = self._record_cycle.opening(controller)
        self._requests.append(functools.partial(self._take_over, controller, opening))
        if self._loop is None:
            self._serve_requests()

    def stop(self) -> None:
        """Stops the loop, then sends the final commands and waits until the last is delivered."""
        if self._stop_loop():
            self._send_final_commands()
            self._outputs.close_command()

    def give_way(self) -> None:
        """Stops the loop without a final command: somebody else moves the plant."""
        if self._stop_loop():
            self._outputs.close_command()

    def _stop_loop(self) -> bool:
        """Stops the loop; False if there is none."""
        if self._loop is None:
            return False
        self._loop.stop()
        self._loop = None
        self._instructions.forget_goal()
        self._changes.flush()
        self._serve_requests()
        self._realtime.revert()
        return True

    def close(self) -> None:
        """Stops the loop and closes the topics."""
        self.stop()
        self._outputs.close()
        for destroy in self._destroyers:
            destroy()

    def _make_loop(self, on_failure: Callable[[Exception], None]) -> ControlLoop:
        period, prepare = self._period, self._prepare
        if self._values['cycle_on'] == 'clock':
            return ControlLoop(period, self._cycle, on_failure, prepare=prepare)
        timed = not self._simulated
        return EventLoop(self._wait_for_state, timed, period, self._cycle, on_failure, prepare)

    def _make_inputs(self, goal: Array | None, trained: StateBox) -> None:
        now, node, values = self._pilot.clock, self._node, self._values
        frames = GoalFrames(node, values['frame_id'])
        self._simulated = isinstance(now, SimulatedClock)
        node_clock = node.get_clock()
        self._states, self._watch = open_states(
            node,
            self.controller,
            values,
            now,
            lambda: stamp_at(node_clock.now().nanoseconds),
            lambda: self.live,
            trained,
            frames.noting,
        )
        goals = trained_goals(self.controller.system)
        self._warnings = PlanWarnings(node.get_logger().warning, trained, goals)
        stamp_clock = now if self._simulated else lambda: 1e-9 * node_clock.now().nanoseconds
        self._instructions = InstructionInput(
            node,
            self.controller,
            values,
            now,
            stamp_clock,
            goal,
            limits=lambda: self.live.goal_limits,
            frames=frames,
            on_refusal=lambda topic, reason: self._goal_status.refuse(topic, reason),
        )

    def _open_topics(self) -> None:
        node, values = self._node, self._values
        self._destroyers: list[Callable[[], Any]] = [self._states.close, self._instructions.close]
        self._goal_status = GoalStatus(
            node,
            self._pilot,
            self._states,
            self._instructions,
            decision=lambda: None if self._loop is None else self._decision,
            tolerance=lambda: self.live.goal_tolerance,
        )
        self._destroyers += [
            *serve_orders(values, node, self._instructions, self._goal_status, self._states),
            self._goal_status.close,
        ]
        qos = qos_of(node, PUBLISHER, '/diagnostics', RELIABLE)
        self._diagnostics = node.create_publisher(DiagnosticArray, '/diagnostics', qos)
        # By the steady clock: a simulation that stands still must show in the diagnostics.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        period = values['diagnostics.period']
        timer = node.create_timer(period, self._publish_diagnostics, clock=steady)
        self._destroyers += [
            functools.partial(node.destroy_publisher, self._diagnostics),
            functools.partial(node.destroy_publisher, self._record_cycle.publisher),
            functools.partial(node.destroy_timer, timer),
        ]

    def _prepare(self) -> None:
        """Applies the real-time settings to the thread of the loop, as far as permitted."""
        for line in self._realtime.apply():
            self._node.get_logger().warning(line)

    def _send_final_commands(self) -> None:
        """Approaches the safe control at the rate limit."""
        outputs, warn = self._outputs, self._node.get_logger().warning
        landing = Landing(
            self._pilot.monitor, outputs.send_command, outputs.wait_until_delivered, warn
        )
        land([landing], self._pilot.clock(), self._period)

    def _cycle(self) -> None:
        # Between two cycles: requests and changed parameters.
        self._serve_requests()
        live = self.live
        if live is not self._applied:
            self._pilot.change(live.settings)
            self._applied = live
        # Newest state and instructions in, decision out.
        self._states.take()
        measurement, stamp = self._states.latest
        self._states.mark_answered()
        self._watch.note(measurement)
        asked = self._instructions.at(measurement, stamp)
        decision = (
            self._pilot.fly(measurement, asked.goal, asked.goal_time, asked.parameters)
            if self.enabled
            else self._pilot.stand_by()
        )
        # The command goes first: everything else may be late.
        if decision.control is not None:
            self._outputs.send_command(decision.control)
            self._commands += 1
        if decision.plan is not None:
            stamp = later(stamp, self._pilot.input_delay)
            aim = self._pilot.held if asked.aim is None else asked.aim
            self._outputs.send_plan(decision.plan, stamp, aim, live)
            self._warnings.note(decision.plan, aim)
        self._record_cycle(measurement, asked, decision, live)
        self._record(decision)
        if self._cycle_log.enabled:
            age = self._pilot.clock() - measurement.time if measurement else None
            self._cycle_log(decision, age)

    def _wait_for_state(self, seconds: float) -> bool:
        """Whether a state arrives within so many seconds that is due for a cycle."""
        if not self._states.wait(seconds):
            return False
        if self._simulated and self._states.time_has_jumped_back():
            self._pilot.reset()
        return True

    def _serve_requests(self) -> None:
        while self._requests:
            self._requests.popleft()()

    def _take_over(self, controller: Controller, opening: dict[str, Any]) -> None:
        self._pilot.take_over(controller)
        self._record_cycle.introduce(opening)

    def _restart(self) -> None:
        self._pilot.restart()
        self._states.forget()
        self._instructions.forget_goal()
        self._changes.clear()
        self._decision, self._commands = None, 0

    def _record(self, decision: Decision) -> None:
        """Records a decision; logs and counts changes of the safety state."""
        if self._loop is not None and decision.plan_time is not None:
            self._loop.statistics.plan_time.add(decision.plan_time)
        self._decision = decision
        self._changes.note(decision.state, decision.reason)

    def _publish_diagnostics(self) -> None:
        node = self._node
        self._cycle_log.refresh()
        name, stamp = node.get_fully_qualified_name(), node.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostic_array(self._statuses(), name, stamp))
        self._goal_status.update()

    def _statuses(self) -> Iterator[Status]:
        loop, decision, pilot = self._loop, self._decision, self._pilot
        measurement, stamp = self._states.latest
        age = pilot.clock() - measurement.time if measurement else float('nan')
        inputs = {'state': self._states.input, **self._instructions.inputs}
        timeout = self.live.settings.state_timeout
        concern = self._watch.concern(timeout) if loop is not None else ''
        yield diagnostics.input_status(inputs, age, self._counters, concern)
        model = self._values['model_path'] or pilot.controller.system.name
        plan = decision.plan if decision else None
        yield diagnostics.model_status(
            pilot, model, self._reloads, plan, self._warnings, self._counters
        )
        if loop is None or decision is None:
            waiting = diagnostics.concerned(diagnostics.IDLE, concern)
            yield diagnostics.INACTIVE if loop is None else waiting
            return
        yield diagnostics.loop_status(loop.statistics, self._counters)
        yield diagnostics.realtime_status(self._realtime)
        asked = self._instructions.at(measurement, stamp)
        aim = pilot.held if asked.aim is None else asked.aim
        follows = self._instructions.follows
        safety = diagnostics.safety_status(
            pilot.monitor,
            decision,
            self._changes.entries,
            self._commands,
            self.enabled,
            self._claim.rivals(),
            diagnostics.task_values(pilot.monitor, measurement, aim, follows),
        )
        yield diagnostics.concerned(safety, concern)
