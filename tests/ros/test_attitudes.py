"""Full attitudes mean what SciPy's rotations say, and go on without a jump past half a turn."""

import math
from dataclasses import replace
from pathlib import Path as File

import numpy as np
import pytest

pytest.importorskip('rclpy')

from free_flyer import AXES, MRP, free_flyer
from geometry_msgs.msg import Point, PoseStamped, Quaternion, Vector3
from hypothesis import assume, given
from hypothesis import strategies as st
from nav_msgs.msg import Odometry, Path
from scipy.spatial.transform import Rotation
from trajectory_msgs.msg import JointTrajectory

from trc_core import get_system
from trc_core.numerics.plan import Plan
from trc_ros.conversions import (
    OdometryReader,
    PathReader,
    PathWriter,
    Placement,
    PoseReader,
    RejectedInput,
)
from trc_ros.conversions.poses import BodyFrame

EULER, PQR = ('roll', 'pitch', 'yaw'), ('roll_p', 'pitch_q', 'yaw_r')
TWO_SETS = (EULER, PQR, MRP)
numbers = st.floats(-10.0, 10.0)
vectors = st.tuples(numbers, numbers, numbers)
units = st.tuples(*[st.floats(-1.0, 1.0)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)


def placed(turns):
    return Placement((*AXES, *turns))


def coordinates_of(turns, R):
    """By SciPy: 4 tan(phi / 4) e, or angles about z, then y, then x."""
    if turns is MRP:
        return 4.0 * R.as_mrp()
    yaw, pitch, roll = R.as_euler('ZYX')
    return np.array([roll, pitch, yaw])


def pose_of(R, position=(0.0, 0.0, 0.0)):
    message = PoseStamped()
    message.pose.position = Point(**dict(zip('xyz', map(float, position), strict=True)))
    message.pose.orientation = Quaternion(**dict(zip('xyzw', R.as_quat().tolist(), strict=True)))
    return message


def odometry(R, position=(0, 0, 0), velocity=(0, 0, 0), angular=(0, 0, 0)):
    """`velocity` is in the fixed frame, `angular` in that of the body."""
    message = Odometry()
    message.pose.pose = pose_of(R, position).pose
    twist = message.twist.twist
    for name, vector in (('linear', R.inv().apply(velocity)), ('angular', angular)):
        setattr(twist, name, Vector3(**dict(zip('xyz', map(float, vector), strict=True))))
    return message


def same(one, other):
    return (one * other.inv()).magnitude()


@pytest.mark.parametrize('turns', TWO_SETS, ids=lambda turns: turns[0])
@given(q=units, position=vectors, velocity=vectors, angular=vectors)
def test_an_odometry_is_read_as_scipy_turns_it(turns, q, position, velocity, angular):
    R = Rotation.from_quat(q)
    assume(abs(math.cos(R.as_euler('ZYX')[1])) > 0.01 or turns is MRP)
    assume(R.magnitude() < 3.14)
    x = OdometryReader(free_flyer, placed(turns))(odometry(R, position, velocity, angular))
    np.testing.assert_allclose(x[:3], position, atol=1e-12)
    apart = [math.remainder(d, math.tau) for d in x[3:6] - coordinates_of(turns, R)]
    np.testing.assert_allclose(apart, [0.0] * 3, atol=1e-6)
    np.testing.assert_allclose(x[6:9], velocity, atol=1e-9)
    if turns is not EULER:
        np.testing.assert_allclose(x[9:], angular, atol=1e-12)
        return
    # Rates of the angles: where they lead in a moment.
    h = 1e-7
    ahead = coordinates_of(turns, R * Rotation.from_rotvec(h * np.array(angular)))
    back = coordinates_of(turns, R * Rotation.from_rotvec(-h * np.array(angular)))
    slope = [math.remainder(d, math.tau) / (2 * h) for d in ahead - back]
    np.testing.assert_allclose(x[9:], slope, rtol=1e-3, atol=1e-3 / math.cos(x[4]) ** 2)


def test_the_shipped_quadrotor_reads_an_odometry_without_a_setting():
    R, position = Rotation.from_rotvec([0.4, -1.0, 0.3]), (1.0, -2.0, 3.0)
    message = odometry(R, position, (0.5, -0.4, 0.3), (1.0, 2.0, -3.0))
    x = OdometryReader(get_system('quadrotor'), Placement())(message)
    known = [*position, *4.0 * R.as_mrp(), 0.5, -0.4, 0.3, 1.0, 2.0, -3.0]
    np.testing.assert_allclose(x, known, atol=1e-12)


@given(a=st.tuples(*[st.floats(-9.0, 9.0)] * 3))
def test_a_pose_turns_as_the_matrix_of_the_parameters_does(a):
    q = np.array(a) / 4.0
    s, skew = q @ q, np.cross(np.eye(3), q)
    R = np.eye(3) + (8 * skew @ skew + 4 * (1 - s) * skew) / (1 + s) ** 2
    x = np.array([*[0.0] * 3, *a, *[0.0] * 6])
    _, orientation = BodyFrame(free_flyer, placed(MRP).axes).pose(x.tolist())
    np.testing.assert_allclose(Rotation.from_quat(orientation).as_matrix(), R, atol=1e-9)


@pytest.mark.parametrize('turns', TWO_SETS, ids=lambda turns: turns[0])
@given(q=units, position=vectors)
def test_an_attitude_survives_the_way_through_a_pose(turns, q, position):
    R = Rotation.from_quat(q)
    x = PoseReader(free_flyer, placed(turns))(pose_of(R, position))
    assert not x[6:].any()
    plan = Plan(np.zeros((20, 6)), np.tile(x, (21, 1)), 0.0, 'test')
    poses = PathWriter(free_flyer, placed(turns))(plan, pose_of(R).header.stamp).poses
    found = poses[-1].pose
    np.testing.assert_allclose([found.position.x, found.position.z], np.array(position)[[0, 2]])
    o = found.orientation
    assert same(Rotation.from_quat([o.x, o.y, o.z, o.w]), R) < 1e-6


@pytest.mark.parametrize('sign', [1.0, -1.0])
@pytest.mark.parametrize('turns', TWO_SETS, ids=lambda turns: turns[0])
def test_both_quaternions_of_an_attitude_are_read_alike(turns, sign):
    R = Rotation.from_rotvec([0.5, -1.0, 2.0])
    message = odometry(R)
    o = message.pose.pose.orientation
    for name, value in zip('xyzw', R.as_quat(), strict=True):
        setattr(o, name, sign * float(value))
    x = OdometryReader(free_flyer, placed(turns))(message)
    np.testing.assert_allclose(x[3:6], coordinates_of(turns, R), atol=1e-12)


@pytest.mark.parametrize('axis', [(1.0, 0.0, 0.0), (0.6, -0.48, 0.64)])
def test_parameters_go_on_past_half_a_turn_and_come_back_before_a_whole_one(axis):
    read, states = OdometryReader(free_flyer, placed(MRP)), []
    angles = np.radians(np.arange(0.0, 720.0, 2.0))
    for angle in angles:
        R = Rotation.from_rotvec(angle * np.array(axis))
        states.append(read(odometry(R))[3:6])
        assert same(Rotation.from_mrp(states[-1] / 4.0), R) < 1e-6
    jumps = np.linalg.norm(np.diff(states, axis=0), axis=1) > 1.0
    np.testing.assert_array_equal(np.degrees(angles[1:][jumps]), [272.0, 632.0])
    lengths = np.linalg.norm(states, axis=1)
    assert lengths.max() < 4.0 * math.tan(math.radians(270.1) / 4)


def test_a_shaking_attitude_at_half_a_turn_does_not_jump():
    read, states = OdometryReader(free_flyer, placed(MRP)), []
    for k in range(40):
        angle = math.pi + 0.05 * (-1) ** k
        states.append(read(odometry(Rotation.from_rotvec([0.0, angle, 0.0])))[4])
    assert np.ptp(states) < 0.3


def test_angles_go_on_past_the_vertical_without_half_turns_of_roll_and_yaw():
    read, states = OdometryReader(free_flyer, placed(PQR)), []
    for angle in np.radians(np.arange(0.0, 360.0, 2.0)):
        R = Rotation.from_euler('Z', 0.4) * Rotation.from_euler('Y', angle)
        states.append(read(odometry(R))[3:6])
    states = np.unwrap(states, axis=0)
    np.testing.assert_allclose(states[:, [0, 2]], [[0.0, 0.4]] * len(states), atol=1e-7)
    np.testing.assert_allclose(np.degrees(states[:, 1]), np.arange(0.0, 360.0, 2.0), atol=1e-5)


@pytest.mark.parametrize('pitch', [math.pi / 2, -math.pi / 2])
def test_upright_there_are_no_rates_of_roll_and_yaw_but_an_attitude(pitch):
    R = Rotation.from_euler('ZYX', [0.7, pitch, 0.0])
    x = PoseReader(free_flyer, placed(EULER))(pose_of(R))
    np.testing.assert_allclose(x[3:6], [0.0, pitch, 0.7], atol=1e-7)
    with pytest.raises(RejectedInput, match='no rates') as error:
        OdometryReader(free_flyer, placed(EULER))(odometry(R))
    assert error.value.reason == 'off_plane'


def test_a_goal_is_turned_to_where_the_plant_is():
    frame = BodyFrame(free_flyer, placed(MRP).axes)
    read = PoseReader(free_flyer, placed(MRP))
    goal = read(pose_of(Rotation.from_rotvec([0.0, 0.0, math.radians(-170.0)])))
    near = np.zeros(12)
    near[5] = 4.0 * math.tan(math.radians(170.0) / 4)
    found = frame.attitude.towards(goal, near)
    np.testing.assert_allclose(found[3:6], [0, 0, 4 * math.tan(math.radians(190) / 4)], atol=1e-12)
    assert goal[5] < 0.0  # as it was
    assert frame.attitude.towards(goal, goal) is goal


@pytest.mark.parametrize('turns', TWO_SETS, ids=lambda turns: turns[0])
def test_a_path_that_turns_steadily_has_the_rates_of_its_turn(turns):
    spin, begin = np.array([0.3, -0.2, 0.9]), Rotation.from_rotvec([0.2, 0.1, -0.4])
    times, message = np.arange(0.0, 4.0, 0.01), Path()
    attitudes = [begin * Rotation.from_rotvec(spin * t) for t in times]
    for t, R in zip(times, attitudes, strict=True):
        pose = pose_of(R)
        pose.header.stamp.sec, pose.header.stamp.nanosec = int(t), round(1e9 * (t % 1.0))
        message.poses.append(pose)
    track = PathReader(free_flyer, placed(turns))(message, 0.0)
    assert np.abs(np.diff(track.states[:, 3:6], axis=0)).max() < 0.2
    found = track.states[1:-1, 9:]
    if turns is EULER:
        read = OdometryReader(free_flyer, placed(EULER))
        expected = [read(odometry(R, angular=spin))[9:] for R in attitudes[1:-1]]
    else:
        expected = [spin] * len(found)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize('turns', [('roll', 'yaw', 'mrp_x'), ('mrp_x', 'mrp_y', 'roll')])
def test_turns_that_do_not_belong_together_are_refused(turns):
    with pytest.raises(ValueError) as error:
        BodyFrame(free_flyer, (*AXES, *turns))
    assert str(error.value) == (
        f"pose_axes has {list(turns)}; an attitude is one of ['roll', 'pitch', 'yaw'], or all of "
        "['roll', 'pitch', 'yaw'], or ['roll_p', 'pitch_q', 'yaw_r'], or "
        "['mrp_x', 'mrp_y', 'mrp_z']"
    )


def test_parameters_in_radians_would_be_unwrapped_and_are_refused():
    units = list(free_flyer.state_units)
    units[3] = 'rad'
    system = replace(free_flyer, state_units=tuple(units))
    with pytest.raises(ValueError, match=r"\['turn_x'\] are modified Rodrigues parameters .* '1'"):
        BodyFrame(system, placed(MRP).axes)


def test_a_body_in_space_flies_from_an_odometry_to_a_pose_over_dds(start, make_probe, namespace):
    probe = make_probe(namespace, goal_kind=PoseStamped)
    file = File(__file__).with_name('free_flyer.py')
    node = start(
        'controller',
        *('-r', f'__ns:={namespace}', '-p', f'system:={file}', '-p', 'model_path:=classical'),
        *('-p', 'state_type:=Odometry', '-p', 'goal_type:=PoseStamped'),
        *('-p', f'pose_axes:={list(placed(MRP).axes)}', '-p', 'controller_frequency:=5.0'),
        *('-p', 'warmup_iterations:=0', '-p', 'state_timeout:=20.0'),
    )
    probe.meet(node, 'state')
    paths = probe.listen(Path, 'controller/predicted_path')
    horizons = probe.listen(JointTrajectory, 'controller/horizon')
    goal = Rotation.from_rotvec([0.0, 0.0, 0.5])
    probe.publish_goal(pose_of(goal, (0.5, 0.0, -0.5)))
    R, velocity, angular = (
        Rotation.from_rotvec([0.3, -0.9, 0.4]),
        (0.3, 0.0, -0.2),
        (0.1, 0.2, -0.3),
    )
    message = odometry(R, (0.1, 0.2, 0.3), velocity, angular)

    def ends_near_goal():
        probe.publish_state(message)
        return bool(paths and horizons) and same(turn_of(paths[-1].poses[-1]), goal) < 0.3

    probe.require(ends_near_goal, 'a path to the goal', 60.0)
    first, point = paths[-1].poses[0], horizons[-1].points[0]
    assert same(turn_of(first), R) < 1e-9
    np.testing.assert_allclose(point.positions, [0.1, 0.2, 0.3, *(4.0 * R.as_mrp())], atol=1e-9)
    np.testing.assert_allclose(point.velocities, [*velocity, *angular], atol=1e-9)


def turn_of(pose):
    o = pose.pose.orientation
    return Rotation.from_quat([o.x, o.y, o.z, o.w])
