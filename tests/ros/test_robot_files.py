"""Robots from their URDF: both nodes take the file, and fly it without a network."""

import numpy as np
import pytest

pytest.importorskip('rclpy')

from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from tests.problem.robots import TWO_LINKS

GOAL = [0.6, -0.8]
TASK = {'task.dt': 0.04, 'task.horizon': 25, 'task.speed_weight': 0.5, 'task.payload': 0.0}
FLIGHT = {'model_path': 'classical', 'controller_frequency': 25.0, 'slow_plans': 'warn'}
EFFORT = 50.0  # [N m] of both joints


@pytest.fixture
def robot(tmp_path):
    path = tmp_path / 'two_links.urdf'
    path.write_text(TWO_LINKS)
    return path


def parameters(**values):
    return [word for name, value in values.items() for word in ('-p', f'{name}:={value}')]


def relay_in_another_order(node, received):
    """Publishes the states of the plant as a driver might: the joints the other way round."""
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = node.create_publisher(JointState, 'state', best_effort)

    def relay(message):
        received.append([*message.position, *message.velocity])
        message.name = message.name[::-1]
        message.position = message.position[::-1]
        message.velocity = message.velocity[::-1]
        publisher.publish(message)

    node.create_subscription(JointState, 'measured', relay, best_effort)


def test_a_robot_flies_to_its_goal_whatever_the_order_of_its_joints(
    start, make_probe, namespace, robot
):
    probe, states, commands = make_probe(namespace, 'joint_1'), [], []
    relay_in_another_order(probe.node, states)
    probe.node.create_subscription(JointTrajectory, 'efforts', commands.append, 10)
    common = ('-r', f'__ns:={namespace}', '-r', 'command:=efforts')
    task = parameters(system=robot, command_type='JointTrajectory', **TASK)
    start(
        'plant', *common, '-r', 'state:=measured', *task, '-p', 'initial_state:=[0., 0., 0., 0.]'
    )
    goal = parameters(initial_goal=[*GOAL, 0.0, 0.0])
    node = start('controller', *common, *task, *parameters(**FLIGHT), *goal)

    def is_there():
        return bool(states) and np.abs(np.array(states[-1]) - [*GOAL, 0, 0]).max() < 0.02

    assert probe.wait(is_there, 120), node.log()
    efforts = np.array([message.points[0].effort for message in commands])
    assert {tuple(message.joint_names) for message in commands} == {('joint_1', 'joint_2')}
    assert np.isfinite(efforts).all() and np.abs(efforts).max() <= EFFORT


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ({'system': 'pendulum', 'task.dt': 0.1}, "'pendulum' is no robot file"),
        ({'model_path': 'pendulum', 'task.tip': 'tool'}, "task.tip goes with a robot's file"),
        ({'task.locked': ['joint_9=0.1']}, "locked names 'joint_9'"),
        ({'model_path': "''"}, "no checkpoint ships for 'two_links'"),
        ({'task.horizon': 0}, "parameter 'task.horizon' is 0; choose from 1"),
    ],
)
def test_a_task_that_makes_no_sense_is_one_line(start, namespace, robot, words, message):
    given = {'system': robot, 'model_path': 'classical', **words}
    if words.get('model_path') == 'pendulum':
        del given['system']
    node = start('controller', '-r', f'__ns:={namespace}', *parameters(**given))
    assert node.exit_code() != 0
    assert message in node.log() and 'Traceback' not in node.log()
