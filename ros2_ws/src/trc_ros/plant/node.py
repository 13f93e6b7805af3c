"""The node `plant`: any `System` or a MuJoCo model, by the steady clock or in lock-step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time as Moment
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from trc_core.flight.delay import require_whole_steps
from trc_core.flight.obstacles import Parameters
from trc_core.problem.system import Array
from trc_core.simulation import Imperfections, Plant, make_plant
from trc_core.systems import System
from trc_ros.control_loop import ControlLoop
from trc_ros.conversions import (
    ANYWHERE,
    PARAMETER_TYPES,
    CommandFormat,
    JointStateWriter,
    Status,
    command_reader,
    diagnostic_array,
    frame_of,
    seconds_of,
)
from trc_ros.exclusive_publisher import ExclusivePublisher
from trc_ros.inputs import Input, RejectionLog, ThrottledLog, warn_of_surplus
from trc_ros.loading import system_of
from trc_ros.parameters import table as parameters
from trc_ros.plant.constraint_monitor import OK, ConstraintMonitor
from trc_ros.plant.faults import FAULTS, FaultInjector
from trc_ros.plant.lockstep import LockStep, Turn
from trc_ros.plant.simulation import Simulation
from trc_ros.process import one_line, run
from trc_ros.qos import PUBLISHER, SUBSCRIPTION, qos_of, require_used

RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
EPOCH = 60.0  # [s] a simulated clock starts there: 0 means 'no clock yet', and clocks jump back


class PlantNode(parameters.OwnReasons, Node):
    """Publishes `state` and perhaps `/clock`, obeys `command`.

    Judges the true state by the constraints of the system, with the parameters on `~/parameters`.

    Services: `~/reset` starts over, `~/fault` injects the fault that a parameter names.

    Args:
        args: command line of the process.
    """

    def __init__(self, args: Sequence[str] = ()) -> None:
        super().__init__('plant')
        why_locked = 'is read at start: restart the node with it'
        parameters.declare(self, 'plant', args, lambda: why_locked, self._check)
        self._values = values = parameters.values_of(self, 'plant')
        self._system = system_of(values)
        self._state_vector('measurement_bias', values['measurement_bias'])
        self._commands = CommandFormat.of(values, self._system)
        self._rng = np.random.default_rng(values['seed'])
        self._simulation = Simulation(
            plant_of(values, self._system),
            self._initial_state(),
            self._system.u_trim,
            values['wait_for_command'],
        )
        self._period = 1.0 / values['state_rate']
        self._has_clock = values['publish_clock'] or values['lockstep']
        self._faults = FaultInjector(self._system, self.get_logger().warning)
        self._log = ThrottledLog(self.get_logger().warning)
        self._constraints = ConstraintMonitor(self._system, self._log)
        self._place = frame_of(self._system, ANYWHERE)
        self._loop: ControlLoop | LockStep | None = None
        self._told = ''  # of the end of the flight

    def start(self, fail: Callable[[str], None]) -> None:
        """Opens the topics and starts the clock of the plant.

        Raises:
            ValueError: if another node publishes `state`.
        """
        exclusive = ExclusivePublisher(self, 'state', fail)
        self._write_state = JointStateWriter(self._system)
        self._state = self.create_publisher(JointState, 'state', self._qos(PUBLISHER, 'state'))
        exclusive.watch()
        self._clock_publisher = (
            self.create_publisher(Clock, '/clock', self._qos(PUBLISHER, '/clock'))
            if self._has_clock
            else None
        )
        self._input = Input[Array](
            command_reader(self._commands),
            RejectionLog('command', self.get_logger().warning),
            self._system.u_trim,
        )
        qos = self._qos(SUBSCRIPTION, 'command')
        self.create_subscription(self._commands.kind, 'command', self._on_command, qos)
        self._open_task_topics()
        require_used(self, self.named)
        self.create_service(Trigger, '~/reset', self._on_reset)
        self.create_service(SetBool, '~/fault', self._on_fault)
        self.add_post_set_parameters_callback(self._on_parameters)
        if self._values['fault']:
            self._faults.start(self._values['fault'], self._values['fault_duration'])
        self._started, self._turns = time.monotonic(), 0
        self._loop = self._make_loop(fail)
        self._loop.start()

    def _open_task_topics(self) -> None:
        """Opens the topics about the constraints: their parameters in, diagnostics out."""
        given = PARAMETER_TYPES[self._values['parameters_type']]
        read = given.make_reader(self._system)
        self._given = Input[Parameters](
            lambda message: read(message, self._given.latest, seconds_of(self._now())),
            RejectionLog('parameters', self.get_logger().warning),
            given.initial(self._system),
        )
        qos = self._qos(SUBSCRIPTION, '~/parameters')
        self.create_subscription(given.kind, '~/parameters', self._on_task_parameters, qos)
        qos = self._qos(PUBLISHER, '/diagnostics')
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', qos)
        # By the steady clock: the plant itself may be the clock.
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        period = self._values['diagnostics.period']
        self.create_timer(period, self._publish_diagnostics, clock=steady)

    def _qos(self, role: str, topic: str) -> QoSProfile:
        return qos_of(self, role, topic, RELIABLE)

    def close(self) -> None:
        """Stops the simulation."""
        if self._loop is not None:
            self._loop.stop()

    def _make_loop(self, fail: Callable[[str], None]) -> ControlLoop | LockStep:
        def on_failure(error: Exception) -> None:
            fail(f'the simulation broke: {one_line(error)}')

        if not self._values['lockstep']:
            return ControlLoop(self._period, self._cycle, on_failure, 'simulation')
        speed = self._values['speed']
        return LockStep(
            Turn(self._advance, self._measure, self._publish),
            self._values['lockstep_timeout'],
            self._period / speed if speed else 0.0,
            self._values['wait_for_command'],
            self.get_logger().warning,
            on_failure,
        )

    def _cycle(self) -> None:
        self._simulation.follow(time.monotonic())
        self._measure()
        self._publish()

    def _advance(self) -> None:
        self._simulation.advance(self._period)
        self._turns += 1

    def _measure(self) -> None:
        self._measured = self._simulation.measure()
        self._judge(self._measured)
        ended = self._simulation.ended
        if ended != self._told:
            self._told = ended
            if ended:
                self.get_logger().info(f'the flight is over: {ended}')
        bias = self.get_parameter('measurement_bias').value
        if len(bias):
            self._measured = self._measured + np.array(bias)
        noise = self.get_parameter('measurement_noise').value
        if noise > 0.0:
            self._measured = self._measured + self._rng.normal(0.0, noise, self._system.n_x)

    def _judge(self, x: Array) -> None:
        """Judges the true state x (n_x,) by the constraints."""
        if self._constraints.is_idle:
            return
        near, _ = self._place.pose(x)
        parameters = self._given.latest.at(seconds_of(self._now()), near)
        self._constraints.check(x, self._simulation.u, parameters, self._tolerance)

    @property
    def _tolerance(self) -> float:
        return float(self.get_parameter('constraint_tolerance').value)

    def _publish(self) -> bool:
        stamp = self._now()
        if self._clock_publisher is not None:
            self._clock_publisher.publish(Clock(clock=stamp))
        messages = self._faults(self._write_state(self._measured, stamp))
        for message in messages:
            self._state.publish(message)
        return bool(messages)

    def _now(self) -> Time:
        if not self._has_clock:
            return self.get_clock().now().to_msg()
        turns = self._turns * self._period
        elapsed = turns if self._values['lockstep'] else time.monotonic() - self._started
        return Moment(nanoseconds=round((EPOCH + elapsed) * 1e9)).to_msg()

    def _on_command(self, message: Any) -> None:
        if self._input.take(message):
            self._simulation.command(self._input.latest)
        if isinstance(self._loop, LockStep):
            self._loop.answer()

    def _on_task_parameters(self, message: Any) -> None:
        if self._given.take(message):
            warn_of_surplus(self._log, self._given.latest)

    def _publish_diagnostics(self) -> None:
        name, stamp = self.get_fully_qualified_name(), self.get_clock().now().to_msg()
        statuses = [self._constraints.status(self._tolerance)]
        if self._told:
            statuses.append(Status('flight', OK, self._told, {'ended': self._told}))
        self._diagnostics.publish(diagnostic_array(statuses, name, stamp))

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Any:
        try:
            x = self._initial_state()
        except parameters.ParameterError as error:
            response.success, response.message = False, str(error)
            return response
        self._simulation.reset(x)
        self._constraints.reset()
        response.success, response.message = True, f'state {x.tolist()}'
        return response

    def _on_fault(self, request: SetBool.Request, response: SetBool.Response) -> Any:
        name = self.get_parameter('fault').value
        response.success = bool(name) or not request.data
        response.message = f"set the parameter 'fault' first; choose from {sorted(FAULTS)}"
        if response.success:
            self._inject(name if request.data else '')
            response.message = f"fault '{name}'" if request.data else 'no fault'
        return response

    def _on_parameters(self, changes: Sequence[Parameter]) -> None:
        for change in changes:
            if change.name == 'fault':
                self._inject(change.value)

    def _inject(self, name: str) -> None:
        if name:
            self._faults.start(name, self.get_parameter('fault_duration').value)
        else:
            self._faults.clear()

    def _check(self, changes: dict[str, Any]) -> None:
        """Raises a ValueError if the plant could not start from there."""
        for name in ('initial_state', 'measurement_bias'):
            if name in changes:
                self._state_vector(name, changes[name])

    def _state_vector(self, name: str, values: Sequence[float]) -> list[float]:
        return parameters.state_vector(name, values, self._system.state_names)

    def _initial_state(self) -> Array:
        name = 'initial_state'
        x = self._state_vector(name, self.get_parameter(name).value)
        return np.array(x) if x else self._system.sample(self._rng, 1)[0][0]


def plant_of(values: dict[str, Any], system: System) -> Plant:
    """The plant that the parameters describe.

    It takes `simulation_rate` steps per second, or a few more: a whole number for every state
    that is published. In discrete time it takes one step per dt, whatever the rate of states,
    unless its equations hold for any time.

    Raises:
        ValueError: if the backend cannot simulate the system, or is not installed, or if a turn
            of `lockstep` is not a multiple of a dt in discrete time.
    """
    steps = max(1, math.ceil(values['simulation_rate'] / values['state_rate'] - 1e-9))
    imperfections = Imperfections(
        values['parameter_error'],
        values['input_gain'],
        values['actuation_delay'],
        values['disturbance'],
        values['disturbance_bias'],
        misalignment=values['misalignment'],
    )
    turn = 1.0 / values['state_rate']
    by_dt = system.discrete and system.timed is None
    if by_dt and values['lockstep']:
        require_whole_steps(system, 'a turn of lockstep (1 / state_rate)', turn)
    step = system.dt if by_dt else turn / steps
    return make_plant(values['plant_backend'], system, imperfections, step, values['seed'])


def main(args: Sequence[str] | None = None) -> int:
    """Entry point of `trc_plant`; returns the exit code."""
    return run(PlantNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
