"""Action `~/go_to`: a goal with feedback, and a result when it is reached or given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

from trc_core.flight.progress import GoalState, Progress
from trc_core.problem.system import Array
from trc_ros.controller.goal_status import GoalStatus
from trc_ros.controller.instruction_input import InstructionInput, placement_of
from trc_ros.controller.state_input import StateInput
from trc_ros.conversions import FAILED, REACHED, REFUSED, Action, find_action

PATIENCE = 2.0  # [s] for a transform, or for the way out of the fallback
LAST_WORDS = 0.5  # [s] for results that are under way
INACTIVE = 'the controller is not active'


@dataclass(frozen=True)
class Outcome:
    """How an order ended: the verb of the action, its code and the text of the result."""

    end: str  # 'succeed', 'abort' or 'canceled', methods of the goal's handle
    code: str
    text: str


class GoTo:
    """Serves `~/go_to`. A later goal of any kind takes the place of the one before.

    Args:
        node: owns the action.
        action: converts its messages.
        instructions: take the goals.
        status: judges the way to them.
        states: the measurements of the flight.
    """

    def __init__(
        self,
        node: Node,
        action: Action,
        instructions: InstructionInput,
        status: GoalStatus,
        states: StateInput,
    ) -> None:
        from rclpy.action import ActionServer, CancelResponse, GoalResponse  # only where it serves

        self._node = node
        self._action = action
        self._instructions = instructions
        self._status = status
        self._states = states
        self._orders: list[Order] = []
        self._closing = self._served = False
        self._server = ActionServer(
            node,
            action.kind,
            '~/go_to',
            self._execute,
            goal_callback=lambda goal: (
                GoalResponse.REJECT if self._closing else GoalResponse.ACCEPT
            ),
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
        )

    def close(self) -> None:
        """Gives every order up and ends the action, a moment later if results may be under way."""
        self._closing = True
        if not self._served:
            self._server.destroy()
            return
        for order in self._orders:
            order.finish('abort', FAILED, INACTIVE)
        steady = Clock(clock_type=ClockType.STEADY_TIME)

        def end() -> None:
            self._node.destroy_timer(timer)
            self._server.destroy()

        timer = self._node.create_timer(LAST_WORDS, end, clock=steady)

    async def _execute(self, handle: Any) -> Any:
        order = Order(handle, self._action, self._instructions, self._node)
        self._orders.append(order)
        self._served = True

        def look(progress: Progress) -> None:
            measurement, _ = self._states.latest
            order.look(progress, None if measurement is None else measurement.x)

        self._status.watch(look)
        outcome = await order.done
        self._status.unwatch(look)
        self._orders.remove(order)
        getattr(handle, outcome.end)()
        self._node.get_logger().info(f'go_to: {outcome.text}')
        return self._action.result(outcome.code, outcome.text)


class Order:
    """One goal of the action, from its arrival to its result.

    Args:
        handle: of the goal.
        action: converts its messages.
        instructions: take the goal.
        node: has the clock of the feedback.
    """

    def __init__(
        self,
        handle: Any,
        action: Action,
        instructions: InstructionInput,
        node: Node,
    ) -> None:
        self.done = Future(executor=node.executor)
        """Holds the `Outcome`."""
        self._handle = handle
        self._action = action
        self._instructions = instructions
        self._clock = node.get_clock()
        self._message = action.message_of(handle.request)
        self._began = self._flown = time.monotonic()
        self._goal: object = None

    def finish(self, end: str, code: str, text: str) -> None:
        """Ends the order, unless it has ended."""
        if not self.done.done():
            self.done.set_result(Outcome(end, code, text))

    def look(self, progress: Progress, x: Array | None) -> None:
        """Takes the order on, given the way to the goal that holds and the newest state."""
        now = time.monotonic()
        if self.done.done():
            return
        if self._goal is None:
            self._begin(progress, now)
        elif self._instructions.goal is not self._goal:
            self.finish('abort', FAILED, 'superseded by another goal')
        elif self._handle.is_cancel_requested:
            rests = x is not None and self._instructions.stay(x)
            where = 'stays where it is' if rests else 'cannot stay here and flies on to the goal'
            self.finish('canceled', FAILED, f'cancelled: the plant {where}')
        elif progress.state is GoalState.REACHED:
            self.finish('succeed', REACHED, 'reached')
        elif progress.state is GoalState.WAITING:
            self._wait(progress, now, x)
        else:
            self._flown = now
            if x is not None:
                stamp = self._clock.now().to_msg()
                self._handle.publish_feedback(
                    self._action.feedback(x, progress, now - self._began, stamp)
                )

    def _begin(self, progress: Progress, now: float) -> None:
        if self._handle.is_cancel_requested:
            self.finish('canceled', FAILED, 'cancelled before it began')
        elif progress.reason == 'inactive':
            self.finish('abort', FAILED, INACTIVE)
        elif self._instructions.frames.is_settled(self._message) or now - self._began >= PATIENCE:
            if reason := self._instructions.order(self._message, self._action.read):
                self.finish('abort', REFUSED, f'refused: {reason}')
            self._goal = self._instructions.goal
            self._flown = now

    def _wait(self, progress: Progress, now: float, x: Array | None) -> None:
        """Gives the order up if nothing is planned for too long."""
        if progress.reason == 'inactive':
            self.finish('abort', FAILED, INACTIVE)
        elif now - self._flown >= PATIENCE:
            if x is not None:
                self._instructions.stay(x)  # it must not set off again when nobody waits for it
            self.finish('abort', FAILED, f'given up: {progress.reason}')


def serve_orders(
    values: Mapping[str, Any],
    node: Node,
    instructions: InstructionInput,
    status: GoalStatus,
    states: StateInput,
) -> list[Callable[[], None]]:
    """Serves the action that the parameters of a node name; what ends it, if there is one."""
    action = find_action(values['action_type'], instructions.system, placement_of(values))
    return [] if action is None else [GoTo(node, action, instructions, status, states).close]
