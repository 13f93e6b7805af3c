"""Input of instructions: where to go, or what to follow, and parameters that have changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from trc_core import Controller, System
from trc_core.flight.goal_range import out_of_range
from trc_core.flight.holding import resting_state
from trc_core.flight.obstacles import Parameters
from trc_core.flight.ranges import StateBox
from trc_core.flight.reference import Goal, ReferenceTrack, state_at
from trc_core.flight.safety import Measurement
from trc_core.problem.system import Array
from trc_ros.controller.goal_frames import GoalFrames
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
    with_joint_names,
)
from trc_ros.inputs import Input, RejectionLog, ThrottledLog, warn_of_surplus
from trc_ros.qos import SUBSCRIPTION, qos_of

RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True, eq=False)
class Instructions:
    """What a cycle is asked to do; times are those of its measurements."""

    goal: Goal | None
    """None: stay where the plant is."""
    goal_time: float | None
    """When the goal arrived; None for one that does not age."""
    parameters: Mapping[str, float]
    aim: Array | None
    """The state (n_x,) that the goal asks for at the time of the measurement, if there is one."""


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
        system = with_joint_names(system, values['joints'])
        anywhere = replace(placement, frame_id='')  # `GoalFrames` has seen to it
        _, make_goal = GOAL_TYPES[values['goal_type']]
        _, make_reference = REFERENCE_TYPES[values['reference_type']]
        return cls(
            make_goal(system, anywhere),
            make_reference(system, anywhere),
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
        goal: (n_x,), holds until one arrives; None to stay where the plant is.
        limits: what goals and all points of references must lie in, at any time.
        frames: bring goals and references to the frame of the states.
        on_refusal: called with the topic and the reason when one is refused.

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
        goal: Array | None,
        limits: Callable[[], StateBox],
        frames: GoalFrames,
        on_refusal: Callable[[str, RejectedInput], None],
    ) -> None:
        self._node = node
        self._controller = controller
        self.system = controller.system
        self.frames = frames
        """Bring goals to the frame of the states."""
        self._clock = clock
        self._limits = limits
        self._on_refusal = on_refusal
        self._refusal = ''
        self._delay = values['input_delay']
        self._frame = frame_of(self.system, placement_of(values))
        self._goal: tuple[Goal | None, float | None] = (goal, None)
        self._stays = goal is None
        self._throttled = ThrottledLog(node.get_logger().warning)
        self._make_inputs(Readers.of(values, self.system), stamp_clock)
        self._subscribe(values)

    def _make_inputs(self, readers: Readers, stamp_clock: Callable[[], float]) -> None:
        """Makes what keeps the newest valid message of each topic."""

        def reference(message: Any) -> ReferenceTrack:
            return readers.reference(message, stamp_clock())

        def parameters(message: Any) -> Parameters:
            given = readers.parameters(message, self._parameters.latest, stamp_clock())
            require_adjustable(self._controller)
            return given

        self._goals = self._goal_input('goal', lambda m: self._accept(m, readers.goal))
        self._references = self._goal_input('reference', lambda m: self._accept(m, reference))
        self._orders = self._goal_input(
            'go_to',
            lambda message, read: self._accept(message, lambda m: read(m, stamp_clock())),
        )
        warn = self._node.get_logger().warning
        log = RejectionLog('parameters', warn)
        self._parameters = Input[Parameters](parameters, log, readers.initial_parameters)

    def _goal_input(
        self, topic: str, read: Callable[..., tuple[Goal, float]]
    ) -> Input[tuple[Goal | None, float | None]]:
        """Makes an input of goals, whose refusals are also told to `on_refusal`."""
        log = RejectionLog(topic, self._node.get_logger().warning)

        def refuse(rejection: RejectedInput) -> None:
            log(rejection)
            self._refusal = str(rejection)
            self._on_refusal(topic, rejection)

        return Input(read, refuse, self._goal)

    def _accept(self, message: Any, read: Callable[[Any], Goal]) -> tuple[Goal, float]:
        """The goal of a message and the time of its arrival; raises a `RejectedInput`."""
        goal = within(self._limits(), read(self.frames.at_home(message)))
        if isinstance(goal, ReferenceTrack):
            require_adjustable(self._controller)
        return goal, self._clock()

    def _subscribe(self, values: Mapping[str, Any]) -> None:
        goal_kind, _ = GOAL_TYPES[values['goal_type']]
        reference_kind, _ = REFERENCE_TYPES[values['reference_type']]
        parameters_kind = PARAMETER_TYPES[values['parameters_type']].kind
        topics = (
            (goal_kind, 'goal', self._take_goal),
            (reference_kind, '~/reference', self._take_reference),
            (parameters_kind, '~/parameters', self._take_parameters),
        )
        self._subscriptions = [
            self._node.create_subscription(
                kind, name, take, qos_of(self._node, SUBSCRIPTION, name, RELIABLE)
            )
            for kind, name, take in topics
        ]

    @property
    def inputs(self) -> dict[str, Input[Any]]:
        """The inputs by topic, for diagnostics."""
        return {
            'goal': self._goals,
            'reference': self._references,
            'go_to': self._orders,
            'parameters': self._parameters,
        }

    @property
    def goal(self) -> Goal | None:
        """What holds, the same object until there is another one; None to stay."""
        return self._goal[0]

    @property
    def follows(self) -> str:
        """Whether a 'goal' or a 'reference' holds, or the plant stays where it is: 'hold'."""
        goal, _ = self._goal
        if goal is None:
            return 'hold'
        return 'reference' if isinstance(goal, ReferenceTrack) else 'goal'

    def order(self, message: Any, read: Callable[[Any, float], Goal]) -> str:
        """Takes the goal of an action.

        Args:
            message: a pose or a trajectory.
            read: makes the goal of it and the time.

        Returns:
            Why it is refused; '' if it holds from now on.
        """
        if not self._orders.take(message, read):
            return self._refusal
        self._goal = self._orders.latest
        return ''

    def stay(self, x: Array) -> bool:
        """Sends the plant to the state at rest nearest to x (n_x,); whether there is one."""
        rest = resting_state(self.system, x)
        if rest is not None:
            self._goal = (rest, None)
        return rest is not None

    def forget_goal(self) -> None:
        """Forgets the goal where the plant stays without one; a stated one goes on.

        A flight that begins anew must not set off to where an earlier one was sent.
        """
        if self._stays:
            self._goal = (None, None)

    def at(self, measurement: Measurement | None, stamp: Time) -> Instructions:
        """The instructions for a cycle that starts from a measurement, stamped so."""
        goal, goal_time = self._goal
        if measurement is None:
            return Instructions(goal, goal_time, {}, _aim(goal, 0.0))
        seconds = seconds_of(stamp)
        if isinstance(goal, ReferenceTrack):
            goal = goal.later(self.lead(measurement, stamp))
        elif isinstance(goal, np.ndarray):
            goal = self._frame.attitude.towards(goal, measurement.x)
        near, _ = self._frame.pose(measurement.x)
        parameters = self._parameters.latest.at(seconds + self._delay, near)
        return Instructions(goal, goal_time, parameters, _aim(goal, measurement.time))

    def lead(self, measurement: Measurement | None, stamp: Time) -> float:
        """Seconds by which the clock of measurements is ahead of that of references."""
        return 0.0 if measurement is None else measurement.time - seconds_of(stamp)

    def close(self) -> None:
        """Closes the topics."""
        self.frames.close()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _take_goal(self, message: Any) -> None:
        self.frames.when_known(message, self._use_goal)

    def _use_goal(self, message: Any) -> None:
        if self._goals.take(message):
            self._goal = self._goals.latest

    def _take_reference(self, message: Any) -> None:
        self.frames.when_known(message, self._use_reference)

    def _use_reference(self, message: Any) -> None:
        if self._references.take(message):
            self._goal = self._references.latest

    def _take_parameters(self, message: Any) -> None:
        if self._parameters.take(message):
            warn_of_surplus(self._throttled, self._parameters.latest)


def _aim(goal: Goal | None, time: float) -> Array | None:
    return None if goal is None else state_at(goal, time)


def within(limits: StateBox, goal: Goal) -> Goal:
    """Passes a goal on.

    Raises:
        RejectedInput: if it, or a point of the reference, lies outside of the limits.
    """
    states = goal.states if isinstance(goal, ReferenceTrack) else goal
    if reason := out_of_range(limits, states):
        raise RejectedInput('out_of_range', reason)
    return goal


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
