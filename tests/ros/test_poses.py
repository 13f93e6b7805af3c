"""Poses and twists are read as the coordinates that they are, or refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import Point, PoseStamped, Quaternion, Vector3
from hypothesis import given
from hypothesis import strategies as st
from nav_msgs.msg import Odometry

from trc_core.systems import SYSTEMS, Joint, get_system
from trc_core.systems.double_integrator import multi_axis
from trc_ros.conversions import OdometryReader, Placement, PoseReader, RejectedInput
from trc_ros.conversions.poses import POSE_WORDS, BodyFrame, pose_axes_of
from trc_ros.conversions.quaternions import rotated

QUADROTOR = get_system('quadrotor_2d')  # y, z, tilt, and their velocities
ANYWHERE = Placement()
angles = st.floats(-math.pi, math.pi, exclude_min=True)
speeds = st.floats(-10.0, 10.0)


def about(axis, angle):
    """The matrix of a turn about x, y or z."""
    c, s = math.cos(angle), math.sin(angle)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    R = np.eye(3)
    R[i, i] = R[j, j] = c
    R[i, j], R[j, i] = -s, s
    return R


def quaternion_of(R):
    """By Shepperd's method: the largest component first."""
    w2 = np.array([1 + np.trace(R), *(1 + 2 * np.diag(R) - np.trace(R))]) / 4
    k = int(np.argmax(w2))
    skew = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    sums = R + R.T
    if k == 0:
        q = np.array([w2[0], *(skew / 4)])
    else:
        q = np.array([skew[k - 1] / 4, *(sums[k - 1] / 4)])
        q[k] = w2[k]
    w, x, y, z = q / np.linalg.norm(q)
    return Quaternion(x=x, y=y, z=z, w=w)


def odometry(position=(0, 0, 0), R=None, linear=(0, 0, 0), angular=(0, 0, 0), frame_id=''):
    """`linear` and `angular` are in the frame of the body, as nav_msgs says."""
    message = Odometry()
    message.header.frame_id = frame_id
    message.pose.pose.position = Point(**dict(zip('xyz', map(float, position), strict=True)))
    if R is not None:
        message.pose.pose.orientation = quaternion_of(R)
    for name, vector in (('linear', linear), ('angular', angular)):
        numbers = dict(zip('xyz', map(float, vector), strict=True))
        setattr(message.twist.twist, name, Vector3(**numbers))
    return message


@given(tilt=angles, position=st.tuples(speeds, speeds), velocity=st.tuples(speeds, speeds))
def test_a_tilted_quadrotor_is_read_from_an_odometry(tilt, position, velocity):
    R = about(0, tilt)
    linear = R.T @ [0.0, *velocity]  # how the body sees its own velocity
    message = odometry((7.0, *position), R, linear, (0.7, 0.0, 0.0))
    x = OdometryReader(QUADROTOR, ANYWHERE)(message)
    np.testing.assert_allclose(x, [*position, tilt, *velocity, 0.7], atol=1e-9)


@given(turns=st.tuples(angles, angles, angles), vector=st.tuples(speeds, speeds, speeds))
def test_a_vector_of_the_body_is_turned_into_the_fixed_frame(turns, vector):
    R = about(2, turns[2]) @ about(1, turns[1]) @ about(0, turns[0])
    q = quaternion_of(R)
    found = rotated(vector, (q.x, q.y, q.z, q.w))
    np.testing.assert_allclose(found, R @ vector, atol=1e-8)


def test_the_thrust_of_the_quadrotor_acts_along_the_body_that_a_pose_shows():
    tilt, dt = 0.4, 1e-4
    x = QUADROTOR.step([0, 0, tilt, 0, 0, 0], [6.0, 6.0], dt)
    specific_force = np.array([0.0, *x[3:5]]) / dt + [0.0, 0.0, 9.81]
    _, orientation = BodyFrame(QUADROTOR).pose([0.0, 0.0, tilt, 0.0, 0.0, 0.0])
    up = np.array(rotated((0.0, 0.0, 1.0), orientation))
    np.testing.assert_allclose(specific_force, 12.0 * up, atol=1e-3)


@pytest.mark.parametrize('name', ['cartpole', 'cartpole_swingup'])
def test_the_pole_leans_as_its_momentum_says(name):
    system, dt, force = get_system(name), 1e-3, 10.0
    p = system.parameters

    def middle_of_pole(x):
        position, orientation = BodyFrame(system).pose(x)
        return position[0] + rotated((0.0, 0.0, p['half_length']), orientation)[0]

    xs = [np.array([0.2, 0.0, 0.5, 0.3])]
    for _ in range(2):
        xs.append(system.step(xs[-1], [force], dt))
    sums = [p['cart_mass'] * x[0] + p['pole_mass'] * middle_of_pole(x.tolist()) for x in xs]
    np.testing.assert_allclose(np.diff(sums, 2)[0] / dt**2, force, rtol=1e-3)


@pytest.mark.parametrize('name', sorted({*SYSTEMS, 'quadrotor'} - {'van_der_pol'}))
def test_a_goal_survives_the_way_through_a_pose(name):
    system, goal = get_system(name), np.zeros(get_system(name).n_x)
    for i, joint in enumerate(system.joints):
        goal[joint.position] = 0.3 - 0.2 * i
    position, orientation = BodyFrame(system).pose(goal.tolist())
    message = PoseStamped()
    message.pose.position = Point(**dict(zip('xyz', position, strict=True)))
    message.pose.orientation = Quaternion(**dict(zip('xyzw', orientation, strict=True)))
    np.testing.assert_allclose(PoseReader(system, ANYWHERE)(message), goal, atol=1e-12)


def test_what_is_typed_by_hand_is_level_and_at_rest():
    message = PoseStamped()
    message.pose.position.y = 1.0
    assert PoseReader(QUADROTOR, ANYWHERE)(message).tolist() == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_a_double_integrator_on_three_axes_is_a_point_in_space():
    read = OdometryReader(multi_axis(3), Placement(('x', 'y', 'z')))
    R = about(2, math.pi / 2)  # looks along y
    x = read(odometry((1, 2, 3), R, linear=(1, 0, 0)))
    np.testing.assert_allclose(x, [1, 2, 3, 0, 1, 0], atol=1e-12)


NAN, INF = math.nan, math.inf
REFUSED = [
    ('not_unit', {'orientation': (0, 0, 0, 0)}),
    ('not_unit', {'orientation': (0, 0, 0, 1.02)}),
    ('not_finite', {'orientation': (0, NAN, 0, 1)}),
    ('not_finite', {'orientation': (0, 0, INF, 1)}),
    ('not_finite', {'position': (0, NAN, 0)}),
    ('not_finite', {'linear': (INF, 0, 0)}),
    ('not_finite', {'angular': (NAN, 0, 0)}),
    ('off_plane', {'orientation': (0, 1, 0, 0)}),
    ('off_plane', {'R': about(2, 0.6)}),
    ('frame', {'frame_id': 'base_link'}),
    ('frame', {'frame_id': ''}),
]


@pytest.mark.parametrize(('reason', 'what'), REFUSED)
def test_a_pose_that_cannot_be_meant_is_refused(reason, what):
    read = OdometryReader(QUADROTOR, Placement(frame_id='map'))
    components, what = what.get('orientation'), {'frame_id': 'map', **what}
    what.pop('orientation', None)
    message = odometry(**what)
    if components:
        numbers = zip('xyzw', map(float, components), strict=True)
        message.pose.pose.orientation = Quaternion(**dict(numbers))
    with pytest.raises(RejectedInput) as error:
        read(message)
    assert error.value.reason == reason


def test_a_lean_out_of_the_plane_is_forgiven_while_it_is_small():
    R = about(2, 0.2) @ about(0, 0.4)
    x = OdometryReader(QUADROTOR, Placement(frame_id='map'))(odometry(R=R, frame_id='map'))
    assert x[2] == pytest.approx(0.4, abs=0.02)


MISTAKES = {
    "a pose does not say where 'van_der_pol' is: set pose_axes, one of "
    f"{list(POSE_WORDS)} for each of ['oscillator']": ('van_der_pol', ()),
    "pose_axes is ['y', 'z']; give one axis for each of ['y', 'z', 'tilt']": (
        'quadrotor_2d',
        ('y', 'z'),
    ),
    "pose_axes has ['phi']; choose from ['x', 'y', 'z', 'roll', 'pitch', 'yaw', ": (
        'quadrotor_2d',
        ('y', 'z', 'phi'),
    ),
    "pose_axes is ['y', 'y', 'roll']; no axis twice": ('quadrotor_2d', ('y', 'y', 'roll')),
    "pose_axes has ['yaw', 'roll']; an attitude is one of ['roll', 'pitch', 'yaw'], or all of": (
        'quadrotor_2d',
        ('y', 'yaw', 'roll'),
    ),
}


@pytest.mark.parametrize('message', MISTAKES)
def test_axes_that_do_not_fit_say_what_to_set(message):
    name, axes = MISTAKES[message]
    with pytest.raises(ValueError) as error:
        BodyFrame(get_system(name), axes)
    assert str(error.value).startswith(message)


def test_a_coordinate_of_no_joint_has_no_place_in_a_pose():
    system = replace(QUADROTOR, joints=(Joint('y', 0, 3), Joint('z', 1, 4), Joint('tilt', 2)))
    with pytest.raises(ValueError, match=r"cannot carry all of 'quadrotor_2d': \['tilt_rate'\]"):
        BodyFrame(system)


def test_every_shipped_system_but_the_dimensionless_one_has_axes():
    without = {name for name, system in SYSTEMS.items() if not pose_axes_of(system)}
    assert without == {'van_der_pol'}
