"""What others may ask of a controller: to forget, to stand by, to take another model."""

import shutil
from dataclasses import replace

import pytest

pytest.importorskip('rclpy')

from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from trc_core.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint

PATIENCE = 30.0  # [s] on a loaded machine
TIMEOUT = 5.0  # [s] until a state is stale, where a stall of the machine must not matter
PATIENT = ('-p', f'state_timeout:={TIMEOUT}')


@pytest.fixture
def ask(probe, namespace):
    """Calls a service of the controller; gives success and message."""

    def ask(name, data=None):
        kind, request = Trigger, Trigger.Request()
        if data is not None:
            kind, request = SetBool, SetBool.Request(data=data)
        client = probe.node.create_client(kind, f'{namespace}/controller/{name}')
        response = probe.call(client, request)
        return response.success, response.message

    return ask


def safety(probe, *keys):
    values = probe.diagnosis('safety')
    return tuple(values[key] for key in keys)


def test_a_reset_forgets_the_flight_and_waits_for_a_state(controller, probe, ask):
    node = controller(*PATIENT)
    probe.publish_state(JointState(name=['slider'], position=[1.0]))  # without its velocity
    rejected = lambda: probe.diagnosis('inputs')['state_rejected'] == '1'  # noqa: E731
    probe.require(rejected, 'the refusal', PATIENCE)
    probe.fly_until((2.0, 0.0), lambda: len(probe.log.command) > 20, 'a flight')
    probe.require(lambda: safety(probe, 'state') == ('active',), 'diagnostics', PATIENCE)
    assert int(probe.diagnosis('safety')['commands_published']) > 10
    success, message = ask('reset')
    assert success and message.endswith('waiting for a state')
    probe.require(lambda: node.log().count('waiting: no state') == 2, 'the reset', PATIENCE)
    probe.spin(0.2)
    before = len(probe.log.command)
    found = safety(probe, 'state', 'commands_published', 'entered_active', 'entered_waiting')
    assert found == ('waiting', '0', '0', '1')
    probe.spin(0.3)
    assert len(probe.log.command) == before
    probe.fly_until((1.0, 0.0), lambda: len(probe.log.command) > before, 'a new flight')
    probe.require(lambda: safety(probe, 'state') == ('active',), 'the way back', PATIENCE)
    assert rejected()  # what came in is not forgotten


def test_a_disabled_controller_flies_the_safe_command_until_it_is_enabled(controller, probe, ask):
    controller(*PATIENT, '-p', 'command_limits.rate:=[40.0]')
    probe.fly_until((2.0, 0.0), lambda: min([0.0, *probe.commands()]) < -1.0, 'a flight')
    assert safety(probe, 'enabled') == ('True',)
    assert ask('enable', False) == (True, 'the safe command flies')
    probe.require(lambda: probe.commands()[-1] == 0.0, 'the safe command', PATIENCE)
    horizons = len(probe.log.horizon)
    sent = len(probe.log.command)
    probe.fly_until((2.0, 0.0), lambda: len(probe.log.command) > sent + 20, 'the loop')
    assert set(probe.commands()[sent:]) == {0.0}
    assert len(probe.log.horizon) == horizons
    found = safety(probe, 'enabled', 'state', 'reason')
    assert found == ('False', 'fallback', 'disabled')
    assert ask('enable', True) == (True, 'planning from the next cycle on')
    probe.fly_until((2.0, 0.0), lambda: probe.commands()[-1] < -1.0, 'a plan')
    found = lambda: safety(probe, 'enabled', 'state') == ('True', 'active')  # noqa: E731
    probe.fly_until((2.0, 0.0), found, 'the way back')


def test_a_controller_without_a_flight_says_so(start, probe, namespace, ask):
    start('controller', '-r', f'__ns:={namespace}', '-p', 'autostart:=false')
    refused = (False, 'the controller is not configured')
    assert ask('reset') == refused
    assert ask('enable', True) == refused
    assert ask('reload_model') == (False, f'the old model stays: {refused[1]}')


@pytest.fixture
def model(tmp_path):
    """The shipped model in a file that may be overwritten."""
    path = tmp_path / 'model.safetensors'
    shutil.copy(find_checkpoint('double_integrator'), path)
    return path


def with_cycles(checkpoint, cycles):
    key = 'H_cycles' if checkpoint.model['use_two_level'] else 'num_outer_cycles'
    return replace(checkpoint, model={**checkpoint.model, key: cycles})


def model_of(probe):
    values = probe.diagnosis('model')
    return values['refinement_cycles'], values['reloads']


def test_a_model_is_replaced_in_flight_and_a_bad_file_changes_nothing(
    controller, probe, ask, model
):
    node = controller(*PATIENT, '-p', f'model_path:={model}', '-p', 'warmup_iterations:=5')
    probe.fly_until((2.0, 0.0), lambda: probe.log.horizon, 'a flight')
    shipped = load_checkpoint('double_integrator')
    cycles, reloads = model_of(probe)
    assert reloads == '0' and cycles != '1'

    shutil.copy(find_checkpoint('van_der_pol'), model)
    success, message = ask('reload_model')
    assert not success and "'double_integrator'" in message and "'van_der_pol'" in message
    model.write_bytes(b'no model at all')
    success, message = ask('reload_model')
    assert not success and 'is not a usable trc checkpoint' in message
    save_checkpoint(model, replace(shipped, system=replace(shipped.system, dt=0.25)))
    success, message = ask('reload_model')
    assert not success and 'dt is 0.25 in the file but 0.333' in message
    model.unlink()
    success, message = ask('reload_model')
    assert not success and message.startswith('the old model stays: no checkpoint')
    assert '\n' not in message
    assert model_of(probe) == (cycles, '0')

    save_checkpoint(model, with_cycles(shipped, 1))
    assert ask('reload_model') == (True, 'the new model flies from the next cycle on')
    probe.require(lambda: model_of(probe) == ('1', '1'), 'the new model', PATIENCE)
    seen = len(probe.log.horizon)
    probe.fly_until((1.0, 0.5), lambda: len(probe.log.horizon) > seen + 5, 'new plans')
    assert safety(probe, 'entered_waiting') == ('1',)
    assert 'Traceback' not in node.log()


def test_the_flight_goes_on_while_a_model_is_loaded(controller, probe, namespace, model):
    node = controller(*PATIENT, '-p', f'model_path:={model}', '-p', 'warmup_iterations:=10000')
    probe.fly_until((2.0, 0.0), lambda: probe.log.horizon, 'a flight')
    client = probe.node.create_client(Trigger, f'{namespace}/controller/reload_model')
    probe.require(client.service_is_ready, 'the service', PATIENCE)
    probe.spin(0.3)  # the server finds the client
    future = client.call_async(Trigger.Request())
    again = client.call_async(Trigger.Request())
    probe.require(again.done, 'a refusal', PATIENCE)
    assert again.result().message == 'the old model stays: a model is being loaded already'

    def planned():
        return probe.log.horizon[-1].message.points[0].positions[0] == 1.25

    probe.fly_until((1.25, 0.0), planned, 'a plan from a state that came meanwhile')
    assert not future.done()
    probe.require(future.done, 'the new model', 2 * PATIENCE)
    assert future.result().success
    client.call_async(Trigger.Request())
    probe.spin(0.1)
    assert node.interrupt() == 0  # in the middle of it
    assert 'Traceback' not in node.log()
