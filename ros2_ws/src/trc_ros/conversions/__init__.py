"""Conversions between messages and vectors: no other module knows the layout of a message."""

from trc_ros.conversions.actions import (
    FAILED,
    PACKAGES,
    REACHED,
    REFUSED,
    Action,
    find_action,
)
from trc_ros.conversions.axes import (
    Axis,
    axes_of,
    is_one_to_one,
    joints_of,
    with_joint_names,
)
from trc_ros.conversions.bodies import frame_of
from trc_ros.conversions.command_format import COMMAND_TYPES, CommandFormat
from trc_ros.conversions.commands import command_reader, command_writer
from trc_ros.conversions.frames import frame_id_of, has_poses, moved
from trc_ros.conversions.inputs import (
    GOAL_TYPES,
    STATE_TYPES,
    PartReader,
    Reader,
    part_reader,
    rest_of_state,
)
from trc_ros.conversions.joint_parts import JointPartReader
from trc_ros.conversions.obstacle_writers import obstacle_markers
from trc_ros.conversions.parameter_readers import (
    PARAMETER_TYPES,
    NumberReader,
    ObstacleReader,
    ParameterReader,
)
from trc_ros.conversions.pose_readers import OdometryReader, PoseReader
from trc_ros.conversions.poses import ANYWHERE, Placement
from trc_ros.conversions.readers import ArrayReader, JointStateReader
from trc_ros.conversions.reference_readers import (
    REFERENCE_TYPES,
    JointTrajectoryReader,
    PathReader,
    ReferenceReader,
)
from trc_ros.conversions.rejection import PassedOver, RejectedInput
from trc_ros.conversions.serialized_states import deserializer
from trc_ros.conversions.stamps import later, own_stamp, seconds_of, stamp_at
from trc_ros.conversions.status import Status, diagnostic_array
from trc_ros.conversions.trajectories import (
    ControlHorizonWriter,
    HorizonWriter,
    JointTrajectoryWriter,
    StampedCommandWriter,
)
from trc_ros.conversions.visualization import MarkersWriter, PathWriter
from trc_ros.conversions.writers import JointStateWriter

__all__ = [
    'ANYWHERE',
    'COMMAND_TYPES',
    'FAILED',
    'GOAL_TYPES',
    'PACKAGES',
    'PARAMETER_TYPES',
    'REACHED',
    'REFERENCE_TYPES',
    'REFUSED',
    'STATE_TYPES',
    'Action',
    'ArrayReader',
    'Axis',
    'CommandFormat',
    'ControlHorizonWriter',
    'HorizonWriter',
    'JointPartReader',
    'JointStateReader',
    'JointStateWriter',
    'JointTrajectoryReader',
    'JointTrajectoryWriter',
    'MarkersWriter',
    'NumberReader',
    'ObstacleReader',
    'OdometryReader',
    'ParameterReader',
    'PartReader',
    'PassedOver',
    'PathReader',
    'PathWriter',
    'Placement',
    'PoseReader',
    'Reader',
    'ReferenceReader',
    'RejectedInput',
    'StampedCommandWriter',
    'Status',
    'axes_of',
    'command_reader',
    'command_writer',
    'deserializer',
    'diagnostic_array',
    'find_action',
    'frame_id_of',
    'frame_of',
    'has_poses',
    'is_one_to_one',
    'joints_of',
    'later',
    'moved',
    'obstacle_markers',
    'own_stamp',
    'part_reader',
    'rest_of_state',
    'seconds_of',
    'stamp_at',
    'with_joint_names',
]
