"""Parameters change in flight: between two cycles, as a whole, and without a jolt."""

import signal

import pytest

pytest.importorskip('rclpy')

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
from rclpy.parameter import Parameter

RATE = 4.0  # [1/s] as given below
STALL = 0.1  # [s] by which two messages may come closer together than they were sent


def change(probe, namespace, **changes):
    """Sets parameters in one go; `__` stands for a dot."""
    name = f'{namespace}/controller/set_parameters_atomically'
    client = probe.node.create_client(SetParametersAtomically, name)
    parameters = [
        Parameter(key.replace('__', '.'), value=value).to_parameter_msg()
        for key, value in changes.items()
    ]
    request = SetParametersAtomically.Request(parameters=parameters)
    return probe.call(client, request).result


def get(probe, namespace, name):
    client = probe.node.create_client(GetParameters, f'{namespace}/controller/get_parameters')
    return probe.call(client, GetParameters.Request(names=[name])).values[0]


def fastest_change(received, command=lambda message: message.data[0]):
    """Largest change of a command beyond what the rate allows between any two of them."""
    points = [(r.time, command(r.message)) for r in received]
    pairs = [(a, b) for i, a in enumerate(points) for b in points[i + 1 :]]
    return max(abs(v - u) - RATE * (t - s) for (s, u), (t, v) in pairs)


def test_changes_in_flight_never_jolt_and_a_bad_one_changes_nothing(controller, probe, namespace):
    node = controller('-p', 'state_timeout:=5.0', '-p', f'command_limits.rate:=[{RATE}]')
    probe.fly((2.0, 0.0), 0.5)
    assert min(probe.commands()) < -2.0
    assert change(
        probe, namespace, command_limits__min=[-1.0], command_limits__max=[0.5]
    ).successful
    probe.fly((2.0, 0.0), 1.2)
    assert probe.commands()[-1] == -1.0
    reached = len(probe.commands())
    probe.fly((-2.0, 0.0), 0.6)
    assert probe.commands()[-1] == 0.5
    bad = change(probe, namespace, command_limits__max=[-1.5], fallback_mode='hold')
    assert not bad.successful
    assert bad.reason == (
        'command_limits.min is [-1.0], above command_limits.max [-1.5]; '
        'in flight, change the other one first'
    )
    assert list(get(probe, namespace, 'command_limits.max').double_array_value) == [0.5]
    assert change(
        probe,
        namespace,
        refinement_cycles=0,
        warm_start=False,
        fallback_mode='zero',
        publish_horizon=False,
        early_exit_tolerance=0.1,
    ).successful
    probe.fly((-2.0, 0.0), 0.3)
    horizons = len(probe.log.horizon)
    probe.fly((-2.0, 0.0), 0.3)
    assert len(probe.log.horizon) == horizons
    assert probe.diagnosis('model')['refinement_cycles'] == '0'
    safety = probe.diagnosis('safety')
    assert (safety['state'], safety['fallback_mode']) == ('active', 'zero')
    assert int(safety['limited_rate']) > 0 and 'limited_range' not in safety  # plans keep it
    assert change(probe, namespace, state_timeout=0.1).successful
    probe.spin(0.6)
    assert probe.diagnosis('safety')['state'] == 'fallback'
    assert probe.commands()[-1] == 0.0
    later = probe.commands()[reached:]
    assert min(later) >= -1.0 and max(later) <= 0.5
    assert fastest_change(probe.log.command) < RATE * STALL
    assert 'from the next cycle on: command_limits.min = [-1.0], command_limits.max' in node.log()
    same = get(probe, namespace, 'controller_frequency').double_value
    assert change(probe, namespace, controller_frequency=same).successful  # and nobody says more
    assert 'controller_frequency' not in node.log()
    assert 'hold' not in node.log()


def test_a_loop_that_is_activated_again_goes_on_from_the_last_command(
    controller, probe, namespace
):
    controller('-p', 'state_timeout:=5.0', '-p', f'command_limits.rate:=[{RATE}]')
    probe.fly((2.0, 0.0), 0.5)
    name = f'{namespace}/controller/change_state'
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
        client = probe.node.create_client(ChangeState, name)
        request = ChangeState.Request(transition=Transition(id=transition))
        assert probe.call(client, request).success
    probe.require(lambda: probe.commands()[-1] == 0.0, 'the safe command')
    landed = len(probe.commands())
    probe.fly_until((2.0, 0.0), lambda: probe.commands()[-1] < -1.0, 'a new flight')
    assert len(probe.commands()) > landed + 2
    assert fastest_change(probe.log.command) < RATE * STALL


def test_the_last_command_is_approached_at_the_rate_limit(controller, probe):
    node = controller('-p', f'command_limits.rate:=[{RATE}]')
    probe.fly((2.0, 0.0), 0.3)
    assert probe.commands()[-1] < -2.0
    node.process.send_signal(signal.SIGINT)
    probe.require(lambda: probe.commands()[-1] == 0.0, 'the last command')
    assert node.exit_code() == 0
    assert fastest_change(probe.log.command) < RATE * STALL
