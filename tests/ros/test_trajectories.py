"""Plans and commands as trajectories: for a stock controller, and for actuators of their own."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from rosbags.typesys import Stores, get_typestore
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from trajectory_rules import nanoseconds, received, refusal

from trc_core.numerics.plan import Plan
from trc_core.systems import SYSTEMS, Joint, get_system
from trc_ros.conversions import (
    ControlHorizonWriter,
    HorizonWriter,
    JointTrajectoryWriter,
    StampedCommandWriter,
    is_one_to_one,
    joints_of,
    serialized,
)
from trc_ros.conversions.serialized import SerializedTrajectory

STAMP = Time(sec=1000, nanosec=1)
NOW = nanoseconds(STAMP) + 10**6  # a plan takes a while
ALL = list(SYSTEMS.values())
STORE, TYPE = get_typestore(Stores.ROS2_JAZZY), 'trajectory_msgs/msg/JointTrajectory'
QUADROTOR = get_system('quadrotor_2d')  # two thrusts, three joints


def plan_of(system):
    rng = np.random.default_rng(1)
    controls = rng.normal(size=(system.horizon, system.n_u))
    states = rng.normal(size=(system.horizon + 1, system.n_x))
    return Plan(controls, states, 1.0, 'test')


def names_of(system):
    return [joint.name for joint in system.joints]


@pytest.mark.parametrize('stops', [True, False])
@pytest.mark.parametrize('system', ALL, ids=lambda system: system.name)
def test_a_stock_controller_takes_the_plan_of_every_system(system, stops):
    write, plan = JointTrajectoryWriter(system, stops), plan_of(system)
    write(replace(plan, states=plan.states + 1.0), Time())
    message = received(write(plan, STAMP))
    assert refusal(message, names_of(system), NOW, moving_end=not stops) == ''
    assert len(message.points) == system.horizon
    for k, point in enumerate(message.points, 1):
        assert nanoseconds(point.time_from_start) == round(1e9 * k * system.dt)
        for i, joint in enumerate(system.joints):
            assert point.positions[i] == plan.states[k, joint.position]
            rest = stops and k == system.horizon
            assert point.velocities[i] == (0.0 if rest else plan.states[k, joint.velocity])


def test_coordinates_of_no_joint_and_joints_without_a_position_stay_out():
    system = replace(QUADROTOR, joints=(Joint('z', 1, None), Joint('wheel', None, 4)))
    message = received(JointTrajectoryWriter(system, stops=True)(plan_of(system), STAMP))
    assert refusal(message, ['z'], NOW) == ''
    assert all(len(point.velocities) == 0 for point in message.points)
    assert joints_of(replace(system, joints=())) == []


def drop_names(message):
    message.joint_names = []


def drop_points(message):
    message.points = []


def rename(message):
    message.joint_names = ['y', 'z', 'roll']


def move_at_the_end(message):
    message.points[-1].velocities[1] = 1e-6


def end_early(message):
    message.header.stamp.sec -= 10


def stand_still(message):
    message.points[5].time_from_start = message.points[4].time_from_start


def add_effort(message):
    message.points[0].effort = [0.0, 0.0, 0.0]


def lose_a_position(message):
    message.points[3].positions.pop()


def lose_a_velocity(message):
    message.points[3].velocities.pop()


@pytest.mark.parametrize(
    ('spoil', 'reason'),
    [
        (drop_names, 'no joints or no points'),
        (drop_points, 'no joints or no points'),
        (rename, 'joints'),
        (move_at_the_end, 'the last velocity is not zero'),
        (end_early, 'it ends in the past'),
        (stand_still, 'times do not increase'),
        (add_effort, 'effort, which is not commanded'),
        (lose_a_position, '2 positions for 3 joints'),
        (lose_a_velocity, '2 velocities for 3 joints'),
    ],
)
def test_the_rules_notice_every_breach(spoil, reason):
    message = received(JointTrajectoryWriter(QUADROTOR, stops=True)(plan_of(QUADROTOR), STAMP))
    assert refusal(message, names_of(QUADROTOR), NOW) == ''
    spoil(message)
    assert refusal(message, names_of(QUADROTOR), NOW).startswith(reason)


def test_the_horizon_itself_is_not_for_a_stock_controller():
    system = get_system('double_integrator')
    message = received(HorizonWriter(system)(plan_of(system), STAMP))
    assert refusal(message, names_of(system), NOW, moving_end=True).startswith('effort')


def test_controls_of_no_single_joint_travel_under_their_own_names():
    write = ControlHorizonWriter(QUADROTOR, 'world')
    write(plan_of(QUADROTOR), Time())
    plan = plan_of(QUADROTOR)
    message = received(write(plan, STAMP))
    assert message.header.frame_id == 'world' and message.header.stamp == STAMP
    assert list(message.joint_names) == ['left_thrust', 'right_thrust']
    np.testing.assert_array_equal([list(p.effort) for p in message.points], plan.controls)
    times = [nanoseconds(point.time_from_start) for point in message.points]
    assert times == [round(1e9 * k * QUADROTOR.dt) for k in range(QUADROTOR.horizon)]


def test_a_stamped_command_names_joints_where_each_control_drives_one():
    swapped = replace(QUADROTOR, joints=(Joint('a', 0, 3, 1), Joint('b', 1, 4, 0)))
    expected = [
        (get_system('cartpole'), ['cart']),
        (QUADROTOR, ['left_thrust', 'right_thrust']),
        (swapped, ['b', 'a']),
    ]
    for system, names in expected:
        write = StampedCommandWriter(system)
        write(np.ones(system.n_u), Time())
        u = np.arange(2.0, 2.0 + system.n_u)
        message = received(write(u, STAMP))
        assert (list(message.joint_names), message.header.stamp) == (names, STAMP)
        assert [list(point.effort) for point in message.points] == [u.tolist()]
        assert nanoseconds(message.points[0].time_from_start) == 0


def test_only_the_quadrotor_needs_actuator_names():
    assert [system.name for system in ALL if not is_one_to_one(system)] == ['quadrotor_2d']


@pytest.mark.parametrize('frame', ['', 'a', 'ab', 'abc', 'odom', 'ö', 'a long frame'])
@pytest.mark.parametrize('system', ALL, ids=lambda system: system.name)
def test_numbers_are_found_wherever_names_push_them(system, frame):
    names = tuple(joint._replace(name=f'{joint.name}_{frame}') for joint in system.joints)
    for write in (
        HorizonWriter(replace(system, joints=names), frame),
        ControlHorizonWriter(system, frame),
        JointTrajectoryWriter(replace(system, joints=names), True, frame),
    ):
        message = received(write(plan_of(system), STAMP))
        assert (message.header.frame_id, message.header.stamp) == (frame, STAMP)
        STORE.deserialize_cdr(write(plan_of(system), STAMP), TYPE)  # strict about the length
        numbers = {v for p in message.points for v in (*p.positions, *p.velocities, *p.effort)}
        plan = plan_of(system)
        assert numbers <= {0.0, *plan.states.ravel().tolist(), *plan.controls.ravel().tolist()}


def test_a_layout_that_is_not_plain_cdr_is_refused(monkeypatch):
    message = JointTrajectory(points=[JointTrajectoryPoint(positions=[1.0, 2.0])])
    SerializedTrajectory(message)
    packed = bytes(serialize_message(message)).replace(bytes(4), b'')
    monkeypatch.setattr(serialized, 'serialize_message', lambda message: packed)
    with pytest.raises(ValueError, match='plain CDR'):
        SerializedTrajectory(message)
