"""One robot of a fleet: its topics, and its part of a cycle and of the diagnostics."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.node import Node

from trc_core.flight.fleet import Asked
from trc_core.flight.pilot import Pilot
from trc_core.flight.ranges import StateBox
from trc_core.flight.safety import Decision, SafetyState
from trc_core.flight.state_changes import StateChanges
from trc_core.problem.system import Array
from trc_ros.controller.command_claim import CommandClaim
from trc_ros.controller.diagnostics import ERROR, LEVELS, OK, concerned, input_values, log_state
from trc_ros.controller.goal_frames import GoalFrames
from trc_ros.controller.instruction_input import InstructionInput
from trc_ros.controller.landing import Landing
from trc_ros.controller.live_settings import LiveSettings
from trc_ros.controller.outputs import DELIVERY_TIME, RELIABLE
from trc_ros.controller.states import open_states
from trc_ros.conversions import (
    CommandFormat,
    Status,
    command_writer,
    seconds_of,
    with_joint_names,
)
from trc_ros.fleet.topics import RobotTopics
from trc_ros.qos import PUBLISHER, qos_of


class Robot:
    """Connects one pilot of a fleet with the topics under the robot's name.

    Args:
        node: owns the topics.
        name: of the robot.
        pilot: of the robot, on the steady clock.
        values: the parameters of the node by name; the `frame_id` of a robot is NAME/frame_id.
        live: those that may change.
        trained: the states that the controller was made for.
        goal: (n_x,), holds until one arrives; None to stay where the plant is.
        now: the time for stamps and ages.

    Raises:
        ValueError: if a message type cannot carry what it should.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        pilot: Pilot,
        values: Mapping[str, Any],
        live: Callable[[], LiveSettings],
        trained: StateBox,
        goal: Array | None,
        now: Callable[[], Time],
    ) -> None:
        self.name, self.pilot = name, pilot
        system, period = pilot.controller.system, 1.0 / values['controller_frequency']
        frames = {key: _under(name, values[key]) for key in ('frame_id', 'command_frame_id')}
        own = {**values, **frames}
        topics = RobotTopics(node, name)
        self._topics, self._logger = topics, topics.get_logger()
        # States and instructions.
        as_node: Any = topics
        frames = GoalFrames(as_node, own['frame_id'])
        clock, self._live = time.monotonic, live
        self._states, self._watch = open_states(
            as_node, pilot.controller, own, clock, now, live, trained, frames.noting
        )
        self._instructions = InstructionInput(
            as_node,
            pilot.controller,
            own,
            clock,
            lambda: seconds_of(now()),
            goal,
            limits=lambda: live().goal_limits,
            frames=frames,
            on_refusal=lambda topic, reason: None,
        )
        # Commands.
        form = CommandFormat.of(own, with_joint_names(system, own['joints']))
        self._write = command_writer(form, now, period)
        self._claim = CommandClaim(as_node)
        self._claim.require_free()
        qos = qos_of(as_node, PUBLISHER, 'command', RELIABLE)
        self._command = topics.create_publisher(form.kind, 'command', qos)
        self._commands = 0
        self._decision: Decision | None = None
        self._changes = StateChanges(functools.partial(log_state, self._logger))

    def poll(self) -> None:
        """Takes new goals, references and parameters."""
        self._topics.poll()

    def asked(self) -> Asked:
        """What the robot is asked for now, from its newest state."""
        self._states.take()
        measurement, stamp = self._states.latest
        self._watch.note(measurement)
        asked = self._instructions.at(measurement, stamp)
        return Asked(measurement, asked.goal, asked.goal_time, asked.parameters)

    def obey(self, decision: Decision) -> None:
        """Commands what was decided, and notes changes of the safety state."""
        if decision.control is not None:
            self._send(decision.control)
        self._decision = decision
        self._changes.note(decision.state, decision.reason)

    def forget(self) -> None:
        """Forgets the flight so far; the plant still obeys the last command."""
        self.pilot.restart()
        self._states.forget()
        self._instructions.forget_goal()
        self._changes.clear()
        self._decision, self._commands = None, 0

    def landing(self) -> Landing:
        """The way to the final command."""

        def wait_until_delivered() -> None:
            self._command.wait_for_all_acked(DELIVERY_TIME)

        return Landing(self.pilot.monitor, self._send, wait_until_delivered, self._logger.warning)

    def status(self) -> Status:
        """Safety state, inputs and commands, for diagnostics."""
        measurement, _ = self._states.latest
        age = self.pilot.clock() - measurement.time if measurement else float('nan')
        values: dict[str, object] = {
            **input_values({'state': self._states.input, **self._instructions.inputs}, age),
            'follows': self._instructions.follows,
            'commands_published': self._commands,
            'limited_commands': self.pilot.monitor.limited.total(),
            **{f'entered_{state.value}': self._changes.entries[state] for state in SafetyState},
        }
        decision = self._decision
        if decision is None:
            return Status(self.name, OK, 'inactive: nothing is commanded', values)
        text = f'{decision.state.value}: {decision.reason}'
        values = {'state': decision.state.value, 'reason': decision.reason, **values}
        if rivals := self._claim.rivals():
            return Status(self.name, ERROR, rivals, values)
        concern = self._watch.concern(self._live().settings.state_timeout)
        return concerned(Status(self.name, LEVELS[decision.state], text, values), concern)

    def _send(self, control: Array) -> None:
        self._command.publish(self._write(control))
        self._commands += 1


def _under(name: str, frame_id: str) -> str:
    """A frame of a robot; none stays none."""
    return f'{name}/{frame_id}' if frame_id else ''
