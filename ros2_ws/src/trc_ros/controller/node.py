"""The node `controller`: state and goal in, command and horizon out, at a fixed rate."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from lifecycle_msgs.srv import ChangeState
from rclpy._rclpy_pybind11 import RCLError
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from trc_core import Controller, System
from trc_core.flight.adaptation import ParameterEstimator
from trc_core.flight.goal_range import out_of_range
from trc_core.flight.holding import staying_state
from trc_core.flight.pilot import Pilot, require_rate
from trc_core.flight.safety import SafetyMonitor
from trc_core.problem.system import Array
from trc_ros.controller.flight import Flight, state_reader_of
from trc_ros.controller.instruction_input import Readers, placement_of
from trc_ros.controller.live_settings import LiveSettings
from trc_ros.controller.measurements import SimulatedClock
from trc_ros.controller.services import Services
from trc_ros.conversions import find_action
from trc_ros.loading import (
    load_controller,
    make_ready,
    require_same_plant,
    why_not_learned,
)
from trc_ros.parameters import table as parameters
from trc_ros.parameters.controller import HOLD
from trc_ros.process import StartupError, one_line, run


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
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    return callback


def reject_invalid_transitions(node: LifecycleNode) -> None:
    """Makes the node answer requests for transitions that its present state does not have.

    rclpy raises there instead, in the executor, and no answer is sent.
    """
    [service] = (s for s in node.services if s.srv_type is ChangeState)
    change = service.callback

    def answer(request: ChangeState.Request, response: ChangeState.Response) -> Any:
        try:
            return change(request, response)
        except RCLError:
            asked = request.transition.label or request.transition.id
            node.get_logger().warning(f'there is no transition {asked} from here: refused')
            response.success = False
            return response

    service.callback = answer


class ControllerNode(LifecycleNode):
    """Managed node; with the parameter `autostart` it configures and activates itself."""

    def __init__(self) -> None:
        super().__init__('controller')
        self._flight: Flight | None = None
        self._fail: Callable[[str], Any] = self.get_logger().fatal
        parameters.declare(self, 'controller', self._why_locked, self._check)
        self.add_post_set_parameters_callback(self._apply_changes)
        Services(self, lambda: self._flight, self._reload)
        reject_invalid_transitions(self)

    def start(self, fail: Callable[[str], None]) -> None:
        """Configures and activates, if `autostart` says so.

        Raises:
            StartupError: if that failed; the log says why.
        """
        self._fail = fail
        if not self.get_parameter('autostart').value:
            return
        for step in (self.trigger_configure, self.trigger_activate):
            if step() is not TransitionCallbackReturn.SUCCESS:
                raise StartupError

    def close(self) -> None:
        """Stops the loop and sends the final commands."""
        if self._flight is not None:
            self._flight.stop()

    @transition
    def on_configure(self) -> None:
        """Loads and compiles the model, then opens the topics."""
        values = parameters.values_of(self, 'controller')
        controller = load_controller(values)
        goal = initial_goal(values, controller.system)
        # Refuses before anything is compiled.
        state_reader_of(values, controller.system)
        Readers.of(values, controller.system)
        find_action(values['action_type'], controller.system, placement_of(values))
        live = LiveSettings.from_parameters(values, controller)
        if goal is not None and (reason := out_of_range(live.goal_limits, goal)):
            raise ValueError(f"parameter 'initial_goal': {reason}")
        simulated = values['cycle_on'] == 'state' and self.get_parameter('use_sim_time').value
        pilot = make_pilot(controller, values, live, simulated)
        make_ready(controller, values, self.get_logger())
        if goal is None:  # slopes are derived now, not in the first cycle
            staying_state(controller.system, controller.system.goal_centre)
        self._flight = Flight(self, pilot, values, live, goal)
        # Also because the first line of a process takes 20 ms, which the loop does not have.
        self.get_logger().info(f'{controller.system.name}, by {controller.backend}: configured')
        if values['adaptation.enabled'] and (reason := why_not_learned(controller)):
            self.get_logger().info(f'nothing is learned in flight: {reason}')

    @transition
    def on_activate(self) -> None:
        """Starts the loop."""
        self._flight.start(self._fail)

    @transition
    def on_deactivate(self) -> None:
        """Stops the loop and sends the final commands."""
        self._flight.stop()

    @transition
    def on_cleanup(self) -> None:
        """Closes the topics and forgets the model."""
        self._close_flight()

    @transition
    def on_shutdown(self) -> None:
        """Stops the loop, sends the final commands and closes the topics."""
        self._close_flight()

    def _close_flight(self) -> None:
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
        make_ready(controller, values, self.get_logger())
        return controller

    def _why_locked(self) -> str:
        locked = self._flight is not None
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
    if not values['adaptation.enabled'] or why_not_learned(controller):
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
