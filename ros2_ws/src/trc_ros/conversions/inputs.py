"""Message types of states and goals, and their readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from trc_core.flight.assembly import StatePart
from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.conversions.joint_parts import JointPartReader
from trc_ros.conversions.pose_readers import OdometryReader, PoseReader
from trc_ros.conversions.poses import ANYWHERE, Placement, coordinates_of_no_joint
from trc_ros.conversions.readers import ArrayReader, JointStateReader

Reader = Callable[[Any], Array]
ReaderMaker = Callable[..., Reader]  # of a system and its placement
PartReader = Callable[[Any], StatePart]


def _state_of_joints(system: System, placement: Placement = ANYWHERE) -> Reader:
    return JointStateReader(system)


def _goal_of_joints(system: System, placement: Placement = ANYWHERE) -> Reader:
    return JointStateReader(system, complete=False)


def _array(system: System, placement: Placement = ANYWHERE) -> Reader:
    return ArrayReader(system.state_names)


STATE_TYPES: dict[str, tuple[type, ReaderMaker]] = {
    'JointState': (JointState, _state_of_joints),
    'Odometry': (Odometry, OdometryReader),
    'Float64MultiArray': (Float64MultiArray, _array),
}
"""Message type and reader for every value of `state_type`."""
GOAL_TYPES: dict[str, tuple[type, ReaderMaker]] = {
    'JointState': (JointState, _goal_of_joints),
    'PoseStamped': (PoseStamped, PoseReader),
    'Float64MultiArray': (Float64MultiArray, _array),
}
"""Message type and reader for every value of `goal_type`."""


class WholeReader:
    """Reads messages that hold a whole state, or all of it that they can.

    Args:
        read: the state (n_x,) of a message.
        system: whose state it is.
        missing: names of the coordinates that it cannot hold.
    """

    def __init__(
        self, read: Callable[[Any], Any], system: System, missing: Sequence[str] = ()
    ) -> None:
        self._read = read
        names = system.state_names
        self._places = tuple(i for i, name in enumerate(names) if name not in missing)

    def __call__(self, message: Any) -> StatePart:
        """The state of a message; raises as its reader does."""
        return StatePart(self._read(message), self._places)


class OdometryAndRest:
    """Reads states of which an Odometry holds one part, and JointStates the coordinates beside."""

    def __init__(self, odometry: PartReader, rest: PartReader) -> None:
        self._odometry, self._rest = odometry, rest

    def __call__(self, message: Any) -> StatePart:
        """The part that a message holds; raises as its reader does."""
        return (self._odometry if isinstance(message, Odometry) else self._rest)(message)


def rest_of_state(state_type: str, system: System) -> list[str]:
    """Names of the coordinates that messages of a type cannot hold; another topic has them.

    A mass has no place in an Odometry.
    """
    return coordinates_of_no_joint(system) if state_type == 'Odometry' else []


def part_reader(
    state_type: str,
    system: System,
    placement: Placement = ANYWHERE,
    differentiates: bool = False,
    notice: Callable[[str], Any] = lambda line: None,
) -> PartReader:
    """The reader of states of a message type.

    Raises:
        ValueError: if it cannot carry them, or the placement does not fit the system.
    """
    if state_type == 'JointState':
        return JointPartReader(system, differentiates, notice)
    _, make_reader = STATE_TYPES[state_type]
    missing = rest_of_state(state_type, system)
    whole = WholeReader(make_reader(system, placement), system, missing)
    return OdometryAndRest(whole, JointPartReader(system, notice=notice)) if missing else whole
