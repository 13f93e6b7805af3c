"""The node `plant`: any `System`, simulated in real time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from trc_core import get_system
from trc_core.systems import System
from trc_core.systems.base import Array
from trc_ros import parameters
from trc_ros.control_loop import ControlLoop
from trc_ros.conversions import ArrayReader, JointStateWriter
from trc_ros.inputs import Input
from trc_ros.process import one_line, run

NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
DISCOVERY_TIME = 1.0  # [s] another plant on this machine is found within it, unless overloaded
WATCH_TIME = 5.0  # [s] and then at the latest in this time
RIVAL = (
    "'{}' is already published by node '{}'; stop it, or start this plant in a namespace of its "
    'own (--ros-args -r __ns:=/second)'
)
UNKNOWN_NODE = '_NODE_NAME_UNKNOWN_'  # rmw: topic discovered, its node not yet
LONGEST_CATCH_UP = 0.5  # [s] of simulated time in one go; more is dropped, as after a suspend
REFUSAL_LOG_PERIOD = 5.0  # [s] at most one line about refused commands in this time


class SimulatedPlant:
    """A system that follows the steady clock: what is due is integrated when it is asked for.

    Commands saturate at the bounds of the system, as actuators do, and are held in between.
    """

    def __init__(self, system: System, x: Array, dt: float, waiting: bool) -> None:
        self._system = system
        self._dt = dt
        self._waiting = waiting
        self._time = time.monotonic()
        self.reset(x)

    def reset(self, x: Array) -> None:
        """Continues from x (n_x,) under the trim control until the next command."""
        self.x = x
        self._u = self._system.u_trim

    def command(self, u: Array) -> None:
        """Applies u (n_u,) from now on; wakes a plant that waits for its first command."""
        if self._waiting:
            self._waiting, self._time = False, time.monotonic()
        self._u = np.clip(u, self._system.u_min, self._system.u_max)

    def advance(self, now: float) -> None:
        """Integrates up to `now` on the steady clock."""
        if self._waiting:
            return
        self._time = max(self._time, now - LONGEST_CATCH_UP)
        while self._time + self._dt <= now:
            self.x = self._system.step(self.x, self._u, self._dt)
            self._time += self._dt


class PlantNode(Node):
    """Publishes `state`, obeys `command`, starts over on `~/reset`."""

    def __init__(self) -> None:
        super().__init__('plant')
        parameters.declare(self, 'plant', lambda: 'is read at start: restart the node with it')
        values = parameters.values_of(self, 'plant')
        self._system = get_system(values['system'])
        self._rng = np.random.default_rng(values['seed'])
        self._lock = threading.Lock()
        self._plant = SimulatedPlant(
            self._system,
            self._initial_state(),
            1.0 / values['simulation_rate'],
            values['wait_for_command'],
        )
        self._period = 1.0 / values['state_rate']
        self._loop: ControlLoop | None = None

    def start(self, fail: Callable[[str], None]) -> None:
        """Opens the topics and starts the clock of the plant.

        Raises:
            ValueError: if somebody else publishes `state`.
        """
        self._refuse_rivals()
        self._write_state = JointStateWriter(self._system)
        self._state = self.create_publisher(JointState, 'state', RELIABLE)
        self._adult_from = time.monotonic() + WATCH_TIME
        self._watch = self.create_timer(0.2, lambda: self._watch_for_rivals(fail))
        self._input = Input[Array](
            ArrayReader(self._system.control_names), self._log_refusal, self._system.u_trim
        )
        self.create_subscription(Float64MultiArray, 'command', self._on_command, RELIABLE)
        self.create_service(Trigger, '~/reset', self._on_reset)
        self._loop = ControlLoop(
            self._period,
            self._cycle,
            lambda error: fail(f'the simulation broke: {one_line(error)}'),
            'simulation',
        )
        self._loop.start()

    def close(self) -> None:
        """Stops the simulation."""
        if self._loop is not None:
            self._loop.stop()

    def _refuse_rivals(self) -> None:
        started = time.monotonic()
        names = self._publishers_of_state()
        # A publisher is discovered before the name of its node: wait longer for that.
        while not names or UNKNOWN_NODE in names:
            if time.monotonic() > started + (WATCH_TIME if names else DISCOVERY_TIME):
                break
            time.sleep(0.05)
            names = self._publishers_of_state()
        if names:
            raise ValueError(RIVAL.format(self.resolve_topic_name('state'), names[0]))

    def _watch_for_rivals(self, fail: Callable[[str], None]) -> None:
        """Gives way while young to whoever discovery found too late."""
        adult = time.monotonic() > self._adult_from
        if adult:
            self._watch.cancel()
        names = self._publishers_of_state()
        if len(names) > 1 and (adult or UNKNOWN_NODE not in names):
            fail(RIVAL.format(self.resolve_topic_name('state'), names[0]))

    def _publishers_of_state(self) -> list[str]:
        topic = self.resolve_topic_name('state')
        return [info.node_name for info in self.get_publishers_info_by_topic(topic)]

    def _cycle(self) -> None:
        with self._lock:
            self._plant.advance(time.monotonic())
            x = self._plant.x
        noise = self.get_parameter('measurement_noise').value
        if noise > 0.0:
            x = x + self._rng.normal(0.0, noise, x.shape)
        self._state.publish(self._write_state(x, self.get_clock().now().to_msg()))

    def _on_command(self, message: Float64MultiArray) -> None:
        before = self._input.rejected.total()
        self._input.take(message)
        if self._input.rejected.total() == before:
            with self._lock:
                self._plant.command(self._input.latest)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Any:
        try:
            x = self._initial_state()
        except parameters.ParameterError as error:
            response.success, response.message = False, str(error)
            return response
        with self._lock:
            self._plant.reset(x)
        response.success, response.message = True, f'state {x.tolist()}'
        return response

    def _initial_state(self) -> Array:
        values = self.get_parameter('initial_state').value
        x = parameters.state_vector('initial_state', values, self._system.state_names)
        return np.array(x) if x else self._system.sample(self._rng, 1)[0][0]

    def _log_refusal(self, reason: str) -> None:
        self.get_logger().warning(
            f'command refused: {reason}', throttle_duration_sec=REFUSAL_LOG_PERIOD
        )


def main(args: Sequence[str] | None = None) -> int:
    """Entry point of `trc_plant`; returns the exit code."""
    return run(PlantNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
