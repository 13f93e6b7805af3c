"""The node `plant` moves as its system does, and keeps others from being moved by two plants."""

import math
import signal
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from probe import START_TIMEOUT, arguments
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from trc_ros.plant.node import EPOCH
from trc_ros.process import BROKE

PATIENCE = 30.0  # [s] for what takes a second on an idle machine


def newest(probe):
    message = probe.log.state[-1].message
    return np.array([message.position[0], message.velocity[0]])


def moves(probe, speed):
    return bool(probe.log.state) and newest(probe)[1] > speed


def wait_for_news(probe):
    seen = len(probe.log.state)
    probe.require(lambda: len(probe.log.state) > seen, 'a new state', PATIENCE)


def stamp_seconds(message):
    return message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec


def reset(probe, namespace):
    client = probe.node.create_client(Trigger, f'{namespace}/plant/reset')
    response = probe.call(client, Trigger.Request())
    wait_for_news(probe)
    wait_for_news(probe)
    return response


def set_parameter(probe, namespace, name, value):
    client = probe.node.create_client(SetParameters, f'{namespace}/plant/set_parameters')
    parameter = Parameter(name, value=value).to_parameter_msg()
    return probe.call(client, SetParameters.Request(parameters=[parameter])).results[0]


def test_it_stands_still_until_the_first_command(plant, probe):
    plant('-p', 'initial_state:=[1.0, 0.5]')
    probe.require(lambda: len(probe.log.state) > 20, 'states', PATIENCE)
    states = np.array([[*r.message.position, *r.message.velocity] for r in probe.log.state])
    assert (states == (1.0, 0.5)).all()
    assert list(probe.log.state[0].message.name) == ['slider']


def test_it_moves_under_the_trim_control_when_told_not_to_wait(plant, probe):
    plant('-p', 'initial_state:=[0.0, 0.5]', '-p', 'wait_for_command:=false')
    probe.require(lambda: probe.log.state and newest(probe)[0] > 0.2, 'a motion', PATIENCE)
    assert newest(probe)[1] == 0.5


def test_it_follows_a_command_as_a_double_integrator_does(plant, probe):
    plant('-p', 'initial_state:=[0.0, 0.0]')
    probe.send_command([2.0])
    probe.require(lambda: moves(probe, 2.0), 'a second of motion', PATIENCE)
    messages = [r.message for r in probe.log.state if r.message.velocity[0] > 0]
    assert len(messages) > 20
    p, v = np.array([[m.position[0], m.velocity[0]] for m in messages]).T
    np.testing.assert_allclose(p, v**2 / (2 * 2.0), atol=1e-6)  # x = v^2 / 2a from rest
    t = np.array([stamp_seconds(m) for m in messages])
    assert drift(t, v / 2.0) == pytest.approx(0.0, abs=0.02)


def drift(clock, other):
    """How much `clock` (N,), late at times, gains on `other` from the first half to the second.

    A busy machine delays some readings, none are early: the promptest of each half count.
    """
    lag, half = clock - other, len(clock) // 2
    return lag[half:].min() - lag[:half].min()


def test_the_actuator_saturates_and_holds_between_commands(plant, probe):
    plant('-p', 'initial_state:=[0.0, 0.0]')
    probe.send_command([1e9])
    probe.require(lambda: moves(probe, 1.0), 'a motion', PATIENCE)
    p, v = newest(probe)
    assert p == pytest.approx(v**2 / (2 * 4.0))


def test_gain_and_delay_lie_between_a_command_and_the_motion(plant, probe):
    command = probe.node.create_publisher(Float64MultiArray, 'command', 1)
    answer = Float64MultiArray(data=[2.0])
    probe.node.create_subscription(JointState, 'state', lambda _: command.publish(answer), 10)
    imperfect = ('-p', 'input_gain:=0.5', '-p', 'actuation_delay:=0.3')
    plant('-p', 'initial_state:=[0.0, 0.0]', '-p', 'lockstep:=true', *imperfect)
    probe.require(lambda: moves(probe, 0.5), 'a motion', PATIENCE)
    messages = [r.message for r in probe.log.state]
    moving = np.maximum([stamp_seconds(m) - EPOCH - 0.3 for m in messages], 0.0)
    acceleration = 0.5 * 2.0
    v = [m.velocity[0] for m in messages]
    np.testing.assert_allclose(v, acceleration * moving, atol=1e-6)
    p = [m.position[0] for m in messages]
    np.testing.assert_allclose(p, acceleration * moving**2 / 2, atol=1e-6)


def test_a_published_clock_is_the_time_of_the_states(plant, probe):
    plant('-p', 'publish_clock:=true')
    clock = []
    probe.node.create_subscription(
        Clock, '/clock', lambda m: clock.append((time.monotonic(), m.clock)), QoSProfile(depth=100)
    )
    probe.require(lambda: len(clock) > 50, 'the clock', PATIENCE)
    states = {stamp_seconds(r.message) for r in probe.log.state}
    arrivals, times = np.array([(t, c.sec + 1e-9 * c.nanosec) for t, c in clock]).T
    assert len(states & set(times)) > 20
    assert times[0] > EPOCH
    assert drift(arrivals, times) == pytest.approx(0.0, abs=0.05)


@pytest.mark.long
def test_the_controller_balances_the_pole_of_mujoco(start, make_probe):
    pytest.importorskip('mujoco')
    namespace = '/mujoco'
    probe = make_probe(namespace)
    probe.listen_to_state()
    physics = ('-p', 'plant_backend:=mujoco', '-p', 'initial_state:=[0.5, 0.0, 0.2, 0.0]')
    probe.meet(start('plant', *arguments('cartpole', namespace), *physics), 'command')
    start('controller', *arguments('cartpole', namespace))
    probe.require(lambda: probe.log.command, 'commands', START_TIMEOUT)

    def distance():
        message = probe.log.state[-1].message
        return sum(map(abs, [*message.position, *message.velocity]))

    assert distance() > 0.5
    probe.require(lambda: distance() < 0.05, 'the goal', PATIENCE)


def test_mujoco_refuses_other_systems_with_one_line(start):
    pytest.importorskip('mujoco')
    node = start('plant', '-p', 'system:=van_der_pol', '-p', 'plant_backend:=mujoco')
    assert node.exit_code() == 1
    assert len(node.log().splitlines()) == 1
    assert "choose the system 'cartpole' or 'cartpole_swingup'" in node.log()


def test_bad_commands_are_dropped(plant, probe):
    node = plant('-p', 'initial_state:=[1.0, 0.0]')
    for command in ([math.nan], [1.0, 2.0], []):
        probe.send_command(command)
        probe.spin(0.1)
    assert (newest(probe) == (1.0, 0.0)).all()
    assert 'command refused: not_finite' in node.log()


def test_reset_takes_the_exact_initial_state_set_before(plant, probe, namespace):
    plant('-p', 'initial_state:=[1.0, 0.0]')
    # Whole numbers, as a person would type them.
    assert set_parameter(probe, namespace, 'initial_state', [-2, 1]).successful
    assert reset(probe, namespace).success
    assert (newest(probe) == (-2.0, 1.0)).all()


def test_reset_draws_states_that_the_seed_determines(start, make_probe):
    drawn = {}
    for name, seed in (('one', 7), ('two', 7), ('three', 8)):
        namespace = f'/seed_{name}'
        probe = make_probe(namespace)
        probe.listen_to_state()
        plant = start('plant', *arguments('double_integrator', namespace), '-p', f'seed:={seed}')
        probe.meet(plant, 'command')
        wait_for_news(probe)
        drawn[name] = [tuple(newest(probe))]
        for _ in range(2):
            assert reset(probe, namespace).success
            drawn[name].append(tuple(newest(probe)))
    assert drawn['one'] == drawn['two'] != drawn['three']
    assert len(set(drawn['one'])) == 3
    assert np.abs(list(drawn.values())).max() <= 2.0  # the initial box


def test_noise_has_the_deviation_asked_for(plant, probe):
    plant('-p', 'initial_state:=[1.0, 0.0]', '-p', 'measurement_noise:=0.1')
    probe.require(lambda: len(probe.log.state) > 150, 'states', PATIENCE)
    states = np.array([[*r.message.position, *r.message.velocity] for r in probe.log.state])
    assert states.std(axis=0) == pytest.approx([0.1, 0.1], rel=0.3)
    assert states.mean(axis=0) == pytest.approx([1.0, 0.0], abs=0.05)


def test_an_initial_state_of_the_wrong_size_is_refused_with_a_reason(plant, probe, namespace):
    plant('-p', 'initial_state:=[1.0, 0.0]')
    result = set_parameter(probe, namespace, 'initial_state', [1.0, 2.0, 3.0])
    response = reset(probe, namespace)
    assert not result.successful
    assert result.reason.startswith("parameter 'initial_state' has 3 values; write one for each")
    assert response.success and response.message == 'state [1.0, 0.0]'


def test_a_simulation_that_breaks_ends_with_one_line_and_publishes_nothing_of_it(
    start, make_probe, namespace
):
    probe = make_probe(namespace, 'oscillator')
    probe.listen_to_state()
    node = start(
        'plant',
        *arguments('van_der_pol', namespace),
        *('-p', 'initial_state:=[50.0, 0.0]', '-p', 'wait_for_command:=false'),
    )
    probe.require(lambda: node.process.poll() is not None, 'the end', START_TIMEOUT)
    assert node.exit_code() == BROKE
    [line] = node.log().splitlines()
    assert line.startswith('the simulation broke: the state has become [')
    assert np.isfinite([[*r.message.position, *r.message.velocity] for r in probe.log.state]).all()


def test_a_parameter_that_is_read_at_start_cannot_change_later(plant, probe, namespace):
    plant()
    result = set_parameter(probe, namespace, 'state_rate', 10.0)
    assert not result.successful
    assert result.reason == "parameter 'state_rate' is read at start: restart the node with it"


@pytest.mark.long
def test_a_second_plant_on_the_same_topic_is_refused_with_one_line(plant, start, namespace, probe):
    first = plant()
    probe.spin(5.0)  # the first one is settled: it no longer gives way
    second = start('plant', *arguments('double_integrator', namespace))
    assert second.exit_code() in (1, 3)  # found before it works, or as soon as it does
    lines = second.log().splitlines()
    assert len(lines) == 1
    assert f"'{namespace}/state' is already published by node '{namespace}/plant'" in lines[0]
    assert '__ns:=' in lines[0]
    assert first.process.poll() is None


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_with_code_0(plant, number):
    node = plant()
    assert node.interrupt(number) == 0
    assert 'Traceback' not in node.log()
