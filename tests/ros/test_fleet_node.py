"""One process flies many robots over DDS, and the trouble of one is its own."""

import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import WrenchStamped
from probe import arguments
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool

from trc_core import get_system
from trc_ros.fleet.node import require_names
from trc_ros.fleet.topics import RobotTopics
from trc_ros.parameters.table import specs_of

SYSTEM = get_system('double_integrator')
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class Slider:
    """A robot: it answers its commands by states, as its equations say."""

    def __init__(self, probe, name, x):
        self._node, self.x, self.u = probe.node, np.array(x), 0.0
        self.commands, self.frames = [], set()
        self._state = probe.node.create_publisher(JointState, f'{name}/state', BEST_EFFORT)
        self._goal = probe.node.create_publisher(JointState, f'{name}/goal', 1)
        probe.node.create_subscription(
            WrenchStamped, f'{name}/command', self._on_command, QoSProfile(depth=100)
        )
        self._moved = time.monotonic()

    def _on_command(self, message):
        self.commands.append(message.wrench.force.x)
        self.frames.add(message.header.frame_id)
        self.u = message.wrench.force.x / 2.0

    def move(self):
        elapsed, self._moved = time.monotonic() - self._moved, time.monotonic()
        self.x = SYSTEM.step(self.x, [self.u], min(elapsed, 0.1))
        message = JointState(name=['slider'], position=[self.x[0]], velocity=[self.x[1]])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._state.publish(message)

    def send_goal(self, position):
        self._goal.publish(JointState(name=['slider'], position=[position]))


def test_three_robots_fly_and_the_silent_one_holds_up_nobody(start, probe, namespace):
    robots = {name: Slider(probe, name, x) for name, x in (('r1', [2, 0]), ('r2', [-1, 0.5]))}
    silent = Slider(probe, 'r3', [0, 0])
    node = start(
        'fleet',
        *arguments('double_integrator', namespace),
        *('-p', 'robots:=[r1, r2, r3]', '-p', 'command_type:=WrenchStamped'),
        *('-p', 'command_axes:=[x]', '-p', 'command_scale:=[2.0]'),
        *('-p', 'command_frame_id:=base_link'),
    )
    probe.meet(node, 'r1/state')

    def fly_until(condition, what, still=()):
        def step():
            for name in set(robots) - set(still):
                robots[name].move()
            return condition()

        probe.require(step, what, 60.0)

    fly_until(lambda: all(robot.commands for robot in robots.values()), 'commands')
    robots['r1'].send_goal(1.0)
    fly_until(lambda: np.abs(robots['r1'].x - [1.0, 0.0]).sum() < 0.1, "r1's own goal")
    fly_until(lambda: np.abs(robots['r2'].x).sum() < 0.1, 'the goal of the others')
    assert np.abs(robots['r1'].x - [1.0, 0.0]).sum() < 0.1
    # One falls silent: its own trouble.
    fly_until(lambda: probe.diagnosis('r2', 'fleet')['state'] == 'fallback', 'fallback', ['r2'])
    assert probe.diagnosis('r1', 'fleet')['state'] == 'active'
    assert probe.diagnosis('r3', 'fleet')['state'] == 'waiting'
    assert silent.commands == []
    # Disabled, then landed.
    client = probe.node.create_client(SetBool, f'{namespace}/fleet/enable')
    assert probe.call(client, SetBool.Request(data=False)).success
    assert node.interrupt() == 0
    probe.spin(0.3)
    for name, robot in robots.items():
        forces = np.array(robot.commands)
        assert np.isfinite(forces).all()
        assert (np.abs(forces) <= 2.0 * SYSTEM.u_max).all()
        assert forces[-1] == 0.0
        assert robot.frames == {f'{name}/base_link'}
    assert 'r2]: fallback: state is stale' in node.log()


@pytest.mark.parametrize('names', [[], ['r1', 'r1'], ['r1', '2nd'], ['a b']])
def test_names_that_are_none_are_refused(names):
    with pytest.raises(ValueError, match=r"parameter 'robots' is \[.*\]; write the names"):
        require_names(names)


def test_topics_of_a_robot_begin_with_its_name_unless_they_are_absolute():
    topics = RobotTopics(None, 'r1')
    named = [topics.named(name) for name in ('state', '~/reference', '/clock')]
    assert named == ['r1/state', '~/r1/reference', '/clock']


def test_a_fleet_without_robots_ends_in_one_line(start):
    node = start('fleet', '-p', 'system:=double_integrator')
    assert node.exit_code() == 1
    assert "parameter 'robots' is []; write the names of the robots" in node.log()
    assert len(node.log().splitlines()) == 1


def test_what_a_fleet_shares_with_a_controller_is_still_there():
    from trc_ros.parameters.fleet import SHARED

    assert set(SHARED) <= set(specs_of('controller'))
    assert set(specs_of('fleet')) - set(specs_of('controller')) == {'robots'}
