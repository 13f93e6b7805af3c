"""Operator of a controller and its plant: sets goals, resets the plant, injects faults."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from trc_core.flight.obstacles import Obstacle
from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.conversions import PARAMETER_TYPES, JointStateWriter, obstacle_markers
from trc_ros.lab.children import Child, NodeError

ANSWER_TIME = 5.0  # [s] for a service; then it is asked again
ATTEMPTS = 4
TRANSITION_TIME = 30.0  # [s] for a transition of the controller, which is asked for once
NODES = ('plant', 'controller')
POLL_PERIOD = 0.05  # [s] between two looks at a condition


class Operator:
    """Sends goals and requests to controller and plant, and notices when a process ends.

    Args:
        node: of their namespace; only the operator spins it.
        system: that they control and simulate.
        children: the processes by name; one that is replaced there is noticed.
        parameters_type: of both, a key of `PARAMETER_TYPES`.
    """

    def __init__(
        self,
        node: Node,
        system: System,
        children: Mapping[str, Child],
        parameters_type: str = 'JointState',
    ) -> None:
        self._children = children
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._write_goal = JointStateWriter(system)
        self._goal = node.create_publisher(JointState, 'goal', 1)
        self._reset = node.create_client(Trigger, 'plant/reset')
        self._fault = node.create_client(SetBool, 'plant/fault')
        self._parameters = {n: AsyncParameterClient(node, n) for n in NODES}
        kind = PARAMETER_TYPES[parameters_type].kind
        self._tasks = {n: node.create_publisher(kind, f'{n}/parameters', 10) for n in NODES}
        self._change_state = node.create_client(ChangeState, 'controller/change_state')
        self._clock = node.get_clock()

    def close(self) -> None:
        """Stops spinning the node."""
        self._executor.shutdown()

    def is_connected(self) -> bool:
        """Whether goals and requests will arrive."""
        # The recorder of this process listens to goals as well.
        heard = self._goal.get_subscription_count() >= 2
        clients = (self._reset, self._fault, self._change_state)
        ready = all(client.service_is_ready() for client in clients)
        return heard and ready and self._parameters['plant'].services_are_ready()

    def send_goal(self, goal: Array, frame_id: str = '') -> None:
        """Publishes a goal (n_x,), in a frame if it is named."""
        message = self._write_goal(goal, self._clock.now().to_msg())
        message.header.frame_id = frame_id
        self._goal.publish(message)

    def send_parameters(self, values: Mapping[str, float]) -> None:
        """Publishes parameters of the system for the controller's plans."""
        numbers = list(map(float, values.values()))
        self._tasks['controller'].publish(JointState(name=list(values), position=numbers))

    def show_obstacles(self, obstacles: Sequence[Obstacle], first: int, anew: bool) -> None:
        """Publishes where obstacles are by now, as markers for the controller and the plant.

        Args:
            obstacles: that move as they do.
            first: id of the first of them; an obstacle that nobody knows yet needs a new one.
            anew: all others are gone.
        """
        now = self._clock.now()
        message = obstacle_markers(obstacles, 1e-9 * now.nanoseconds, first, anew)
        for publisher in self._tasks.values():
            publisher.publish(message)

    def reset_plant(self, x: Array) -> None:
        """Puts the plant into state x (n_x,).

        Raises:
            NodeError: if it refuses.
        """
        self.set_plant(initial_state=x.tolist())
        self._request(self._reset, Trigger.Request(), 'to start over')

    def set_plant(self, **values: Any) -> None:
        """Sets parameters of the plant.

        Raises:
            NodeError: if it refuses one.
        """
        self.set_parameters('plant', values)

    def set_parameters(self, node: str, values: Mapping[str, Any]) -> None:
        """Sets parameters of 'plant' or 'controller'.

        Raises:
            NodeError: if it refuses one.
        """
        changes = [Parameter(name, value=value) for name, value in values.items()]
        client = self._parameters[node]
        for result in self._answer(lambda: client.set_parameters(changes), node).results:
            if not result.successful:
                raise NodeError(f'the {node} refused {", ".join(values)}: {result.reason}')

    def inject_fault(self, on: bool) -> None:
        """Begins or ends the fault that the plant's parameter `fault` names.

        Raises:
            NodeError: if the plant refuses.
        """
        self._request(self._fault, SetBool.Request(data=on), 'the fault')

    def reactivate_controller(self) -> None:
        """Deactivates and activates the controller, whose loop statistics start anew.

        Raises:
            NodeError: if it does not answer or refuses.
        """
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            future = self._change_state.call_async(request)
            self.wait_until(future.done, TRANSITION_TIME, 'no answer from the controller')
            if not future.result().success:
                raise NodeError(f'the controller refused the transition {transition}')

    def wait_until(self, condition: Callable[[], bool], seconds: float, complaint: str) -> None:
        """Spins until the condition holds.

        Raises:
            NodeError: with the complaint, if it does not hold in time.
        """
        if not self.wait(condition, seconds):
            raise NodeError(f'{complaint} within {seconds:g} s')

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Spins until the condition holds; False if it did not in time."""
        end = time.monotonic() + seconds
        while not condition():
            remaining = end - time.monotonic()
            if remaining <= 0.0:
                return False
            self._spin_once(min(POLL_PERIOD, remaining))
        return True

    def spin_for(
        self, seconds: float, progress: Callable[[float], Any] = lambda seconds: None
    ) -> None:
        """Spins for a while; `progress` receives the seconds since its last call."""
        start = now = time.monotonic()
        while now < start + seconds:
            self._spin_once(min(POLL_PERIOD, start + seconds - now))
            previous, now = now, time.monotonic()
            progress(min(now, start + seconds) - previous)

    def _request(self, client: Client, request: Any, what: str) -> None:
        answer = self._answer(lambda: client.call_async(request), 'plant')
        if not answer.success:
            raise NodeError(f'the plant refused {what}: {answer.message}')

    def _answer(self, ask: Callable[[], Any], node: str) -> Any:
        """The answer of a node; a server that has not found us yet loses its answer."""
        for _ in range(ATTEMPTS):
            future = ask()
            if self.wait(future.done, ANSWER_TIME):
                return future.result()
        raise NodeError(f'no answer from the {node} within {ATTEMPTS * ANSWER_TIME:g} s')

    def _spin_once(self, timeout: float) -> None:
        for child in self._children.values():
            child.check()
        self._executor.spin_once(timeout_sec=max(timeout, 0.0))
