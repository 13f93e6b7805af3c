"""The node `controller`: state and goal in, command and horizon out, at a fixed rate."""

from __future__ import annotations

import functools
import gc
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter

from trc_core import Controller, System
from trc_core.flight.adaptation import ParameterEstimator
from trc_core.flight.goal_range import out_of_range
from trc_core.flight.holding import staying_state
from trc_core.flight.pilot import Pilot, require_rate
from trc_core.flight.ranges import StateBox, trained_box
from trc_core.flight.safety import SafetyMonitor
from trc_core.problem.system import Array
from trc_ros.compilation import compile_missing
from trc_ros.controller.background import run_in_thread
from trc_ros.controller.command_claim import CommandClaim
from trc_ros.controller.flight import Flight
from trc_ros.controller.instruction_input import Readers, placement_of
from trc_ros.controller.live_settings import LiveSettings
from trc_ros.controller.measurements import SimulatedClock
from trc_ros.controller.preparation import Preparation
from trc_ros.controller.services import Services
from trc_ros.controller.states import state_reader_of, tell_undeclared_angles
from trc_ros.controller.transitions import Transitions, transition
from trc_ros.conversions import CommandFormat, find_action
from trc_ros.loading import (
    load_controller,
    make_ready,
    require_same_plant,
    why_not_learned,
)
from trc_ros.parameters import table as parameters
from trc_ros.parameters.topics import HOLD
from trc_ros.process import run
from trc_ros.qos import require_used


class ControllerNode(parameters.OwnReasons, LifecycleNode):
    """Managed node; with the parameter `autostart` it configures and activates itself.

    Args:
        args: command line of the process.
    """

    def __init__(self, args: Sequence[str] = ()) -> None:
        super().__init__('controller', enable_logger_service=True)
        self._flight: Flight | None = None
        self._fail: Callable[[str], Any] = self.get_logger().fatal
        self._starting = threading.Lock()
        self._closed = False
        parameters.declare(self, 'controller', args, self._why_locked, self._check)
        self.add_post_set_parameters_callback(self._apply_changes)
        self._claim = CommandClaim(self)
        Services(self, lambda: self._flight, self._reload)
        self._transitions = Transitions(self, self._configure, self._await_command)

    def start(self, fail: Callable[[str], None]) -> None:
        """Lets the executor configure and activate, if `autostart` says so."""
        self._fail = fail
        if self.get_parameter('autostart').value:
            self._transitions.bring_up(fail)

    def close(self) -> None:
        """Stops the loop and sends the final commands; none is started any more."""
        with self._starting:
            self._closed = True
        if self._flight is not None:
            self._flight.stop()

    async def _configure(self) -> None:
        """Loads and compiles the model in a thread, then opens the topics."""
        preparation = Preparation(self, parameters.values_of(self, 'controller'))
        try:
            pilot, goal, trained = await run_in_thread(
                functools.partial(self._prepare, preparation), self.executor
            )
        finally:
            preparation.close()
        # Live parameters may have changed meanwhile.
        values, controller = parameters.values_of(self, 'controller'), pilot.controller
        live = LiveSettings.from_parameters(values, controller)
        self._flight = Flight(self, pilot, values, live, goal, trained, self._claim)
        self._require_used_qos()
        tell_undeclared_angles(controller.system, self.get_logger())
        # Also because the first line of a process takes 20 ms, which the loop does not have.
        self.get_logger().info(f'{controller.system.name}, by {controller.backend}: configured')
        if values['adaptation.enabled'] and (reason := why_not_learned(controller, values)):
            self.get_logger().info(f'nothing is learned in flight: {reason}')

    async def _await_command(self) -> bool:
        """Waits until nobody else seems to publish commands, or it has taken too long.

        Returns:
            Whether somebody did at first.
        """
        waited: bool = await run_in_thread(self._claim.wait_until_free, self.executor)
        return waited

    def _prepare(self, preparation: Preparation) -> tuple[Pilot, Array | None, StateBox]:
        """The pilot of a controller that is compiled and in time, and what its flight needs.

        It is the first goal (n_x,), None to stay where the plant is, and the box of its training.
        """
        values = preparation.values
        controller = load_controller(values)
        goal = initial_goal(values, controller.system)
        # Refuses before anything is compiled.
        state_reader_of(values, controller.system)
        Readers.of(values, controller.system)
        CommandFormat.of(values, controller.system)
        find_action(values['action_type'], controller.system, placement_of(values))
        live = LiveSettings.from_parameters(values, controller)
        if goal is not None and (reason := out_of_range(live.goal_limits, goal)):
            raise ValueError(f"parameter 'initial_goal': {reason}")
        simulated = values['cycle_on'] == 'state' and self.get_parameter('use_sim_time').value
        preparation.controller = controller
        compile_missing(controller, values, self.get_logger())
        pilot = make_pilot(controller, values, live, simulated)
        make_ready(controller, values, self.get_logger())
        if goal is None:  # slopes are derived now, not in the first cycle
            staying_state(controller.system, controller.system.goal_centre)
        trained = trained_box(controller)
        keep_out_of_collections()
        return pilot, goal, trained

    @transition
    def on_activate(self) -> None:
        """Starts the loop."""
        with self._starting:
            if self._closed:
                raise ValueError('the process is ending')
            self._flight.start(self._fail)
        self._claim.watch(self._give_way)

    @transition
    def on_deactivate(self) -> None:
        """Stops the loop and sends the final commands."""
        self._claim.end_watch()
        self._flight.stop()

    def _give_way(self, conflict: str) -> None:
        """Leaves the plant to a controller that was there before, but was found late."""
        self.get_logger().error(f'giving way: {conflict}')
        if self._flight is not None:
            self._flight.give_way()
        self.trigger_deactivate()
        if self.get_parameter('autostart').value:
            self._transitions.take_turn(self._fail)

    @transition
    def on_cleanup(self) -> None:
        """Closes the topics and forgets the model."""
        self._close_flight()

    @transition
    def on_shutdown(self) -> None:
        """Stops the loop, sends the final commands and closes the topics."""
        self._close_flight()

    def _require_used_qos(self) -> None:
        try:
            require_used(self, self.named)
        except ValueError:
            self._close_flight()
            raise

    def _close_flight(self) -> None:
        self._claim.end_watch()
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.close()

    def _reload(self) -> Controller:
        """Loads the model of the flight again and makes it ready."""
        values, flight = parameters.values_of(self, 'controller'), self._flight
        controller = load_controller(values)
        if flight is not None:
            require_same_plant(flight.controller.system, controller.system)
            LiveSettings.from_parameters(values, controller)
        require_rate(controller, 1.0 / values['controller_frequency'])
        compile_missing(controller, values, self.get_logger())
        make_ready(controller, values, self.get_logger())
        return controller

    def _why_locked(self) -> str:
        locked = self._flight is not None or self._transitions.configuring
        return 'is read at configure: deactivate and clean up, set it, configure' if locked else ''

    def _check(self, changes: dict[str, Any]) -> None:
        """Raises a ValueError if a flight could not take these changes over."""
        if self._flight is not None:
            values = {**parameters.values_of(self, 'controller'), **changes}
            LiveSettings.from_parameters(values, self._flight.controller)

    def _apply_changes(self, changes: list[Parameter]) -> None:
        """Applies changed parameters to the flight, and logs that in one line."""
        live = {name for name, spec in parameters.specs_of('controller').items() if spec.live}
        texts = [f'{c.name} = {parameters.shown(c.value)}' for c in changes if c.name in live]
        if self._flight is None or not texts:
            return
        values = parameters.values_of(self, 'controller')
        self._flight.live = LiveSettings.from_parameters(values, self._flight.controller)
        self.get_logger().info(f'from the next cycle on: {", ".join(texts)}')


def keep_out_of_collections() -> None:
    """Spares the garbage collector what is there before the flight: 70 ms of a full collection.

    Collections hold all threads. It is called before there is a loop.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def make_pilot(
    controller: Controller, values: dict[str, Any], live: LiveSettings, simulated: bool
) -> Pilot:
    """Makes the pilot of a controller, on the steady clock or that of a simulation."""
    monitor = SafetyMonitor(controller.system, live.settings, controller.lqr_plan)
    period = 1.0 / values['controller_frequency']
    estimator = make_estimator(controller, values)
    clock = SimulatedClock() if simulated else time.monotonic
    deadline = math.inf if simulated else None
    delay = values['input_delay']
    return Pilot(controller, monitor, period, clock, delay, estimator, deadline)


def make_estimator(controller: Controller, values: dict[str, Any]) -> ParameterEstimator | None:
    """Makes the estimator of the plant's parameters, compiled; None where nothing is learned.

    Raises:
        ValueError: if `adaptation.noise` does not fit the system.
    """
    if not values['adaptation.enabled'] or why_not_learned(controller, values):
        return None
    noise = parameters.state_vector(
        'adaptation.noise', values['adaptation.noise'], controller.system.state_names
    )
    estimator = ParameterEstimator(controller.system, noise or None)
    estimator.warm_up()
    return estimator


def initial_goal(values: dict[str, Any], system: System) -> Array | None:
    """The goal (n_x,) until one arrives; None to stay where the plant is.

    Raises:
        ValueError: if the parameter does not fit the system.
    """
    stated = values['initial_goal']
    if stated == HOLD:
        return None
    return np.array(parameters.state_vector('initial_goal', stated, system.state_names))


def main(args: Sequence[str] | None = None) -> int:
    """Entry point of `trc_controller`; returns the exit code."""
    return run(ControllerNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
