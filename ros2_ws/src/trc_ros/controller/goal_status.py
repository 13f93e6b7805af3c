"""Status of the goal on `~/goal_status`: waiting, holding, moving, reached or refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from trc_core.flight.pilot import Pilot
from trc_core.flight.progress import GoalJudge, GoalState, Progress
from trc_core.flight.safety import Decision
from trc_core.problem.system import Array
from trc_ros.controller.diagnostics import OK, WARNING
from trc_ros.controller.instruction_input import InstructionInput
from trc_ros.controller.state_input import StateInput
from trc_ros.conversions import RejectedInput, Status, diagnostic_array
from trc_ros.qos import PUBLISHER, qos_of

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
PERIOD = 0.1  # [s] between two looks at the progress while somebody listens
REPEAT = 1.0  # [s] after which a way that goes on is published again
REFUSED = 'refused'
NO_GOAL = 'no goal yet'


class GoalStatus:
    """Publishes the status of the goal when it changes, and for late joiners.

    While nobody listens it looks at the progress with the diagnostics only: a timer of its own
    would cost the loop time.

    Args:
        node: owns the topic.
        pilot: flies to the goal.
        states: the measurements that it flies from.
        instructions: hold the goal.
        decision: the newest one; None while the loop does not run.
        tolerance: largest errors (n_x,) with which a goal counts as reached.
    """

    def __init__(
        self,
        node: Node,
        pilot: Pilot,
        states: StateInput,
        instructions: InstructionInput,
        decision: Callable[[], Decision | None],
        tolerance: Callable[[], Array],
    ) -> None:
        self._node = node
        self._pilot = pilot
        self._states = states
        self._instructions = instructions
        self._decision = decision
        self._tolerance = tolerance
        self._judge = GoalJudge(pilot.monitor.system)
        self._watchers: list[Callable[[Progress], None]] = []
        qos = qos_of(node, PUBLISHER, '~/goal_status', LATCHED)
        self._publisher = node.create_publisher(DiagnosticArray, '~/goal_status', qos)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer: Any = None
        self._said: object = None
        self._said_at = -math.inf

    def update(self) -> None:
        """Judges the progress, and publishes it if it has changed."""
        progress = self._progress()
        for watch in list(self._watchers):
            watch(progress)
        now = 1e-9 * self._steady.now().nanoseconds
        said = progress.state, progress.reason, _shown(progress.goal)
        repeats = progress.state is GoalState.MOVING and now - self._said_at >= REPEAT
        if said != self._said or repeats:
            if progress.reason == NO_GOAL and said != self._said:
                text = "no goal yet: the plant cannot stay where it is; send one on 'goal'"
                self._node.get_logger().warning(text)
            self._said, self._said_at = said, now
            self._publish(progress.state.value, progress.reason, progress)
        self._keep_time()

    def watch(self, watch: Callable[[Progress], None]) -> None:
        """Calls `watch` with the progress at every look, until `unwatch`."""
        self._watchers.append(watch)
        self.update()

    def unwatch(self, watch: Callable[[Progress], None]) -> None:
        """Ends that."""
        self._watchers.remove(watch)

    def refuse(self, topic: str, rejection: RejectedInput) -> None:
        """Publishes that a goal was refused; the way to the one before goes on."""
        progress = self._progress()
        self._said = progress.state, progress.reason, _shown(progress.goal)
        self._said_at = 1e-9 * self._steady.now().nanoseconds
        self._publish(REFUSED, f'{topic}: {rejection}', progress)

    def close(self) -> None:
        """Closes the topic."""
        self._stop_timer()
        self._node.destroy_publisher(self._publisher)

    def _progress(self) -> Progress:
        """The way to the goal, judged now."""
        measurement, stamp = self._states.latest
        progress = self._judge.judge(
            self._pilot.clock(),
            self._decision(),
            measurement,
            self._instructions.goal,
            self._instructions.lead(measurement, stamp),
            self._pilot.monitor.accepted,
            self._tolerance(),
        )
        if progress.state is GoalState.HOLDING:
            return replace(progress, goal=self._pilot.held)
        return progress

    def _publish(self, state: str, reason: str, progress: Progress) -> None:
        text = f'{state}: {reason}' if reason else state
        values: dict[str, object] = {
            'state': state,
            'reason': reason,
            'flight': progress.state.value,
            'distance': progress.distance,
            'time_to_go_s': progress.time_to_go,
        }
        if progress.goal is not None:
            names = self._pilot.monitor.system.state_names
            values |= dict(zip((f'goal_{n}' for n in names), progress.goal.tolist(), strict=True))
        status = Status('goal', WARNING if state == REFUSED else OK, text, values)
        node = self._node
        stamp = node.get_clock().now().to_msg()
        self._publisher.publish(diagnostic_array([status], node.get_fully_qualified_name(), stamp))

    def _keep_time(self) -> None:
        """Looks often while somebody listens, and only then."""
        wanted = bool(self._watchers) or self._publisher.get_subscription_count() > 0
        if wanted and self._timer is None:
            self._timer = self._node.create_timer(PERIOD, self.update, clock=self._steady)
        elif not wanted:
            self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None


def _shown(goal: Any) -> object:
    return None if goal is None else tuple(goal.tolist())
