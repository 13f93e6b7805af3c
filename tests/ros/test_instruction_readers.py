"""References and parameters are read from messages, and nothing broken comes through."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from sensor_msgs.msg import JointState
from test_tracking import circle, stamp, trajectory
from visualization_msgs.msg import Marker, MarkerArray

from trc_core import get_system
from trc_core.flight.obstacles import Numbers, ObstacleField
from trc_core.systems.bicycle_circles import bicycle_circles
from trc_ros.controller.instruction_input import Readers, require_adjustable
from trc_ros.controller.live_settings import LiveSettings
from trc_ros.conversions import (
    JointTrajectoryReader,
    NumberReader,
    ObstacleReader,
    PathReader,
    Placement,
    RejectedInput,
)
from trc_ros.parameters.table import specs_of

QUADROTOR = get_system('quadrotor_2d')
HERE = (0.0, 0.0, 0.0)


def refused(reason, read, *args):
    with pytest.raises(RejectedInput) as refusal:
        read(*args)
    assert refusal.value.reason == reason
    assert '\n' not in str(refusal.value)


def test_a_trajectory_names_its_joints_in_any_order():
    q, v = np.arange(6.0).reshape(2, 3), 10.0 + np.arange(6.0).reshape(2, 3)
    message = trajectory(['tilt', 'y', 'z'], [0.5, 1.5], q, v, begin=20.0)
    track = JointTrajectoryReader(QUADROTOR)(message, 0.0)
    assert track.times.tolist() == [20.5, 21.5]
    assert track.states.tolist() == [[1, 2, 0, 11, 12, 10], [4, 5, 3, 14, 15, 13]]


def test_a_trajectory_without_a_stamp_begins_on_arrival_and_may_leave_out_velocities():
    message = trajectory(['slider'], [0.0, 2.0, 4.0], [[0.0], [4.0], [16.0]])
    read = JointTrajectoryReader(get_system('double_integrator'))
    track = read(message, 7.0)
    assert track.times.tolist() == [7.0, 9.0, 11.0]
    np.testing.assert_allclose(track.states[:, 1], [0.0, 4.0, 8.0], atol=1e-12)  # of t^2
    refused('stamp', read, message, 0.0)


def test_coordinates_of_no_joint_travel_as_positions():
    names = ['speed', 'x', 'y', 'heading', 'steering']
    message = trajectory(names, [1.0, 2.0], np.arange(10.0).reshape(2, 5))
    track = JointTrajectoryReader(bicycle_circles)(message, 1.0)
    assert track.states[0].tolist() == [1, 2, 3, 0, 4]


def path_of(*poses, frame_id='map'):
    """A Path of (time, y, z, roll)."""
    path = Path()
    path.header.frame_id = frame_id
    for time, y, z, roll in poses:
        pose = PoseStamped()
        pose.header.stamp = stamp(time)
        pose.pose.position.y, pose.pose.position.z = y, z
        pose.pose.orientation.x, pose.pose.orientation.w = math.sin(roll / 2), math.cos(roll / 2)
        path.poses.append(pose)
    return path


def test_a_path_turns_on_and_its_velocities_are_differences():
    poses = [(t, 2.0 * t, 1.0, 3.0 + 0.2 * t) for t in (10.0, 10.5, 11.0, 12.0)]
    track = PathReader(QUADROTOR, Placement(frame_id='map'))(path_of(*poses), 10.0)
    np.testing.assert_allclose(track.states[:, 3:], [[2.0, 0.0, 0.2]] * 4, atol=1e-9)
    read = PathReader(QUADROTOR, Placement(frame_id='map'))
    refused('frame', read, path_of(*poses, frame_id='odom'), 10.0)
    refused('one_point', read, path_of(poses[0]), 0.0)
    refused('one_point', read, path_of(), 0.0)
    refused('out_of_order', read, path_of(poses[1], poses[0]), 0.0)
    refused('past', read, path_of(*poses), 12.5)
    refused('not_finite', read, path_of((1.0, math.nan, 0.0, 0.0), *poses), 0.0)


def test_numbers_are_merged_by_name_or_refused_as_a_whole():
    read = NumberReader(get_system('pendulum'))
    first = read(JointState(name=['damping'], position=[0.3]), Numbers(), 0.0)
    both = read(JointState(name=['gravity'], position=[3.7]), first, 0.0)
    assert both.at(0.0, HERE) == {'damping': 0.3, 'gravity': 3.7}
    for reason, names, numbers in (
        ('unknown_name', ['damping', 'mass'], [0.3, 1.0]),
        ('duplicate_name', ['damping', 'damping'], [0.3, 0.3]),
        ('wrong_size', ['damping'], []),
        ('not_finite', ['damping'], [math.inf]),
    ):
        refused(reason, read, JointState(name=names, position=numbers), first, 0.0)


def test_cylinders_and_spheres_are_obstacles_and_other_markers_are_not():
    read, none = ObstacleReader(bicycle_circles), ObstacleField(bicycle_circles)
    text = circle(0, 9.0, 9.0, 1.0, kind=Marker.TEXT_VIEW_FACING)
    ball = circle(5, 4.0, 1.0, 0.4, kind=Marker.SPHERE)
    field = read(MarkerArray(markers=[text, ball, circle(2, 3.0, 0.0, 0.6)]), none, 1.0)
    found = field.at(1.0, HERE)
    assert [found[f'{name}1'] for name in ('x', 'y', 'r')] == [3.0, 0.0, 0.6]
    assert [found[f'{name}2'] for name in ('x', 'y', 'r')] == [4.0, 1.0, 0.4]
    assert found['x3'] == 1e4
    gone = read(MarkerArray(markers=[circle(2, 0.0, 0.0, 0.0, action=Marker.DELETE)]), field, 2.0)
    assert gone.at(1.0, HERE)['x1'] == 4.0
    all_gone = MarkerArray(markers=[circle(0, 0.0, 0.0, 0.0, action=Marker.DELETEALL)])
    assert read(all_gone, field, 2.0).at(1.0, HERE)['x1'] == 1e4
    refused('no_obstacle', read, MarkerArray(markers=[text]), none, 1.0)
    refused('wrong_size', read, MarkerArray(markers=[circle(1, 0.0, 0.0, 0.0)]), none, 1.0)
    refused('not_finite', read, MarkerArray(markers=[circle(1, math.nan, 0, 1.0)]), none, 1.0)
    placed = ObstacleReader(bicycle_circles, Placement(frame_id='map'))
    refused('frame', placed, MarkerArray(markers=[ball]), none, 1.0)


def test_a_marker_that_comes_again_has_moved():
    read, field = ObstacleReader(bicycle_circles), ObstacleField(bicycle_circles)
    for time, x in ((1.0, 3.0), (1.5, 2.8)):
        field = read(MarkerArray(markers=[circle(1, x, 0.0, 0.5, time)]), field, 9.0)
    found = field.at(2.5, HERE)
    assert (found['x1'], found['vx1']) == (pytest.approx(2.4), pytest.approx(-0.4))


def test_a_backend_with_fixed_parameters_says_which_one_to_take():
    fixed = SimpleNamespace(system=QUADROTOR, adjustable=False, backend='torch')
    refused('fixed', require_adjustable, fixed)
    values = {name: spec.default for name, spec in specs_of('controller').items()}
    assert LiveSettings.from_parameters(values, fixed).settings.weights == {}
    with pytest.raises(ValueError, match=r"leave weights\.\* out, or set backend to 'numba'"):
        LiveSettings.from_parameters({**values, 'weights.R': [1.0, 1.0]}, fixed)


def test_obstacles_for_a_system_that_declares_none_are_refused_before_the_flight():
    values = {name: spec.default for name, spec in specs_of('controller').items()}
    with pytest.raises(ValueError, match='declares no obstacles'):
        Readers.of({**values, 'parameters_type': 'MarkerArray'}, QUADROTOR)
    Readers.of(values, QUADROTOR)
