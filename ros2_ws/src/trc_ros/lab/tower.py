"""The far end of the topics: sets goals, starts plants over, injects faults, waits for answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.conversions import JointStateWriter
from trc_ros.lab.children import Child, NodeError

ANSWER_TIME = 5.0  # [s] for a service; then it is asked again
REQUESTS = 4
LOOK = 0.05  # [s] between two looks at a condition


class Tower:
    """Talks to controller and plant, and notices when one of them ends.

    Args:
        node: whose namespace holds both; this is the only one who spins it.
        children: both by name; a process that is replaced there is noticed.
    """

    def __init__(self, node: Node, children: Mapping[str, Child]) -> None:
        self._children = children
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._goal = node.create_publisher(JointState, 'goal', 1)
        self._reset = node.create_client(Trigger, 'plant/reset')
        self._fault = node.create_client(SetBool, 'plant/fault')
        self._plant = AsyncParameterClient(node, 'plant')
        self._clock = node.get_clock()

    def close(self) -> None:
        """Stops listening."""
        self._executor.shutdown()

    def is_connected(self) -> bool:
        """Whether goals and requests will arrive."""
        # The recorder of this process listens to goals as well.
        heard = self._goal.get_subscription_count() >= 2
        return heard and self._reset.service_is_ready() and self._plant.services_are_ready()

    def send_goal(self, system: System, goal: Array) -> None:
        """Publishes a goal (n_x,)."""
        self._goal.publish(JointStateWriter(system)(goal, self._clock.now().to_msg()))

    def restart(self, x: Array) -> None:
        """Puts the plant into state x (n_x,).

        Raises:
            NodeError: if it refuses.
        """
        self.set(initial_state=x.tolist())
        answer = self._answer(lambda: self._reset.call_async(Trigger.Request()))
        if not answer.success:
            raise NodeError(f'the plant refused to start over: {answer.message}')

    def set(self, **values: Any) -> None:
        """Sets parameters of the plant.

        Raises:
            NodeError: if it refuses one.
        """
        changes = [Parameter(name, value=value) for name, value in values.items()]
        for result in self._answer(lambda: self._plant.set_parameters(changes)).results:
            if not result.successful:
                raise NodeError(f'the plant refused {", ".join(values)}: {result.reason}')

    def inject(self, on: bool) -> None:
        """Begins or ends the fault that the plant's parameter `fault` names.

        Raises:
            NodeError: if the plant refuses.
        """
        answer = self._answer(lambda: self._fault.call_async(SetBool.Request(data=on)))
        if not answer.success:
            raise NodeError(f'the plant refused the fault: {answer.message}')

    def wait_until(self, condition: Callable[[], bool], seconds: float, complaint: str) -> None:
        """Works until the condition holds.

        Raises:
            NodeError: with the complaint, if it does not hold in time.
        """
        if not self.wait(condition, seconds):
            raise NodeError(f'{complaint} within {seconds:g} s')

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Works until the condition holds; False if it did not in time."""
        end = time.monotonic() + seconds
        while not condition():
            remaining = end - time.monotonic()
            if remaining <= 0.0:
                return False
            self._spin_once(min(LOOK, remaining))
        return True

    def spin_for(
        self, seconds: float, progress: Callable[[float], Any] = lambda seconds: None
    ) -> None:
        """Works for a while; `progress` is told how many seconds have passed since it was."""
        start = now = time.monotonic()
        while now < start + seconds:
            self._spin_once(min(LOOK, start + seconds - now))
            previous, now = now, time.monotonic()
            progress(min(now, start + seconds) - previous)

    def _answer(self, ask: Callable[[], Any]) -> Any:
        """The answer of the plant; a server that has not found us yet loses its answer."""
        for _ in range(REQUESTS):
            future = ask()
            if self.wait(future.done, ANSWER_TIME):
                return future.result()
        raise NodeError(f'no answer from the plant within {REQUESTS * ANSWER_TIME:g} s')

    def _spin_once(self, timeout: float) -> None:
        for child in self._children.values():
            child.check()
        self._executor.spin_once(timeout_sec=max(timeout, 0.0))
