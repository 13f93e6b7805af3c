"""Commands of every message type mean the same control to the robot, and none is out of limits."""

import math
import sys
import types
from dataclasses import field, make_dataclass, replace

import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from geometry_msgs.msg import WrenchStamped
from hypothesis import given
from hypothesis import strategies as st
from probe import START_TIMEOUT, arguments
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from std_msgs.msg import Float64MultiArray, Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from trc_core import get_system
from trc_core.systems import Joint
from trc_ros.conversions import (
    COMMAND_TYPES,
    CommandFormat,
    RejectedInput,
    command_reader,
    command_writer,
)

QUADROTOR = get_system('quadrotor_2d')  # controls: left_thrust, right_thrust
SWAPPED = replace(QUADROTOR, joints=(Joint('a', 0, 3, 1), Joint('b', 1, 4, 0), Joint('c', 2, 5)))
STAMP, PERIOD = Time(sec=3, nanosec=5), 0.02
AXES = {
    **dict.fromkeys(['Twist', 'TwistStamped', 'WrenchStamped'], ('z', 'roll')),
    'AckermannDriveStamped': ('speed', 'steering_angle'),
}
controls = st.tuples(st.floats(-50.0, 50.0), st.floats(-50.0, 50.0))
scales = st.floats(0.01, 100.0).flatmap(lambda scale: st.sampled_from([scale, -scale]))


def message_type(name, **fields):
    """A message as its definition says, of a package that is not among the wheels."""
    return make_dataclass(name, [(k, object, field(default_factory=v)) for k, v in fields.items()])


@pytest.fixture(scope='module', autouse=True)
def installed():
    """The packages that a ROS 2 installation has and the wheels have not."""
    words = ('steering_angle', 'steering_angle_velocity', 'speed', 'acceleration', 'jerk')
    drive = message_type('AckermannDrive', **dict.fromkeys(words, float))
    joint_jog = {'joint_names': list, 'displacements': list, 'velocities': list}
    packages = {
        'ackermann_msgs': [message_type('AckermannDriveStamped', header=Header, drive=drive)],
        'control_msgs': [
            message_type('MultiDOFCommand', dof_names=list, values=list, values_dot=list),
            message_type('JointJog', header=Header, **joint_jog, duration=float),
        ],
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, kinds in packages.items():
            module = types.ModuleType(f'{name}.msg')
            for kind in kinds:
                setattr(module, kind.__name__, kind)
            patch.setitem(sys.modules, name, types.ModuleType(name))
            patch.setitem(sys.modules, f'{name}.msg', module)
        yield


def form_of(name, system=QUADROTOR, **changes):
    return CommandFormat(system, name, **{'axes': AXES.get(name, ()), **changes})


def written(form, u):
    """The message for u, after another one that it must not remember."""
    write = command_writer(form, lambda: STAMP, PERIOD)
    write(np.array([7.0, -7.0]))
    message = write(np.array(u))
    return deserialize_message(message, form.kind) if isinstance(message, bytes) else message


@pytest.mark.parametrize('name', COMMAND_TYPES)
@given(u=controls, scale=st.tuples(scales, scales), offset=controls)
def test_a_control_survives_the_way_through_every_type(name, u, scale, offset):
    form = form_of(name, scale=scale, offset=offset)
    found = command_reader(form)(written(form, u))
    np.testing.assert_allclose(found, u, atol=1e-10)


@pytest.mark.parametrize('name', COMMAND_TYPES)
def test_without_scale_and_offset_the_control_is_published_as_it_is(name):
    form = form_of(name)
    u = [0.1, -0.0]
    assert command_reader(form)(written(form, u)).tobytes() == np.array(u).tobytes()


def test_every_control_arrives_where_its_axis_says():
    u, changes = (2.0, 3.0), {'scale': (-1.0, 10.0), 'offset': (0.5, 0.0), 'frame_id': 'base'}
    twist = written(form_of('Twist', **changes), u)
    assert (twist.linear.z, twist.angular.x) == (-1.5, 30.0)
    assert (twist.linear.x, twist.linear.y, twist.angular.y, twist.angular.z) == (0.0,) * 4
    stamped = written(form_of('TwistStamped', **changes), u)
    assert (stamped.header.stamp, stamped.header.frame_id) == (STAMP, 'base')
    assert stamped.twist == twist
    wrench = written(form_of('WrenchStamped', axes=('yaw', 'y')), u).wrench
    assert (wrench.torque.z, wrench.force.y) == u
    drive = written(form_of('AckermannDriveStamped'), u).drive
    assert (drive.speed, drive.steering_angle, drive.jerk) == (2.0, 3.0, 0.0)


def test_a_trajectory_names_what_is_driven_and_is_reached_after_a_period():
    message = written(form_of('JointTrajectory', SWAPPED), (2.0, 3.0))
    assert message.joint_names == ['b', 'a']
    [point] = message.points
    assert (list(point.effort), point.time_from_start.nanosec) == ([2.0, 3.0], 20_000_000)
    assert (message.header.stamp, list(point.positions)) == (STAMP, [])


def test_lists_of_joints_are_named_too():
    assert written(form_of('MultiDOFCommand', SWAPPED), (2.0, 3.0)).dof_names == ['b', 'a']
    jog = written(form_of('JointJog'), (2.0, 3.0))
    assert jog.joint_names == ['left_thrust', 'right_thrust']
    assert (jog.duration, jog.header.stamp) == (PERIOD, STAMP)


def point(*effort):
    return JointTrajectoryPoint(effort=effort)


BROKEN = [
    ('wrong_size', Float64MultiArray(data=[1.0])),
    ('not_finite', Float64MultiArray(data=[1.0, math.nan])),
    ('wrong_size', JointTrajectory(joint_names=['a', 'b'])),
    ('wrong_size', JointTrajectory(joint_names=['a', 'b'], points=[point(1.0)])),
    ('unknown_name', JointTrajectory(joint_names=['a', 'x'], points=[point(1.0, 2.0)])),
    ('missing_name', JointTrajectory(joint_names=['a'], points=[point(1.0)])),
    ('duplicate_name', JointTrajectory(joint_names=['a', 'a'], points=[point(1.0, 2.0)])),
    ('not_finite', JointTrajectory(joint_names=['a', 'b'], points=[point(1.0, math.inf)])),
]


@pytest.mark.parametrize(('reason', 'message'), BROKEN)
def test_a_command_that_cannot_be_meant_is_refused(reason, message):
    with pytest.raises(RejectedInput) as error:
        command_reader(form_of(type(message).__name__, SWAPPED))(message)
    assert error.value.reason == reason


def test_only_the_fields_that_count_must_be_finite():
    read, message = command_reader(form_of('WrenchStamped')), WrenchStamped()
    message.wrench.force.x = math.nan
    assert read(message).tolist() == [0.0, 0.0]
    message.wrench.force.z = math.inf
    with pytest.raises(RejectedInput, match='not_finite'):
        read(message)


WORDS = "['x', 'y', 'z', 'roll', 'pitch', 'yaw']"
NAMES = "['left_thrust', 'right_thrust']"
MISTAKES = {
    f"the command_type 'Twist' needs command_axes, one of {WORDS} for each of {NAMES}": {
        'type_name': 'Twist'
    },
    f"command_axes has ['speed']; choose from {WORDS}": {
        'type_name': 'WrenchStamped',
        'axes': ('x', 'speed'),
    },
    f"command_axes is ['x']; give one axis for each of {NAMES}": {
        'type_name': 'Twist',
        'axes': ['x'],
    },
    "command_axes is ['x', 'x']; no axis twice": {'type_name': 'Twist', 'axes': ['x', 'x']},
    "command_axes is ['x'], but the command_type 'Float64MultiArray' lists all controls; leave": {
        'axes': ['x']
    },
    f'command_scale is [2.0]; write one finite number for each of {NAMES}': {'scale': [2.0]},
    f'command_offset is [0.0, inf]; write one finite number for each of {NAMES}': {
        'offset': [0.0, math.inf]
    },
    'command_scale is [1.0, 0.0]; a control with the factor 0 would never reach the robot': {
        'scale': [1.0, 0.0]
    },
    'command_scale and command_offset make commands as large as': {'scale': [1.0, 1e300]},
}


@pytest.mark.parametrize('message', MISTAKES)
def test_a_format_that_does_not_fit_says_what_to_set(message):
    with pytest.raises(ValueError) as error:
        CommandFormat(QUADROTOR, **MISTAKES[message])
    assert str(error.value).startswith(message)
    assert '\n' not in str(error.value)


def test_a_type_that_is_not_installed_names_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, 'ackermann_msgs.msg', None)
    with pytest.raises(ValueError, match=r'apt install ros-\$ROS_DISTRO-ackermann-msgs'):
        form_of('AckermannDriveStamped')


def test_a_flight_by_forces_of_another_sign_reaches_its_goal_and_ends_safely(
    start, probe, namespace
):
    probe.listen_to_state()
    wrenches = []
    qos = QoSProfile(depth=1000)
    probe.node.create_subscription(WrenchStamped, 'force', wrenches.append, qos)
    system = get_system('double_integrator')
    form = ('command_type:=WrenchStamped', 'command_axes:=[x]', 'command_frame_id:=base_link')
    form += ('command_scale:=[-2.0]', 'command_offset:=[0.5]')
    own = [*arguments('double_integrator', namespace), '-r', 'command:=force']
    own += [part for value in form for part in ('-p', value)]
    start('plant', *own, '-p', 'initial_state:=[2.0, -1.0]')
    probe.require(lambda: probe.log.state, 'a state', START_TIMEOUT)
    controller = start('controller', *own, '-p', 'fallback_mode:=zero')

    def is_there():
        message = probe.log.state[-1].message
        return abs(message.position[0]) + abs(message.velocity[0]) < 0.1

    probe.require(is_there, 'the goal', START_TIMEOUT)
    assert controller.interrupt() == 0
    probe.require(lambda: wrenches[-1].wrench.force.x == 0.5, 'no force of the plant')
    forces = np.array([message.wrench.force.x for message in wrenches])
    assert np.isfinite(forces).all()
    assert (np.abs(forces - 0.5) <= 2.0 * system.u_max).all()
    # Its speed has changed as a robot's that counts backwards.
    moments = [seconds(message) for message in wrenches]
    gained = np.sum((0.5 - forces[:-1]) / 2.0 * np.diff(moments))
    states = [received.message for received in probe.log.state]
    times, speeds = [seconds(state) for state in states], [state.velocity[0] for state in states]
    began, ended = np.interp([moments[0], moments[-1]], times, speeds)
    assert gained == pytest.approx(ended - began, abs=0.15)
    assert wrenches[0].header.frame_id == 'base_link'
    assert wrenches[0].header.stamp.sec > 0


def seconds(message):
    stamp = message.header.stamp
    return stamp.sec + 1e-9 * stamp.nanosec


def test_a_command_type_without_axes_does_not_configure(start):
    own = ('-p', 'system:=double_integrator', '-p', 'command_type:=TwistStamped')
    for node in [start(name, *own) for name in ('controller', 'plant')]:
        assert node.exit_code() == 1
        assert "the command_type 'TwistStamped' needs command_axes, one of" in node.log()
        assert len(node.log().splitlines()) == 1
