"""What the controller checks before it flies, and how old its inputs may be."""

import math
import sys

import pytest

pytest.importorskip('rclpy')

from rclpy.duration import Duration
from sensor_msgs.msg import JointState

from trc_ros.plant import node as plant_node

SLIDER = ('-p', 'system:=double_integrator', '-p', 'backend:=numpy')
REFUSED = {
    'another dt': (
        (*SLIDER, '-p', 'contract.dt:=0.02'),
        'contract.dt is 0.02 in the parameters but 0.333333',
    ),
    'another order of the state': (
        (*SLIDER, '-p', 'contract.state_names:=[velocity, position]'),
        "contract.state_names is ['velocity', 'position'] in the parameters but "
        "['position', 'velocity'] in the checkpoint",
    ),
    'a limit beyond the bounds': (
        (*SLIDER, '-p', 'command_limits.max:=[9]'),
        'command_limits.max is [9.0]; choose from [-4.0] to [4.0]',
    ),
    'a machine that is too slow': (
        (*SLIDER, '-p', 'controller_frequency:=1000'),
        'longer than the period of 1 ms: lower controller_frequency to',
    ),
    'no system': ((), "parameter 'system' is not set: -p system:=NAME behind --ros-args"),
    'a simulated time that is no yes or no': (
        (*SLIDER, '-p', 'use_sim_time:=1'),
        "Trying to set parameter 'use_sim_time' to '1' of type 'INTEGER', expecting type 'BOOL'",
    ),
    'an argument in front of its place': (
        (*SLIDER, '--', '--params-file', 'mine.yaml'),
        "unknown argument '--params-file'; parameters come behind --ros-args",
    ),
    'no such physical parameter': (
        (*SLIDER, '-p', 'model_parameters:=["mass=2"]'),
        "system 'double_integrator' has no parameter ['mass']",
    ),
}


@pytest.mark.parametrize('mistake', REFUSED)
def test_configure_refuses_in_one_line(start, mistake):
    arguments, message = REFUSED[mistake]
    node = start('controller', *arguments)
    assert node.exit_code() == 1
    assert f'configure failed: {message}' in node.log() or message in node.log()
    assert len(node.log().splitlines()) == 1


def test_a_controller_is_told_the_parameters_of_its_plant(start, make_probe, namespace):
    probe = make_probe(namespace, 'oscillator')
    node = start(
        'controller',
        *('-r', f'__ns:={namespace}', '-p', 'system:=van_der_pol', '-p', 'backend:=numpy'),
        *('-p', 'model_path:=van_der_pol_mu', '-p', 'model_parameters:=["mu=1.3"]'),
        *('-p', 'contract.parameters:=["mu=1.3"]', '-p', 'contract.horizon:=100'),
        *('-p', 'controller_frequency:=2', '-p', 'refinement_cycles:=0'),
        *('-p', 'warmup_iterations:=1', '-p', 'initial_goal:=[0.0, 0.0]'),
    )
    probe.meet(node, 'state')
    probe.fly((1.0, 0.5), 1.0)
    probe.require(lambda: probe.log.horizon, 'horizon')
    points = probe.log.horizon[-1].message.points
    p, v, u = points[0].positions[0], points[0].velocities[0], points[0].effort[0]
    seconds = 1e-9 * points[1].time_from_start.nanosec
    acceleration = (points[1].velocities[0] - v) / seconds
    assert acceleration == pytest.approx(1.3 * (1 - p**2) * v - p + u, abs=0.1)
    assert 'was trained for' not in node.log()
    assert abs(0.3 * (1 - p**2) * v) < 0.1 or acceleration != pytest.approx((1 - p**2) * v - p + u)


@pytest.mark.long
def test_a_plant_outside_of_what_the_network_knows_is_worth_a_warning(start, namespace):
    node = start(
        'controller',
        *('-r', f'__ns:={namespace}', '-p', 'system:=van_der_pol', '-p', 'backend:=numpy'),
        *('-p', 'model_path:=van_der_pol_mu', '-p', 'model_parameters:=["mu=1.7"]'),
        *('-p', 'controller_frequency:=1000', '-p', 'warmup_iterations:=1'),
    )
    assert node.exit_code() == 1  # so slow a backend cannot fly at 1000 Hz
    assert 'mu is 1.7, but the network was trained for 0.5 to 1.5' in node.log()


def test_help_says_how_to_start_a_node(capfd, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['trc_plant', '--help'])
    assert plant_node.main() == 0
    assert 'usage: trc_plant --ros-args -p system:=NAME' in capfd.readouterr().out


def state_of_age(probe, age):
    probe.open_state()
    message = JointState(name=['slider'], position=[1.0], velocity=[0.0])
    moment = probe.node.get_clock().now() - Duration(nanoseconds=round(1e9 * age))
    message.header.stamp = moment.to_msg()
    return message


def test_stamps_that_cannot_be_now_are_refused_and_unstamped_states_fly(controller, probe):
    node = controller()
    for age in (1.3, -1.0):
        probe.publish_state(state_of_age(probe, age))
        probe.spin(0.1)
    assert probe.log.command == []
    assert 'state refused: stale: 1.3' in node.log()
    probe.publish_state(state_of_age(probe, 0.0))
    probe.require(lambda: probe.log.command, 'a command')
    probe.publish_state(state_of_age(probe, 0.1))
    probe.spin(0.1)
    probe.publish_state(JointState(name=['slider'], position=[1.5], velocity=[0.0]))
    probe.require(
        lambda: probe.log.horizon and probe.log.horizon[-1].message.points[0].positions[0] == 1.5,
        'a horizon from the unstamped state',
    )
    counts = probe.diagnosis('inputs')
    assert (counts['state_rejected_stale'], counts['state_rejected_stamp']) == ('1', '2')


def test_every_topic_says_what_it_refuses_and_each_reason_once(controller, probe):
    node = controller()
    for _ in range(3):
        probe.publish_state(JointState(name=['slider'], position=[math.nan], velocity=[0.0]))
        probe.spin(0.1)
    for name, position in (('wheel', 1.0), ('slider', math.nan)):
        probe.publish_goal(JointState(name=[name], position=[position], velocity=[0.0]))
        probe.spin(0.1)
    probe.require(lambda: 'goal refused: not_finite' in node.log(), 'the last refusal')
    for refusal in ('state refused: not_finite', 'goal refused: unknown_name'):
        assert node.log().count(refusal) == 1


def test_a_sensor_may_have_a_clock_of_its_own(controller, probe):
    controller('-p', 'use_stamps:=false')
    for age in (5000.0, -5000.0):
        probe.log.horizon.clear()
        message = state_of_age(probe, age)
        message.position[0] = 0.5 + 1e-4 * age
        probe.publish_state(message)
        probe.require(
            lambda x=message.position[0]: (
                probe.log.horizon and probe.log.horizon[-1].message.points[0].positions[0] == x
            ),
            'a horizon from the state',
        )
        stamp = probe.log.horizon[-1].message.header.stamp.sec
        assert abs(stamp - probe.node.get_clock().now().nanoseconds / 1e9) < 60
    assert probe.diagnosis('inputs')['state_rejected'] == '0'


def test_a_goal_that_nobody_repeats_grows_stale(controller, probe):
    controller('-p', 'goal_timeout:=0.4', '-p', 'fallback_mode:=zero')
    probe.fly((0.0, 0.0), 0.6)
    assert probe.diagnosis('safety')['state'] == 'active'  # the initial goal does not age
    probe.send_goal((1.0, 0.0))
    probe.fly_until((0.0, 0.0), lambda: probe.commands()[-1] > 0.1, 'the way to the goal')
    probe.fly((0.0, 0.0), 0.5)
    safety = probe.diagnosis('safety')
    assert (safety['state'], safety['reason']) == ('fallback', 'goal is stale')
    assert probe.commands()[-1] == 0.0


def test_the_horizon_of_a_delayed_plant_starts_where_its_command_takes_effect(controller, probe):
    controller('-p', 'input_delay:=0.1')
    message = state_of_age(probe, 0.0)
    message.velocity = [2.0]
    probe.publish_state(message)
    probe.require(lambda: probe.log.horizon, 'horizon')
    horizon = probe.log.horizon[0].message
    seconds = horizon.header.stamp.sec - message.header.stamp.sec
    seconds += 1e-9 * (horizon.header.stamp.nanosec - message.header.stamp.nanosec)
    assert seconds == pytest.approx(0.1, abs=1e-6)
    assert horizon.points[0].positions[0] == pytest.approx(1.2)  # nothing was commanded yet
