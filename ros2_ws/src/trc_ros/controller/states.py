"""The topic `state` of a flight: from the parameters of its node to states that can be flown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState

from trc_core import Controller, System
from trc_core.flight.assembly import StateAssembly
from trc_core.flight.ranges import StateBox
from trc_core.flight.velocity import VelocityFilter
from trc_core.planner.turns import turning_places, undeclared_angles
from trc_ros.controller.instruction_input import placement_of
from trc_ros.controller.live_settings import LiveSettings
from trc_ros.controller.measurements import (
    MeasurementReader,
    SimulatedClock,
    SimulatedMeasurementReader,
)
from trc_ros.controller.polled_subscription import JoinedSubscriptions, PolledSubscription
from trc_ros.controller.state_input import StateInput
from trc_ros.controller.state_watch import StateWatch
from trc_ros.conversions import (
    STATE_TYPES,
    PartReader,
    frame_of,
    part_reader,
    rest_of_state,
    with_joint_names,
)
from trc_ros.inputs import RejectionLog

REST = 'state_rest'  # the topic of coordinates that the messages on `state` cannot hold
DEPTH = 32  # newest messages that are kept from one cycle to the next
QOS = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)


def open_states(
    node: Node,
    controller: Controller,
    values: dict[str, Any],
    clock: Callable[[], float],
    now: Callable[[], Time],
    live: Callable[[], LiveSettings],
    trained: StateBox,
    noting: Callable[[PartReader], PartReader],
) -> tuple[StateInput, StateWatch]:
    """Subscribes to states; their input, and the watch over it.

    Args:
        node: owns the topic.
        controller: flies from the states.
        values: the parameters of the node by name.
        clock: of the flight.
        now: the time that stamps are compared with.
        live: the parameters that may change.
        trained: the states that the controller was made for.
        noting: makes a reader of states that also notes what else a message says.

    Raises:
        ValueError: if the message type cannot carry the state of the system.
    """
    kind, _ = STATE_TYPES[values['state_type']]
    topic: PolledSubscription | JoinedSubscriptions = PolledSubscription(node, kind, 'state', QOS)
    warn = node.get_logger().warning
    if rest_of_state(values['state_type'], controller.system):
        rest = PolledSubscription(node, JointState, REST, QOS)
        topic = JoinedSubscriptions(node, (topic, rest))
    measure = _measuring(node, controller.system, values, clock, now, live, noting)
    period, simulated = 1.0 / values['controller_frequency'], isinstance(clock, SimulatedClock)
    states = StateInput(topic, measure, RejectionLog('state', warn), period, simulated)
    return states, StateWatch(node, states, kind, QOS, trained, period)


def tell_undeclared_angles(system: System, logger: Any) -> None:
    """Logs which joints seem to be angles that the system does not declare."""
    for name in undeclared_angles(system):
        which = f'seems to be an angle, which {system.name} does not declare'
        logger.info(f'{name} {which}: its goals count turns')


def _measuring(
    node: Node,
    system: System,
    values: dict[str, Any],
    clock: Callable[[], float],
    now: Callable[[], Time],
    live: Callable[[], LiveSettings],
    noting: Callable[[PartReader], PartReader],
) -> MeasurementReader:
    logger = node.get_logger()
    read = noting(state_reader_of(values, system, lambda line: logger.info(f'state: {line}')))
    assembly = assembly_of(values, system)

    def limits() -> StateBox | None:
        return live().state_limits

    if isinstance(clock, SimulatedClock):
        return SimulatedMeasurementReader(read, assembly, limits, clock)
    return MeasurementReader(
        read,
        assembly,
        limits,
        now,
        lambda: live().settings.state_timeout,
        values['use_stamps'],
    )


def assembly_of(values: Mapping[str, Any], system: System) -> StateAssembly[Any]:
    """What puts the states of a system together, by the parameters of a node."""
    cutoff, gap = values['velocity_cutoff_frequency'], values['state_timeout']
    velocities = VelocityFilter(cutoff, gap, turning_places(system)) if cutoff > 0 else None
    return StateAssembly[Any](system, velocities)


def state_reader_of(
    values: dict[str, Any], system: System, notice: Callable[[str], Any] = lambda line: None
) -> PartReader:
    """The reader of states, of the message type that the parameters name.

    Args:
        values: the parameters of the node by name.
        system: the plant.
        notice: takes lines about what is not read.

    Raises:
        ValueError: if it cannot carry them, or `joints` or `pose_axes` do not fit the system.
    """
    placement, named = placement_of(values), with_joint_names(system, values['joints'])
    frame_of(named, placement)  # pictures need one that fits, whatever the message types
    differentiates = values['velocity_cutoff_frequency'] > 0
    return part_reader(values['state_type'], named, placement, differentiates, notice)
