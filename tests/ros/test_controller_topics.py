"""The controller's other topics, over DDS: poses in; actuators, trajectories and pictures out."""

import math

import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry, Path
from probe import arguments
from test_live_parameters import change
from trajectory_msgs.msg import JointTrajectory
from trajectory_rules import nanoseconds, refusal
from visualization_msgs.msg import MarkerArray

from trc_core import get_system

PATIENCE = 30.0  # [s] on a loaded machine
QUADROTOR = get_system('quadrotor_2d')
# Without the compiler, which takes half a minute per system; and with time for that.
PLAIN = (
    *('-p', 'backend:=numpy', '-p', 'controller_frequency:=2.0', '-p', 'warmup_iterations:=0'),
    *('-p', 'refinement_cycles:=0', '-p', 'state_timeout:=20.0'),
)


def odometry_of(x, frame_id):
    """State x (6,) of the quadrotor, whose twist is seen from its tilted body."""
    message = Odometry()
    message.header.frame_id, message.child_frame_id = frame_id, 'base_link'
    pose, twist = message.pose.pose, message.twist.twist
    pose.position.y, pose.position.z = x[0], x[1]
    pose.orientation.x, pose.orientation.w = math.sin(x[2] / 2), math.cos(x[2] / 2)
    c, s = math.cos(x[2]), math.sin(x[2])
    twist.linear.y, twist.linear.z = c * x[3] + s * x[4], c * x[4] - s * x[3]
    twist.angular.x = x[5]
    return message


def test_a_quadrotor_flies_from_an_odometry_to_a_pose(start, make_probe, namespace):
    probe = make_probe(namespace, goal_kind=PoseStamped)
    node = start(
        'controller',
        *arguments('quadrotor_2d', namespace),
        *PLAIN,
        *('-p', 'state_type:=Odometry', '-p', 'goal_type:=PoseStamped', '-p', 'frame_id:=map'),
        *('-p', 'publish_joint_trajectory:=true'),
    )
    probe.meet(node, 'state')
    topics = {
        'control_horizon': JointTrajectory,
        'command_stamped': JointTrajectory,
        'joint_trajectory_command': JointTrajectory,
        'predicted_path': Path,
        'markers': MarkerArray,
    }
    seen = {name: probe.listen(kind, f'controller/{name}') for name, kind in topics.items()}
    probe.spin(0.3)
    goal = PoseStamped()
    goal.header.frame_id, goal.pose.position.y, goal.pose.position.z = 'map', -0.5, 0.25
    probe.publish_goal(goal)
    x = np.array([0.4, -0.2, 0.3, 0.5, -0.1, 0.2])
    probe.publish_state(odometry_of(x, 'odom'))
    probe.require(
        lambda: probe.diagnosis('inputs').get('state_rejected_frame') == '1', 'a refusal', PATIENCE
    )
    assert probe.log.command == []
    probe.publish_state(odometry_of(x, 'map'))
    probe.require(lambda: all(seen.values()), 'all topics', PATIENCE)

    horizon = probe.log.horizon[-1].message
    states = np.array([[*p.positions, *p.velocities] for p in horizon.points])
    np.testing.assert_allclose(states[0], x, atol=1e-12)
    assert abs(states[-1] - [-0.5, 0.25, 0, 0, 0, 0]).sum() < 0.5
    controls = np.array([list(p.effort) for p in seen['control_horizon'][-1].points])
    assert list(seen['control_horizon'][-1].joint_names) == ['left_thrust', 'right_thrust']
    for k in range(QUADROTOR.horizon):
        step = QUADROTOR.step(states[k], controls[k])
        np.testing.assert_allclose(states[k + 1], step, atol=1e-9)
    trajectory = seen['joint_trajectory_command'][-1]
    now = probe.node.get_clock().now().nanoseconds
    assert refusal(trajectory, ['y', 'z', 'tilt'], nanoseconds(trajectory.header.stamp)) == ''
    assert 0 <= now - nanoseconds(seen['command_stamped'][-1].header.stamp) < 1e9 * PATIENCE
    commanded = [list(received.message.data) for received in probe.log.command]
    assert all(list(m.points[0].effort) in commanded for m in seen['command_stamped'])
    path = [(p.pose.position.y, p.pose.position.z) for p in seen['predicted_path'][-1].poses]
    np.testing.assert_allclose(path, states[:, :2])
    there = [m for m in seen['markers'][-1].markers if m.ns == 'goal']
    assert (there[0].pose.position.y, there[0].pose.position.z) == (-0.5, 0.25)


def test_what_is_switched_off_stays_silent_and_may_be_switched_on(controller, probe, namespace):
    controller()
    trajectories = probe.listen(JointTrajectory, 'controller/joint_trajectory_command')
    probe.fly_until((1.0, 0.0), lambda: len(probe.log.horizon) > 20, 'horizons')
    assert trajectories == []
    assert change(probe, namespace, publish_joint_trajectory=True).successful
    probe.fly_until((1.0, 0.0), lambda: trajectories, 'a trajectory')
    stamp = nanoseconds(trajectories[-1].header.stamp)
    assert refusal(trajectories[-1], ['slider'], stamp) == ''
    names = dict(probe.node.get_topic_names_and_types())
    assert f'{namespace}/controller/control_horizon' not in names  # the effort says it all


def test_a_system_that_is_nowhere_needs_axes(start, namespace):
    node = start(
        'controller',
        *arguments('van_der_pol', namespace),
        *PLAIN,
        *('-p', 'state_type:=Odometry'),
    )
    assert node.exit_code() == 1
    assert (
        "configure failed: a pose does not say where 'van_der_pol' is: set pose_axes, "
        "one of ['x', 'y', 'z', 'roll', 'pitch', 'yaw', "
    ) in node.log()
