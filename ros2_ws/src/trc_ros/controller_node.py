"""The node `controller`: state and goal in, command and horizon out, at a fixed rate."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from trc_core import Controller, System, get_system
from trc_core.systems.base import Array
from trc_ros import parameters
from trc_ros.flight import Flight
from trc_ros.process import Startup, one_line, run


def transition(work: Callable[[Any], None]) -> Callable[..., TransitionCallbackReturn]:
    """A life-cycle callback from a method that raises on failure.

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


class ControllerNode(LifecycleNode):
    """Managed node; with the parameter `autostart` it configures and activates itself."""

    def __init__(self) -> None:
        super().__init__('controller')
        self._flight: Flight | None = None
        self._fail: Callable[[str], Any] = self.get_logger().fatal
        parameters.declare(self, 'controller', self._why_locked)

    def start(self, fail: Callable[[str], None]) -> None:
        """Configures and activates, if `autostart` says so.

        Raises:
            Startup: if that failed; the log says why.
        """
        self._fail = fail
        if not self.get_parameter('autostart').value:
            return
        for step in (self.trigger_configure, self.trigger_activate):
            if step() is not TransitionCallbackReturn.SUCCESS:
                raise Startup

    def close(self) -> None:
        """Stops the loop and sends the last command."""
        if self._flight is not None:
            self._flight.land()

    @transition
    def on_configure(self) -> None:
        """Loads and compiles the model, then opens the topics."""
        values = parameters.values_of(self, 'controller')
        controller = load(values)
        goal = initial_goal(values, controller.system)
        controller.warm_up()
        self._flight = Flight(self, controller, values, goal)

    @transition
    def on_activate(self) -> None:
        """Starts the loop."""
        self._flight.take_off(self._fail)

    @transition
    def on_deactivate(self) -> None:
        """Stops the loop and sends the last command."""
        self._flight.land()

    @transition
    def on_cleanup(self) -> None:
        """Closes the topics and forgets the model."""
        self._forget()

    @transition
    def on_shutdown(self) -> None:
        """Stops the loop, sends the last command and closes the topics."""
        self._forget()

    def _forget(self) -> None:
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.close()

    def _why_locked(self) -> str:
        locked = self._flight is not None
        return 'is read at configure: deactivate and clean up, set it, configure' if locked else ''


def load(values: dict[str, Any]) -> Controller:
    """The controller that the parameters ask for.

    Raises:
        ValueError: if there is no such system or the checkpoint is one of another system.
        FileNotFoundError: if there is no such checkpoint.
    """
    system = get_system(values['system'])
    cycles = values['refinement_cycles']
    return Controller.load(
        values['model_path'] or system.name,
        backend=values['backend'],
        device=values['device'],
        cycles=None if cycles < 0 else cycles,
        system=system,
    )


def initial_goal(values: dict[str, Any], system: System) -> Array:
    """The goal (n_x,) until one arrives.

    Raises:
        ValueError: if the parameter does not fit the system.
    """
    goal = parameters.state_vector('initial_goal', values['initial_goal'], system.state_names)
    return np.array(goal or np.zeros(system.n_x))


def main(args: Sequence[str] | None = None) -> int:
    """Entry point of `trc_controller`; returns the exit code."""
    return run(ControllerNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
