"""States as robots send them: among others, in parts, under other names, without velocities."""

import math
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from nav_msgs.msg import Odometry
from probe import arguments
from sensor_msgs.msg import JointState

from trc_core.systems import get_system
from trc_ros.conversions import JointPartReader, PassedOver, RejectedInput, with_joint_names

SLIDER = get_system('double_integrator')
CARTPOLE = get_system('cartpole')
PATIENCE = 30.0  # [s] for what takes a second on an idle machine


def joints(stamp, names, positions, velocities=()):
    message = JointState(name=names, position=positions, velocity=velocities)
    message.header.stamp = stamp
    return message


def now(probe):
    return probe.node.get_clock().now().to_msg()


def begins(probe):
    """Where the newest plan begins: position and velocity of the first joint."""
    point = probe.log.horizon[-1].message.points[0]
    return point.positions[0], point.velocities[0]


# ---- messages, without DDS


def test_joints_of_others_are_not_read_and_told_once_for_every_set_of_names():
    told = []
    read = JointPartReader(SLIDER, notice=told.append)
    message = JointState(
        name=['gripper', 'slider'], position=[math.nan, 1.0], velocity=[math.inf, 2.0]
    )
    for _ in range(3):
        assert read(message).x.tolist() == [1.0, 2.0]
    assert told == ["no joints of double_integrator, and not read: ['gripper']"]


def test_a_message_about_something_else_is_passed_over():
    with pytest.raises(PassedOver) as news:
        JointPartReader(SLIDER)(JointState(name=['wheel'], position=[1.0]))
    assert news.value.reason == 'foreign'


def test_some_of_the_joints_are_a_part_of_a_state():
    part = JointPartReader(CARTPOLE)(JointState(name=['pole'], position=[1.0], velocity=[2.0]))
    assert part.places == (2, 3)
    assert part.x.tolist() == [0.0, 0.0, 1.0, 2.0]


BROKEN = {
    'duplicate_name': (['pole', 'pole'], [1.0, 1.0], [0.0, 0.0]),
    'wrong_size': (['pole', 'gripper'], [1.0], [0.0]),
    'not_finite': (['pole', 'gripper'], [math.nan, 0.0], [0.0, 0.0]),
    'missing_velocity': (['pole'], [1.0], []),
}


@pytest.mark.parametrize('reason', BROKEN)
def test_a_part_that_must_not_be_used_is_rejected_for_the_right_reason(reason):
    with pytest.raises(RejectedInput) as error:
        JointPartReader(CARTPOLE)(
            JointState(**dict(zip(JOINT_FIELDS, BROKEN[reason], strict=True)))
        )
    assert error.value.reason == reason


JOINT_FIELDS = ('name', 'position', 'velocity')


def test_a_refusal_of_a_state_without_velocities_names_the_parameter_that_helps():
    with pytest.raises(RejectedInput, match='set velocity_cutoff_frequency'):
        JointPartReader(SLIDER)(JointState(name=['slider'], position=[1.0]))


@pytest.mark.parametrize('velocity', [[], [math.nan]])
def test_a_velocity_that_is_missing_is_left_to_the_filter(velocity):
    read = JointPartReader(SLIDER, differentiates=True)
    part = read(JointState(name=['slider'], position=[1.0], velocity=velocity))
    assert part.places == (0,)
    assert part.unmeasured == ((0, 1),)


def test_joints_have_the_names_of_the_robot_on_every_side():
    named = with_joint_names(CARTPOLE, ['pole=mast', ' cart = pole '])
    assert [joint.name for joint in named.joints] == ['pole', 'mast']
    assert named.joints[1].position == CARTPOLE.joints[1].position
    assert with_joint_names(CARTPOLE, []) is CARTPOLE


MISTAKES = {
    "joints holds 'rail'; write 'name in the model=name on the robot'": ['rail'],
    "joints names 'slide', no joint of cartpole; choose from ['cart', 'pole']": ['slide=rail'],
    "joints names 'cart' twice; write one name for each of ['cart', 'pole']": ['cart=a', 'cart=b'],
    "joints leaves two with the name ['pole']; the model has ['cart', 'pole']": ['cart=pole'],
}


@pytest.mark.parametrize('message', MISTAKES)
def test_names_that_cannot_be_are_refused_with_the_joints_of_the_model(message):
    with pytest.raises(ValueError) as error:
        with_joint_names(CARTPOLE, MISTAKES[message])
    assert str(error.value) == message


# ---- over DDS


def test_one_driver_of_two_does_not_hide_the_other(controller, probe):
    node = controller('-p', 'state_timeout:=0.5')
    probe.open_state()
    for k in range(40):
        probe.publish_state(joints(now(probe), ['slider', 'gripper'], [1.0, 9.0], [0.01 * k, 9.0]))
        probe.publish_state(joints(now(probe), ['wheel'], [0.0], [0.0]))
        probe.publish_state(joints(now(probe), ['slider'], [math.nan], [0.0]))
        probe.spin(0.02)
    probe.require(lambda: probe.log.horizon and begins(probe) == (1.0, 0.39), 'the newest state')
    counts = probe.diagnosis('inputs')
    assert int(counts['state_foreign']) >= 10
    assert int(counts['state_rejected']) == int(counts['state_rejected_not_finite']) >= 10
    assert int(counts['state_received']) >= 100
    assert len(probe.log.command) > 20
    assert probe.diagnosis('safety')['entered_fallback'] == '0'
    assert node.log().count("not read: ['gripper']") == 1
    assert node.log().count("not read: ['wheel']") == 1


def test_the_joints_of_a_robot_arrive_in_parts_under_its_names_without_velocities(
    start, make_probe, namespace
):
    probe = make_probe(namespace, joint='rail')
    node = start(
        'controller',
        *arguments('cartpole', namespace),
        *('-p', 'joints:=[cart=rail, pole=mast]', '-p', 'velocity_cutoff_frequency:=200'),
        *('-p', 'state_timeout:=2.0', '-p', 'state_limits.max:=[1.0, 9.0, 9.0, 9.0]'),
    )
    probe.meet(node, 'state')
    probe.open_state()
    began = time.monotonic()
    # Both joints in messages of their own, at 0.2 m/s and 0.1 rad/s.
    for _ in range(60):
        t, stamp = time.monotonic() - began, now(probe)
        probe.publish_state(joints(stamp, ['rail', 'gripper'], [0.2 * t - 0.5, 0.0]))
        probe.publish_state(joints(stamp, ['mast'], [0.1 * t - 0.1], [math.nan]))
        probe.spin(0.02)
    horizon = probe.log.horizon[-1].message
    assert list(horizon.joint_names) == ['rail', 'mast']
    np.testing.assert_allclose(horizon.points[0].velocities, [0.2, 0.1], atol=0.05)
    # Goals have those names, too, and all of them: a typo would otherwise go unheard.
    probe.publish_goal(JointState(name=['mast', 'rail'], position=[0.0, 0.1]))
    probe.require(lambda: probe.diagnosis('inputs')['goal_received'] == '1', 'the goal')
    probe.publish_goal(JointState(name=['mast', 'rail', 'gripper'], position=[0.0, 0.1, 0.0]))
    probe.publish_state(joints(now(probe), ['rail'], [5.0]))
    for refusal in ('state_rejected_out_of_range', 'goal_rejected_unknown_name'):
        probe.require(lambda name=refusal: name in probe.diagnosis('inputs'), refusal)
    assert probe.diagnosis('inputs')['goal_rejected'] == '1'
    assert 'out_of_range: cart_position is 5, outside of -inf to 1 (state_limits)' in node.log()
    # The state is as old as the joint that is not heard any more.
    for _ in range(5):
        probe.publish_state(joints(now(probe), ['rail'], [0.5]))
        probe.spin(0.1)
    assert float(probe.diagnosis('inputs')['state_age_ms']) > 400


def test_diagnostics_say_why_nothing_flies(controller, probe, namespace):
    node = controller('-p', 'controller_frequency:=100')

    def status(part):
        name = f'{namespace[1:]}/controller: {part}'
        found = [s for r in probe.log.diagnostics for s in r.message.status if s.name == name]
        return found[-1]

    def says(part, words):
        probe.require(lambda: words in status(part).message, f'{part}: {words}', PATIENCE)
        assert status(part).level == b'\x01'

    probe.spin(0.3)
    says('inputs', "no message on 'state' for ")
    says('safety', 'waiting: no message on')
    assert f'nobody publishes on {namespace}/state' in status('safety').message
    wrong = probe.node.create_publisher(Odometry, 'state', 1)
    says('safety', "'probe' sends nav_msgs/msg/Odometry, expected sensor_msgs/msg/JointState")
    probe.node.destroy_publisher(wrong)
    for _ in range(3):
        probe.publish_state(JointState(name=['slider'], position=[1.0]))
        probe.publish_state(JointState(name=['wheel'], position=[1.0]))
        probe.spin(0.05)
    says('inputs', "messages on 'state', none valid: missing_velocity: slider has none")
    says('safety', 'waiting: ')
    assert node.log().count('no state to fly with') == 1
    # A state far from all training is flown, with a warning.
    probe.fly((400.0, 0.0), 0.5)
    says('inputs', 'state far outside those of training: position is 400')
    assert status('safety').message.startswith('active')
    assert probe.commands()[-1] != 0.0


def test_states_begin_no_more_cycles_than_asked_for(controller, probe):
    controller('-p', 'cycle_on:=state', '-p', 'controller_frequency:=10')
    probe.fly((1.0, 0.0), 3.0, period=0.002)
    times = [r.time for r in probe.log.command]
    seconds = times[-1] - times[0]
    assert 5 * seconds <= len(times) <= 10 * seconds + 3  # half a period apart, it would be 20 Hz
