"""A node as a real process, and a probe that talks to it over real DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from trc_core.problem.system import Joint

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT = 120.0  # [s] the first start ever compiles the kernels
REQUESTS = 6
EXIT_TIMEOUT = 90.0  # [s] a signal during compilation waits for the compiler


@dataclass
class NodeProcess:
    """A node that runs as a process of its own."""

    process: subprocess.Popen[str]
    output: Path

    def interrupt(self, number: int = signal.SIGINT) -> int:
        """Sends a signal and returns the exit code."""
        self.process.send_signal(number)
        return self.exit_code()

    def exit_code(self) -> int:
        return self.process.wait(timeout=EXIT_TIMEOUT)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        return self.output.read_text()

    @property
    def arguments(self) -> list[str]:
        return list(map(str, self.process.args))


def launch(node: str, log: Path, *ros_args: str, **environment: str) -> NodeProcess:
    """Starts `controller` or `plant` with ROS arguments."""
    command = [sys.executable, '-m', f'trc_ros.{node}.node', '--ros-args', *ros_args]
    with log.open('w') as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return NodeProcess(process, log)


@dataclass
class Received:
    """A message and when it arrived, on the steady clock."""

    message: Any
    time: float


@dataclass
class Log:
    """Everything that the probe received."""

    command: list[Received] = field(default_factory=list)
    horizon: list[Received] = field(default_factory=list)
    state: list[Received] = field(default_factory=list)
    diagnostics: list[Received] = field(default_factory=list)


class Probe:
    """The other end of the topics in one namespace."""

    def __init__(
        self,
        context: Any,
        namespace: str,
        joint: str,
        goal_kind: type = JointState,
        command_kind: type = Float64MultiArray,
    ) -> None:
        self.joint = joint
        self.node = rclpy.create_node('probe', namespace=namespace, context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self._namespace = namespace
        self.log = Log()
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        deep = QoSProfile(depth=100)
        self._state = None
        self._best_effort = best_effort
        self._goal = self.node.create_publisher(goal_kind, 'goal', 1)
        self._command: Any = None
        for kind, topic, name in (
            (command_kind, 'command', 'command'),
            (JointTrajectory, 'controller/horizon', 'horizon'),
            (DiagnosticArray, '/diagnostics', 'diagnostics'),
        ):
            self.node.create_subscription(kind, topic, self._recorder(name), deep)

    def listen_to_state(self) -> None:
        """Records the states of a plant."""
        record = self._recorder('state')
        self.node.create_subscription(JointState, 'state', record, self._best_effort)

    def listen(self, kind: type, topic: str) -> list[Any]:
        """The messages of another topic of this namespace, from now on."""
        received: list[Any] = []
        name = f'{self._namespace}/{topic}'
        self.node.create_subscription(kind, topic, received.append, QoSProfile(depth=100))
        self.require(
            lambda: self.node.count_publishers(name) > 0, f'publisher of {name}', START_TIMEOUT
        )
        return received

    def _recorder(self, name: str) -> Callable[[Any], None]:
        received = getattr(self.log, name)
        return lambda message: received.append(Received(message, time.monotonic()))

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()

    def spin(self, seconds: float) -> None:
        """Receives for a while."""
        self.wait(lambda: False, seconds)

    def wait(self, condition: Callable[[], bool], timeout: float = 5.0) -> bool:
        """Receives until the condition holds; False if it never did."""
        deadline = time.monotonic() + timeout
        while not condition():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(remaining, 0.05))
        return True

    def require(self, condition: Callable[[], bool], what: str, timeout: float = 5.0) -> None:
        """As `wait`, but failing is failing."""
        assert self.wait(condition, timeout), f'not within {timeout} s: {what}'

    def meet(self, node: NodeProcess, topic: str, listens: bool = True) -> None:
        """Waits until the node listens to (or publishes) a topic of this namespace."""
        count = self.node.count_subscribers if listens else self.node.count_publishers
        name = f'{self._namespace}/{topic}'
        own = count(name) if listens and topic == 'command' else 0

        def met() -> bool:
            assert node.process.poll() is None, node.log()
            return count(name) > own

        self.require(met, f'node on {name}', START_TIMEOUT)
        if topic == 'state' and listens and '-p autostart:=false' not in ' '.join(node.arguments):
            # Only an active controller has a publisher of commands.
            self.require(self._is_commanded, 'an active controller', START_TIMEOUT)
        self.spin(0.3)  # both directions of every topic

    def _is_commanded(self) -> bool:
        return self.node.count_publishers(f'{self._namespace}/command') > 0

    def open_state(self, kind: type = JointState) -> None:
        """Finds who listens to `state`; takes its time, which a stamp should not show."""
        if self._state is None:
            self._state = self.node.create_publisher(kind, 'state', self._best_effort)
            self.require(lambda: self._state.get_subscription_count() > 0, 'listener of state')
            self.spin(0.2)

    def publish_state(self, message: Any) -> None:
        self.open_state(JointState if isinstance(message, bytes) else type(message))
        self._state.publish(message)

    def send_state(self, x: Sequence[float]) -> None:
        """A valid state of a one-joint system."""
        self.open_state()
        message = JointState(name=[self.joint], position=[x[0]], velocity=[x[1]])
        message.header.stamp = self.node.get_clock().now().to_msg()
        self.publish_state(message)

    def fly(self, x: Sequence[float], seconds: float, period: float = 0.01) -> None:
        """Publishes one state again and again."""
        self.send_state(x)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.send_state(x)
            self.spin(period)

    def fly_until(
        self, x: Sequence[float], condition: Callable[[], bool], what: str, timeout: float = 30.0
    ) -> None:
        """Publishes one state again and again until the condition holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f'not within {timeout} s: {what}'
            self.send_state(x)
            self.spin(0.02)

    def goal_listeners(self) -> int:
        """How many subscriptions of `goal` have been found."""
        return int(self._goal.get_subscription_count())

    def publish_goal(self, message: Any) -> None:
        self.require(lambda: self.goal_listeners() > 0, 'listener of goal')
        self._goal.publish(message)

    def send_goal(self, x: Sequence[float], joints: Sequence[Joint] | None = None) -> None:
        moving = joints or [Joint(self.joint, 0, 1)]
        message = JointState(
            name=[joint.name for joint in moving],
            position=[float(x[joint.position]) for joint in moving],
            velocity=[float(x[joint.velocity]) for joint in moving],
        )
        self.publish_goal(message)

    def send_command(self, u: Sequence[float]) -> None:
        if self._command is None:
            self._command = self.node.create_publisher(Float64MultiArray, 'command', 1)
            self.require(lambda: self._command.get_subscription_count() > 1, 'the plant')
        self._command.publish(Float64MultiArray(data=list(u)))

    def call(self, client: Any, request: Any) -> Any:
        """The response of a service.

        DDS may find the server before the server finds the client; a response sent in between
        is lost, so an unanswered request is repeated.
        """
        self.require(client.service_is_ready, f'service {client.srv_name}', START_TIMEOUT)
        for _ in range(REQUESTS):
            future = client.call_async(request)
            if self.wait(future.done, START_TIMEOUT / REQUESTS):
                break
        assert future.done(), f'not within {START_TIMEOUT} s: response of {client.srv_name}'
        self.node.destroy_client(client)
        return future.result()

    def diagnosis(self, part: str, node: str = 'controller') -> dict[str, str]:
        """The values of one status of a node in this namespace, from a new message."""
        name, seen = f'{self._namespace[1:]}/{node}: {part}', len(self.log.diagnostics)

        def found() -> list[Any]:
            fresh = [r.message for r in self.log.diagnostics[seen:]]
            return [s for m in fresh for s in m.status if s.name == name]

        self.require(lambda: bool(found()), f'diagnostics of {name}')
        return {value.key: value.value for value in found()[-1].values}

    def commands(self) -> list[float]:
        """Every command value so far."""
        return [u for received in self.log.command for u in received.message.data]


def arguments(system: str, namespace: str, diagnostics_period: float = 0.1) -> list[str]:
    """ROS arguments: the shipped YAML of a system, in a namespace."""
    return [
        *('--params-file', str(ROOT / 'params' / f'{system}.yaml')),
        *('-p', f'diagnostics.period:={diagnostics_period}'),
        *('-r', f'__ns:={namespace}'),
    ]
