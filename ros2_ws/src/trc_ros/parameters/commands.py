"""The parameters of both nodes about messages on `command`."""

from __future__ import annotations

from trc_ros.conversions import COMMAND_TYPES
from trc_ros.parameters.specs import BOTH, Spec

COMMAND_SPECS = (
    Spec(
        'command_type',
        'Float64MultiArray',
        "Message type on 'command'. AckermannDriveStamped needs the package ackermann_msgs, "
        'MultiDOFCommand and JointJog need control_msgs.',
        BOTH,
        choices=tuple(COMMAND_TYPES),
    ),
    Spec(
        'command_axes',
        (),
        'Axis of every control in a Twist or Wrench: x, y, z (linear, force), roll, pitch, yaw '
        '(angular, torque); in an AckermannDriveStamped one of its fields: steering_angle, '
        'steering_angle_velocity, speed, acceleration, jerk.',
        BOTH,
        items=str,
    ),
    Spec(
        'command_scale',
        (),
        'Factor of every control: command_scale * control + command_offset is published. If '
        'empty, ones.',
        BOTH,
    ),
    Spec(
        'command_offset',
        (),
        'Offset of every control, in the unit that is published. If empty, zeros.',
        BOTH,
    ),
    Spec(
        'command_frame_id',
        '',
        "frame_id of messages on 'command' that have a header, such as base_link.",
        BOTH,
    ),
)
