"""Input of instructions: where to go, or what to follow, and parameters that have changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from trc_core import Controller, System
from trc_core.flight.obstacles import Parameters
from trc_core.flight.reference import Goal, ReferenceTrack, state_at
from trc_core.flight.safety import Measurement
from trc_core.problem.system import Array
from trc_ros.conversions import (
    GOAL_TYPES,
    PARAMETER_TYPES,
    REFERENCE_TYPES,
    ParameterReader,
    Placement,
    Reader,
    ReferenceReader,
    RejectedInput,
    frame_of,
    seconds_of,
)
from trc_ros.inputs import Input, RejectionLog, ThrottledLog, warn_of_surplus

RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True, eq=False)
class Instructions:
    """What a cycle is asked to do; times are those of its measurements."""

    goal: Goal
    goal_time: float | None
    """When the goal arrived; None for one that does not age."""
    parameters: Mapping[str, float]
    aim: Array
    """The state (n_x,) that the goal asks for at the time of the measurement."""


@dataclass(frozen=True)
class Readers:
    """Readers of goals, references and parameters, of the message types of a node."""

    goal: Reader
    reference: ReferenceReader
    parameters: ParameterReader
    initial_parameters: Parameters
    """What holds before any message."""

    @classmethod
    def of(cls, values: Mapping[str, Any], system: System) -> Readers:
        """The readers that the parameters of a node name.

        Raises:
            ValueError: if a message type cannot carry what it should.
        """
        placement, given = placement_of(values), PARAMETER_TYPES[values['parameters_type']]
        _, make_goal = GOAL_TYPES[values['goal_type']]
        _, make_reference = REFERENCE_TYPES[values['reference_type']]
        return cls(
            make_goal(system, placement),
            make_reference(system, placement),
            given.make_reader(system, placement),
            given.initial(system),
        )


class InstructionInput:
    """Takes goals, references and parameters. The newest of all goals and references holds.

    Args:
        node: owns the topics.
        controller: whose plans follow the instructions.
        values: the parameters of the node by name.
        clock: the time [s] by which goals age.
        stamp_clock: the time [s] by which references and obstacles are stamped.
        goal: (n_x,), holds until one arrives.

    Raises:
        ValueError: if a message type cannot carry what it should.
    """

    def __init__(
        self,
        node: Node,
        controller: Controller,
        values: Mapping[str, Any],
        clock: Callable[[], float],
        stamp_clock: Callable[[], float],
        goal: Array,
    ) -> None:
        self._node = node
        self._delay = values['input_delay']
        system, warn = controller.system, node.get_logger().warning
        self._frame = frame_of(system, placement_of(values))
        self._goal: tuple[Goal, float | None] = (goal, None)
        readers = Readers.of(values, system)

        def adjust(content: Any) -> Any:
            require_adjustable(controller)
            return content

        # The newest valid message of each topic.
        self._goals = Input[tuple[Goal, float | None]](
            lambda message: (readers.goal(message), clock()),
            RejectionLog('goal', warn),
            self._goal,
        )
        self._references = Input[tuple[Goal, float | None]](
            lambda message: (adjust(readers.reference(message, stamp_clock())), clock()),
            RejectionLog('reference', warn),
            self._goal,
        )
        self._parameters = Input[Parameters](
            lambda message: adjust(
                readers.parameters(message, self._parameters.latest, stamp_clock())
            ),
            RejectionLog('parameters', warn),
            readers.initial_parameters,
        )
        self._throttled = ThrottledLog(warn)
        # The topics.
        goal_kind, _ = GOAL_TYPES[values['goal_type']]
        reference_kind, _ = REFERENCE_TYPES[values['reference_type']]
        parameters_kind = PARAMETER_TYPES[values['parameters_type']].kind
        topics = (
            (goal_kind, 'goal', self._take_goal),
            (reference_kind, '~/reference', self._take_reference),
            (parameters_kind, '~/parameters', self._take_parameters),
        )
        self._subscriptions = [
            node.create_subscription(kind, name, take, RELIABLE) for kind, name, take in topics
        ]

    @property
    def inputs(self) -> dict[str, Input[Any]]:
        """The inputs by topic, for diagnostics."""
        return {
            'goal': self._goals,
            'reference': self._references,
            'parameters': self._parameters,
        }

    @property
    def follows(self) -> str:
        """Whether a 'goal' or a 'reference' holds."""
        return 'reference' if isinstance(self._goal[0], ReferenceTrack) else 'goal'

    def at(self, measurement: Measurement | None, stamp: Time) -> Instructions:
        """The instructions for a cycle that starts from a measurement, stamped so."""
        goal, goal_time = self._goal
        if measurement is None:
            return Instructions(goal, goal_time, {}, state_at(goal, 0.0))
        seconds = seconds_of(stamp)
        if isinstance(goal, ReferenceTrack):
            goal = goal.later(measurement.time - seconds)
        elif isinstance(goal, np.ndarray):
            goal = self._frame.attitude.towards(goal, measurement.x)
        near, _ = self._frame.pose(measurement.x)
        parameters = self._parameters.latest.at(seconds + self._delay, near)
        return Instructions(goal, goal_time, parameters, state_at(goal, measurement.time))

    def close(self) -> None:
        """Closes the topics."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _take_goal(self, message: Any) -> None:
        if self._goals.take(message):
            self._goal = self._goals.latest

    def _take_reference(self, message: Any) -> None:
        if self._references.take(message):
            self._goal = self._references.latest

    def _take_parameters(self, message: Any) -> None:
        if self._parameters.take(message):
            warn_of_surplus(self._throttled, self._parameters.latest)


def placement_of(values: Mapping[str, Any]) -> Placement:
    """Where the parameters of a node say that its system is."""
    return Placement(tuple(values['pose_axes']), values['frame_id'])


def require_adjustable(controller: Controller) -> None:
    """Refuses what a controller cannot plan with.

    Raises:
        RejectedInput: if it plans for fixed goals and parameters only.
    """
    if not controller.adjustable:
        detail = f"the backend '{controller.backend}' plans for fixed goals and parameters"
        raise RejectedInput('fixed', f"{detail}; set backend to 'numba'")
