"""A configured controller on its topics: what the life cycle of the node switches on and off."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from trc_core.runtime.pilot import Pilot
from trc_core.runtime.safety import Decision, Measurement, SafetyState
from trc_core.systems.base import Array
from trc_ros import diagnostics
from trc_ros.control_loop import ControlLoop
from trc_ros.conversions import (
    GOAL_TYPES,
    STATE_TYPES,
    CommandWriter,
    HorizonWriter,
    diagnostic_array,
    later,
)
from trc_ros.inputs import Input
from trc_ros.live import Live
from trc_ros.measuring import Measuring
from trc_ros.realtime import RealTime

NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
REFUSAL_LOG_PERIOD = 5.0  # [s] at most one line about refused messages in this time
LANDING = 3.0  # [s] how long the way to the last command may take at the rate limit
LANDING_STEP = 0.05  # [s] at most, between two commands on that way
LAST_WORD = Duration(seconds=0.2)  # how long the last command may take to be delivered


class Flight:
    """One controller, its topics and its loop.

    Args:
        node: owns the topics.
        pilot: its controller compiled and ready.
        values: the parameters of the node by name.
        live: those of them that may change; put another one into the attribute to change them
            between two cycles.
        goal: (n_x,), holds until one arrives.
    """

    def __init__(
        self, node: Node, pilot: Pilot, values: dict[str, Any], live: Live, goal: Array
    ) -> None:
        self.live = live
        self._flown: Live | None = None
        self._node = node
        self._values = values
        self._period = 1.0 / values['controller_frequency']
        self._pilot = pilot
        self._realtime = RealTime(values)
        self._loop: ControlLoop | None = None
        self._decision: Decision | None = None
        self._entries: Counter[SafetyState] = Counter()
        self._commands = 0
        self._open_inputs(goal)
        self._open_outputs()

    def take_off(self, fail: Callable[[str], None]) -> None:
        """Starts the loop; `fail` is told if it ever breaks."""
        self._pilot.reset()
        self._decision, self._commands, self._flown = None, 0, None
        self._entries.clear()
        self._loop = ControlLoop(
            self._period,
            self._cycle,
            lambda error: fail(f'the control loop broke: {type(error).__name__}: {error}'),
            prepare=self._prepare,
        )
        self._loop.start()

    def land(self) -> None:
        """Stops the loop, then sends the last command and waits until it is delivered."""
        if self._loop is None:
            return
        self._loop.stop()
        self._loop = None
        self._realtime.leave()
        self._say_last_word()

    def close(self) -> None:
        """Lands and closes the topics."""
        self.land()
        for destroy in self._destroyers:
            destroy()

    def _open_inputs(self, goal: Array) -> None:
        node, system = self._node, self._pilot.controller.system
        clock = node.get_clock()
        state_type, state_reader = STATE_TYPES[self._values['state_type']]
        goal_type, goal_reader = GOAL_TYPES[self._values['goal_type']]
        measure = Measuring(
            state_reader(system),
            lambda: clock.now().to_msg(),
            lambda: self.live.settings.state_timeout,
        )
        read_goal = goal_reader(system)
        self._state = Input[tuple[Measurement | None, Time]](
            measure, self._log_refusal, (None, Time())
        )
        self._goal = Input[tuple[Array, float | None]](
            lambda message: (read_goal(message), time.monotonic()),
            self._log_refusal,
            (goal, None),
        )
        self._destroyers = [
            functools.partial(
                node.destroy_subscription, node.create_subscription(kind, name, take, qos)
            )
            for kind, name, take, qos in (
                (state_type, 'state', self._state.take, NEWEST),
                (goal_type, 'goal', self._goal.take, RELIABLE),
            )
        ]

    def _open_outputs(self) -> None:
        node, system = self._node, self._pilot.controller.system
        self._write_command = CommandWriter(system.n_u)
        self._write_horizon = HorizonWriter(system, self._values['frame_id'])
        self._command = node.create_publisher(Float64MultiArray, 'command', RELIABLE)
        self._horizon = node.create_publisher(JointTrajectory, '~/horizon', RELIABLE)
        self._diagnostics = node.create_publisher(DiagnosticArray, '/diagnostics', RELIABLE)
        timer = node.create_timer(self._values['diagnostics.period'], self._publish_diagnostics)
        publishers = (self._command, self._horizon, self._diagnostics)
        self._destroyers += [functools.partial(node.destroy_publisher, p) for p in publishers]
        self._destroyers.append(functools.partial(node.destroy_timer, timer))

    def _prepare(self) -> None:
        """Makes the loop's thread a real-time one, as far as it goes."""
        for line in self._realtime.enter():
            self._node.get_logger().warning(line)

    def _say_last_word(self) -> None:
        """Walks to the safe control; what is left of the way after `LANDING` is one step."""
        monitor, end = self._pilot.monitor, time.monotonic() + LANDING
        target = monitor.safe_control()
        while target is not None:
            control = monitor.land(time.monotonic())
            if time.monotonic() > end:
                control = target
            self._command.publish(self._write_command(control))
            if np.array_equal(control, target):
                self._command.wait_for_all_acked(LAST_WORD)
                return
            time.sleep(min(self._period, LANDING_STEP))

    def _cycle(self) -> None:
        live = self.live
        if live is not self._flown:
            self._pilot.change(live.settings)
            self._flown = live
        measurement, stamp = self._state.latest
        decision = self._pilot.fly(measurement, *self._goal.latest)
        if decision.control is not None:
            self._command.publish(self._write_command(decision.control))
            self._commands += 1
        if decision.plan is not None and live.publish_horizon:
            stamp = later(stamp, self._pilot.input_delay)
            self._horizon.publish(self._write_horizon(decision.plan, stamp))
        self._note(decision)

    def _note(self, decision: Decision) -> None:
        """Keeps the record; logs and counts every change of the safety state."""
        if self._loop is not None and decision.plan_time is not None:
            self._loop.statistics.plan_time.add(decision.plan_time)
        previous, self._decision = self._decision, decision
        if previous is not None and previous.state is decision.state:
            return
        self._entries[decision.state] += 1
        text, logger = f'{decision.state.value}: {decision.reason}', self._node.get_logger()
        # Two calls: rclpy ties a severity to the line that logs.
        if diagnostics.LEVELS[decision.state] > diagnostics.OK:
            logger.warning(text)
        else:
            logger.info(text)

    def _log_refusal(self, reason: str) -> None:
        self._node.get_logger().warning(
            f'message refused: {reason}', throttle_duration_sec=REFUSAL_LOG_PERIOD
        )

    def _publish_diagnostics(self) -> None:
        loop, decision = self._loop, self._decision
        if loop is None or decision is None:
            return
        node, pilot = self._node, self._pilot
        name = node.get_fully_qualified_name()
        model = self._values['model_path'] or pilot.controller.system.name
        measurement, _ = self._state.latest
        age = time.monotonic() - measurement.time if measurement else float('nan')
        inputs = {'state': self._state, 'goal': self._goal}
        statuses = (
            diagnostics.loop_status(loop.statistics),
            diagnostics.realtime_status(self._realtime),
            diagnostics.input_status(inputs, age),
            diagnostics.model_status(pilot.controller, model, decision.plan),
            diagnostics.safety_status(pilot.monitor, decision, self._entries, self._commands),
        )
        stamp = node.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostic_array(statuses, name, stamp))
