"""Two-node harness: controller and plant as processes, operated and recorded from this one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Generic, TypeVar

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from trc_core.systems import System
from trc_ros.lab.children import STOP_TIME, Child, node_command
from trc_ros.lab.operator import Operator
from trc_ros.lab.recording import Recorder

NEEDED = ('state', 'command', 'controller/horizon')  # must be heard before a flight
STARTUP_TIME = 240.0  # [s] the first start on a machine compiles the model
DELIVERY_TIME = 0.3  # [s] for messages under way to arrive

AnyRecorder = TypeVar('AnyRecorder', bound=Recorder)


class TwoNodes(Generic[AnyRecorder]):
    """Controller and plant as two processes, their operator and the recorder of their topics.

    A context manager: `with` starts both and waits until plans arrive. Its end, also by an
    exception such as Ctrl-C, ends both, the plant last: the controller's final command finds it.

    Args:
        system: names the namespace and the parameter file.
        plant: parameters of the plant that differ from that file.
        controller: parameters of the controller that differ from that file.
        record: makes the recorder of the node that it is given.

    Raises:
        NodeError: on entry, if a process ends early or the nodes do not find each other.
    """

    recorder: AnyRecorder
    operator: Operator

    def __init__(
        self,
        system: System,
        plant: Mapping[str, Any],
        controller: Mapping[str, Any],
        record: Callable[[Node], AnyRecorder],
    ) -> None:
        self.system = system
        self.spawned: dict[str, list[float]] = {'plant': [], 'controller': []}
        """When each process was started [s since the epoch], oldest first."""
        self._parameters = {'plant': plant, 'controller': controller}
        self._record = record
        self._children: dict[str, Child] = {}

    def __enter__(self) -> TwoNodes[AnyRecorder]:
        with contextlib.ExitStack() as stack:
            self._stack = stack
            stack.callback(rclpy.try_shutdown)
            rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
            node = Node('operator', namespace=self.system.name)
            stack.callback(node.destroy_node)
            self.recorder = self._record(node)
            kind = self._parameters['controller'].get('parameters_type', 'JointState')
            self.operator = Operator(node, self.system, self._children, kind)
            stack.callback(self.operator.close)
            self.spawn('plant')
            self.spawn('controller')
            self.operator.wait_until(
                lambda: self.operator.is_connected() and self.recorder.hears(*NEEDED),
                STARTUP_TIME,
                f'{self.system.name}: the nodes did not find each other',
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def pids(self) -> dict[str, int]:
        """The process ids by name."""
        return {name: child.pid for name, child in self._children.items()}

    def spawn(self, name: str, **parameters: Any) -> None:
        """Starts 'plant' or 'controller'; parameters replace those of the constructor."""
        command = node_command(name, self.system.name, {**self._parameters[name], **parameters})
        self.spawned[name].append(time.time())
        self._children[name] = self._stack.enter_context(Child(command, name))

    def kill(self, name: str) -> None:
        """Ends a process with SIGKILL."""
        self._children.pop(name).kill()

    def end_by(self, name: str, number: int) -> int:
        """Ends a process by a signal while recording goes on; returns its exit code."""
        child = self._children.pop(name)  # whose end is no news
        child.send(number)
        if not self.operator.wait(lambda: child.has_ended, STOP_TIME):
            child.kill()
        code = child.end()
        self.operator.spin_for(DELIVERY_TIME)
        return code

    def end(self) -> dict[str, int]:
        """Ends both with SIGINT while recording goes on; returns the exit codes by name."""
        codes = {}
        for name in ('controller', 'plant'):
            codes[name] = self._children.pop(name).end()
            self.operator.spin_for(DELIVERY_TIME)
        return codes
