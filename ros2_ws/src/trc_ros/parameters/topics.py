"""The parameters of the node `controller` about its topics, goals and states."""

from __future__ import annotations

from trc_ros.conversions import (
    GOAL_TYPES,
    PACKAGES,
    PARAMETER_TYPES,
    REFERENCE_TYPES,
    STATE_TYPES,
)
from trc_ros.parameters.specs import BOTH, Spec

HOLD = 'hold'
"""The `initial_goal` that is no state."""
TOPICS = (
    Spec(
        'joints',
        (),
        "Names of the joints on this robot, like 'slider=rail_joint', with the name in the model "
        'first. Messages that are read and those that are written have the names of the robot.',
        items=str,
    ),
    Spec('state_type', 'JointState', "Message type on 'state'.", choices=tuple(STATE_TYPES)),
    Spec('goal_type', 'JointState', "Message type on 'goal'.", choices=tuple(GOAL_TYPES)),
    Spec(
        'reference_type',
        'JointTrajectory',
        "Message type on '~/reference'. A reference replaces the goal.",
        choices=tuple(REFERENCE_TYPES),
    ),
    Spec(
        'parameters_type',
        'JointState',
        "Message type on '~/parameters': JointState (numbers by name) or MarkerArray "
        '(cylinders and spheres are the obstacles of the system).',
        BOTH,
        choices=tuple(PARAMETER_TYPES),
    ),
    Spec(
        'initial_goal',
        HOLD,
        'Goal until one arrives: hold (stay where the first state was, if the plant can stay '
        'there, and otherwise command nothing), or a state, one number per coordinate.',
        choices=(HOLD,),
        or_list=True,
    ),
    Spec(
        'goal_limits.min',
        (),
        'Smallest goal, one number per state; a goal or reference beyond is refused. If empty, '
        'half as far again as the boxes of the training reach.',
        live=True,
    ),
    Spec(
        'goal_limits.max',
        (),
        'Largest goal, one number per state. If empty, half as far again as the boxes of the '
        'training reach.',
        live=True,
    ),
    Spec(
        'goal_tolerance',
        (),
        'Largest error of every state with which a goal counts as reached, on ~/goal_status and '
        "for ~/go_to. If empty, the system's own.",
        live=True,
    ),
    Spec(
        'action_type',
        'auto',
        'Type of the action ~/go_to: NavigateToPose (nav2_msgs) or FollowJointTrajectory '
        '(control_msgs); auto is the first one that is installed and fits the system.',
        choices=('auto', 'none', *PACKAGES),
    ),
    Spec(
        'pose_axes',
        (),
        'Axis of every joint in a pose, for Odometry, PoseStamped, paths and markers: x, y, z; '
        'one of roll, pitch, yaw or all three; roll_p, pitch_q, yaw_r; or '
        'mrp_x, mrp_y, mrp_z. If empty, those of a shipped system.',
        items=str,
    ),
    Spec(
        'frame_id',
        '',
        'frame_id of the published headers. Odometry, PoseStamped, Path and markers in '
        'another frame are refused.',
    ),
    Spec(
        'publish_horizon',
        True,
        "Whether every accepted plan is published on '~/horizon'.",
        live=True,
    ),
    Spec(
        'publish_joint_trajectory',
        False,
        "Whether every accepted plan is also published on '~/joint_trajectory_command', as "
        'a joint_trajectory_controller accepts it.',
        live=True,
    ),
    Spec(
        'zero_final_velocity',
        True,
        "Whether plans on '~/joint_trajectory_command' end at rest, as a "
        'joint_trajectory_controller demands by default.',
    ),
    Spec(
        'exclusive_command',
        True,
        "Whether activation is refused while another node publishes 'command', and such a node "
        'is an error in the diagnostics. Set it to false where another node may command, too.',
        live=True,
    ),
    Spec('autostart', True, 'Whether the node configures and activates itself at start.'),
    Spec('diagnostics.period', 1.0, 'Time between diagnostics [s].', BOTH, bounds=(0.01, 60.0)),
)
