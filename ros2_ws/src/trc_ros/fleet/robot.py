"""One robot of a fleet: its topics, and its part of a cycle and of the diagnostics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.node import Node

from trc_core.flight.fleet import Asked
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Decision, SafetyState
from trc_core.problem.system import Array
from trc_ros.controller.diagnostics import LEVELS, OK
from trc_ros.controller.flight import NEWEST, state_reader_of
from trc_ros.controller.instruction_input import InstructionInput
from trc_ros.controller.landing import Landing
from trc_ros.controller.measurements import MeasurementReader
from trc_ros.controller.outputs import DELIVERY_TIME, RELIABLE
from trc_ros.controller.state_input import StateInput
from trc_ros.conversions import STATE_TYPES, CommandFormat, Status, command_writer, seconds_of
from trc_ros.fleet.topics import RobotTopics
from trc_ros.inputs import RejectionLog


class Robot:
    """Connects one pilot of a fleet with the topics under the robot's name.

    Args:
        node: owns the topics.
        name: of the robot.
        pilot: of the robot, on the steady clock.
        values: the parameters of the node by name; the `frame_id` of a robot is NAME/frame_id.
        goal: (n_x,), holds until one arrives.
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
        goal: Any,
        now: Callable[[], Time],
    ) -> None:
        self.name, self.pilot = name, pilot
        system, period = pilot.controller.system, 1.0 / values['controller_frequency']
        frames = {key: _under(name, values[key]) for key in ('frame_id', 'command_frame_id')}
        own = {**values, **frames}
        topics = RobotTopics(node, name)
        self._topics, self._logger = topics, topics.get_logger()
        # States and instructions.
        measure = MeasurementReader(
            state_reader_of(own, system),
            now,
            lambda: pilot.monitor.settings.state_timeout,
            own['use_stamps'],
        )
        state_type, _ = STATE_TYPES[own['state_type']]
        log = RejectionLog('state', self._logger.warning)
        topic = topics.polled(state_type, 'state', NEWEST)
        self._states = StateInput(topic, measure, log, period, simulated=False)
        self._instructions = InstructionInput(
            topics,  # type: ignore[arg-type]
            pilot.controller,
            own,
            time.monotonic,
            lambda: seconds_of(now()),
            goal,
        )
        # Commands.
        form = CommandFormat.of(own, system)
        self._write = command_writer(form, now, period)
        self._command = topics.create_publisher(form.kind, 'command', RELIABLE)
        self._commands = 0
        self._decision: Decision | None = None
        self._entries: Counter[SafetyState] = Counter()

    def poll(self) -> None:
        """Takes new goals, references and parameters."""
        self._topics.poll()

    def asked(self) -> Asked:
        """What the robot is asked for now, from its newest state."""
        self._states.take()
        measurement, stamp = self._states.latest
        asked = self._instructions.at(measurement, stamp)
        return Asked(measurement, asked.goal, asked.goal_time, asked.parameters)

    def obey(self, decision: Decision) -> None:
        """Commands what was decided, and logs a change of the safety state."""
        if decision.control is not None:
            self._send(decision.control)
        previous, self._decision = self._decision, decision
        if previous is not None and previous.state is decision.state:
            return
        self._entries[decision.state] += 1
        text = f'{decision.state.value}: {decision.reason}'
        # Two calls: rclpy ties a severity to the line that logs.
        if LEVELS[decision.state] > OK:
            self._logger.warning(text)
        else:
            self._logger.info(text)

    def forget(self) -> None:
        """Forgets the flight so far; the plant still obeys the last command."""
        self.pilot.restart()
        self._states.forget()
        self._entries.clear()
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
            'state_age_ms': 1e3 * age,
            'follows': self._instructions.follows,
            'commands_published': self._commands,
            'limited_commands': self.pilot.monitor.limited.total(),
            **{f'entered_{state.value}': self._entries[state] for state in SafetyState},
        }
        for topic, source in {'state': self._states.input, **self._instructions.inputs}.items():
            values[f'{topic}_received'] = source.received
            values[f'{topic}_rejected'] = source.rejected.total()
        decision = self._decision
        if decision is None:
            return Status(self.name, OK, 'inactive: nothing is commanded', values)
        text = f'{decision.state.value}: {decision.reason}'
        values = {'state': decision.state.value, 'reason': decision.reason, **values}
        return Status(self.name, LEVELS[decision.state], text, values)

    def _send(self, control: Array) -> None:
        self._command.publish(self._write(control))
        self._commands += 1


def _under(name: str, frame_id: str) -> str:
    """A frame of a robot; none stays none."""
    return f'{name}/{frame_id}' if frame_id else ''
