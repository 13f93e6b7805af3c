"""The node `fleet`: states and goals of many robots in, their commands out, planned together."""

from __future__ import annotations

import re
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from trc_core import Controller
from trc_core.flight.fleet import FleetPilot, batch_times
from trc_core.flight.pilot import Pilot
from trc_core.flight.ranges import trained_box
from trc_core.flight.safety import SafetyMonitor
from trc_ros.control_loop import ControlLoop, Series
from trc_ros.controller import diagnostics
from trc_ros.controller.instruction_input import Readers
from trc_ros.controller.landing import land
from trc_ros.controller.live_settings import LiveSettings
from trc_ros.controller.node import initial_goal, keep_out_of_collections
from trc_ros.controller.outputs import RELIABLE
from trc_ros.controller.realtime import RealtimeSettings
from trc_ros.controller.states import tell_undeclared_angles
from trc_ros.conversions import CommandFormat, Status, diagnostic_array
from trc_ros.fleet.cycle_clock import CycleClock
from trc_ros.fleet.robot import Robot
from trc_ros.loading import load_controller, make_ready
from trc_ros.parameters import table as parameters
from trc_ros.process import one_line, run
from trc_ros.qos import PUBLISHER, qos_of, require_used

NAME = re.compile(r'[A-Za-z][A-Za-z0-9_]*')
TURNS = 4  # goals of a robot are looked for in every fourth cycle: they may wait, states may not


class FleetNode(parameters.OwnReasons, Node):
    """Plans for many robots of one kind, at a fixed rate.

    Services: `~/enable` stops or resumes planning for all, `~/reset` forgets their flights.

    Args:
        args: command line of the process.
    """

    def __init__(self, args: Sequence[str] = ()) -> None:
        super().__init__('fleet')
        self._loop: ControlLoop | None = None
        self._robots: list[Robot] = []
        why_locked = 'is read at start: restart the node with it'
        parameters.declare(self, 'fleet', args, lambda: why_locked, self._check)

    def start(self, fail: Callable[[str], None]) -> None:
        """Loads and compiles the model, opens the topics and starts the loop.

        Raises:
            ValueError: if there are no robots, or the parameters do not fit the system.
        """
        values = values_of(self)
        names = require_names(values['robots'])
        controller = load_controller(values)
        goal = initial_goal(values, controller.system)
        # Refuses before anything is compiled.
        Readers.of(values, controller.system)
        CommandFormat.of(values, controller.system)
        self._live = self._applied = LiveSettings.from_parameters(values, controller)
        self._period = 1.0 / values['controller_frequency']
        make_ready(controller, values, self.get_logger())
        self._warn_of_pace(controller, len(names))
        # Robots, each with a pilot of its own.
        tell_undeclared_angles(controller.system, self.get_logger())
        delay, trained = values['input_delay'], trained_box(controller)
        self._now = CycleClock(self.get_clock())
        for name in names:
            monitor = SafetyMonitor(controller.system, self._live.settings, controller.lqr_plan)
            pilot = Pilot(controller, monitor, self._period, time.monotonic, delay)
            self._robots.append(
                Robot(self, name, pilot, values, lambda: self._live, trained, goal, self._now)
            )
        self._fleet = FleetPilot([robot.pilot for robot in self._robots], self._period)
        self._enabled, self._cycles = True, 0
        self._cycle_times, self._cycle_cpu = Series(), Series()
        self._requests: deque[Callable[[], None]] = deque()  # carried out between two cycles
        self._realtime = RealtimeSettings(values)
        self._open(values)
        require_used(self, self.named)

        def on_failure(error: Exception) -> None:
            fail(f'the control loop broke: {one_line(error)}')

        self._loop = ControlLoop(
            self._period, self._cycle, on_failure, 'fleet_loop', self._prepare
        )
        keep_out_of_collections()
        self._loop.start()
        text = f'{controller.system.name}, by {controller.backend}: {len(names)} robots'
        self.get_logger().info(text)

    def close(self) -> None:
        """Stops the loop and sends the final commands of all robots."""
        if self._loop is None:
            return
        self._loop.stop()
        self._realtime.revert()
        land([robot.landing() for robot in self._robots], time.monotonic(), self._period)

    def _open(self, values: dict[str, Any]) -> None:
        """Opens what the robots share: services, parameters and diagnostics."""
        self.create_service(SetBool, '~/enable', self._on_enable)
        self.create_service(Trigger, '~/reset', self._on_reset)
        self.add_post_set_parameters_callback(self._on_parameters)
        self._counters = diagnostics.CounterMonitor()
        qos = qos_of(self, PUBLISHER, '/diagnostics', RELIABLE)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', qos)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(values['diagnostics.period'], self._publish_diagnostics, clock=steady)

    def _prepare(self) -> None:
        for line in self._realtime.apply():
            self.get_logger().warning(line)

    def _cycle(self) -> None:
        began, worked = time.monotonic(), time.thread_time()
        self._now.begin()
        while self._requests:
            self._requests.popleft()()
        live = self._live
        if live is not self._applied:
            for robot in self._robots:
                robot.pilot.change(live.settings)
            self._applied = live
        for robot in self._robots[self._cycles % TURNS :: TURNS]:
            robot.poll()
        self._cycles += 1
        if self._enabled:
            decisions = self._fleet.fly([robot.asked() for robot in self._robots])
        else:
            decisions = [robot.pilot.stand_by() for robot in self._robots]
        for robot, decision in zip(self._robots, decisions, strict=True):
            robot.obey(decision)
        times = [d.plan_time for d in decisions if d.plan_time is not None]
        if times and self._loop is not None:
            self._loop.statistics.plan_time.add(max(times))
        self._cycle_times.add(time.monotonic() - began)
        self._cycle_cpu.add(time.thread_time() - worked)

    def _warn_of_pace(self, controller: Controller, robots: int) -> None:
        """Warns if plans for all take longer than there is time for."""
        needed = statistics.median(batch_times(controller, robots))
        if needed > self._period:
            self.get_logger().warning(
                f'plans for {robots} robots take {1e3 * needed:.3g} ms, longer than the period of '
                f'{1e3 * self._period:.3g} ms, after which they stay unrefined: lower '
                'controller_frequency, or share the robots out among several fleets'
            )

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> Any:
        self._enabled = request.data
        done = 'planning from the next cycle on' if request.data else 'the safe commands fly'
        response.success, response.message = True, done
        self.get_logger().info(done)
        return response

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Any:
        self._requests.extend(robot.forget for robot in self._robots)
        response.success, response.message = True, 'the flights so far are forgotten'
        return response

    def _check(self, changes: dict[str, Any]) -> None:
        """Raises a ValueError if the flights could not take these changes over."""
        if self._loop is not None:
            LiveSettings.from_parameters({**values_of(self), **changes}, self._fleet.controller)

    def _on_parameters(self, changes: list[Parameter]) -> None:
        self._live = LiveSettings.from_parameters(values_of(self), self._fleet.controller)

    def _publish_diagnostics(self) -> None:
        name, stamp = self.get_fully_qualified_name(), self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostic_array(self._statuses(), name, stamp))

    def _statuses(self) -> Iterator[Status]:
        if self._loop is not None:
            status = diagnostics.loop_status(self._loop.statistics, self._counters)
            cycle: dict[str, object] = {}
            for name, series in (('cycle', self._cycle_times), ('cycle_cpu', self._cycle_cpu)):
                spread = series.spread()
                cycle |= {f'{name}_p50_us': 1e6 * spread.p50, f'{name}_p99_us': 1e6 * spread.p99}
            yield replace(status, values={**status.values, **cycle})
        for robot in self._robots:
            yield robot.status()


def values_of(node: Node) -> dict[str, Any]:
    """The parameters of a fleet, and the defaults of those that only a controller has."""
    specs = parameters.specs_of('controller')
    defaults = {name: spec.default for name, spec in specs.items()}
    # Nothing is learned in flight: plans with parameters of their own are not made together.
    own = parameters.values_of(node, 'fleet')
    return {**defaults, **own, 'adaptation.enabled': False}


def require_names(names: Sequence[str]) -> list[str]:
    """The names of the robots.

    Raises:
        ValueError: if there are none, one is there twice, or is no name of a topic.
    """
    wrong = [name for name in names if not NAME.fullmatch(name)]
    if wrong or not names or len(set(names)) < len(names):
        raise ValueError(
            f"parameter 'robots' is {list(names)}; write the names of the robots, each once, such "
            'as [r1, r2]: letters, digits and _'
        )
    return list(names)


def main(args: Sequence[str] | None = None) -> int:
    """Entry point of `trc_fleet`; returns the exit code."""
    return run(FleetNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
