"""Life-cycle transitions of the controller: one at a time, and `configure` in the background.

rclpy runs a transition inside the callback of its service, and nothing else is served until it
ends. A `configure` that compiles for minutes would look dead to whoever asks for the state, so
here it is a coroutine: the executor serves everything else while a thread works.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy._rclpy_pybind11 import RCLError
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from trc_ros.process import one_line

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def transition(work: Callable[[Any], None]) -> Callable[..., TransitionCallbackReturn]:
    """Decorator: makes a life-cycle callback of a method that raises on failure.

    rclpy swallows what such a callback raises: here it becomes one line in the log and FAILURE.
    """

    @functools.wraps(work)
    def callback(self: Any, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            work(self)
        except Exception as error:
            self.get_logger().error(f'{work.__name__[3:]} failed: {one_line(error)}')
            return FAILURE
        return SUCCESS

    return callback


class Transitions:
    """The transitions of a node, by its service `change_state` or by `bring_up`.

    A request for a transition that the present state does not have is refused; rclpy raises
    there instead, in the executor, and no answer is sent.

    Args:
        node: its callbacks do every other transition.
        configure: does the work of `configure`; raises on failure.
        await_turn: waits between `configure` and `activate` of `bring_up`; says whether it had to.
    """

    def __init__(
        self,
        node: LifecycleNode,
        configure: Callable[[], Awaitable[None]],
        await_turn: Callable[[], Awaitable[bool]],
    ) -> None:
        self._node, self._work, self._await_turn = node, configure, await_turn
        self.configuring = False
        """Whether `configure` is under way."""
        [service] = (s for s in node.services if s.srv_type is ChangeState)
        self._change = service.callback
        service.callback = self._answer
        # In the node's own group, an unanswered request would keep all else from being served.
        service.callback_group = ReentrantCallbackGroup()
        service.callback_group.add_entity(service)

    def bring_up(self, fail: Callable[[str], None]) -> None:
        """Configures and activates as soon as the executor spins.

        Calls `fail` if that did not succeed; the log says why.
        """
        self._node.executor.create_task(self._bring_up, fail)

    def take_turn(self, fail: Callable[[str], None]) -> None:
        """Activates again when it is this node's turn; calls `fail` if that did not succeed."""
        self._node.executor.create_task(self._bring_up, fail, True)

    async def _bring_up(self, fail: Callable[[str], None], configured: bool = False) -> None:
        try:
            done = configured or await self._configure()
            if done:
                await self._await_turn()
                done = self._node.trigger_activate() is SUCCESS
                if not done and await self._await_turn():  # discovery found another one too late
                    done = self._node.trigger_activate() is SUCCESS
        except RCLError:  # another's transition came first: it is theirs to bring up
            self._node.get_logger().warning('autostart left it to who asked for a transition')
            return
        if not done:
            fail('')

    async def _configure(self) -> bool:
        """Whether `configure` succeeded.

        Raises:
            RCLError: if the present state has no such transition.
        """
        machine = self._node._state_machine
        machine.trigger_transition_by_id(Transition.TRANSITION_CONFIGURE, True)
        self.configuring, outcome = True, FAILURE
        try:
            await self._work()
            outcome = SUCCESS
        except Exception as error:
            self._node.get_logger().error(f'configure failed: {one_line(error)}')
        self.configuring = False
        machine.trigger_transition_by_label(outcome.to_label(), True)
        return outcome is SUCCESS

    async def _answer(self, request: ChangeState.Request, response: ChangeState.Response) -> Any:
        asked = request.transition.label or request.transition.id
        warning = self._node.get_logger().warning
        response.success = False
        if self.configuring:
            warning(f'configure is under way: transition {asked} refused')
            return response
        try:
            if asked in ('configure', Transition.TRANSITION_CONFIGURE):
                response.success = await self._configure()
            else:
                response = self._change(request, response)
        except RCLError:
            warning(f'there is no transition {asked} from here: refused')
        return response
