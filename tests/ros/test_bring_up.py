"""The start of a controller: seen to be alive, ended by a signal, and small when it is done."""

import re
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy')

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState
from probe import START_TIMEOUT, arguments
from rcl_interfaces.srv import ListParameters, SetParameters
from rclpy.parameter import Parameter

from trc_core import Controller
from trc_core.flight.pace import TooSlowError
from trc_ros.compilation import compile_missing
from trc_ros.lab.loop_benchmark.process_statistics import ProcessStatistics
from trc_ros.loading import make_ready

CONFIGURE = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))


@pytest.fixture
def ask(probe, namespace):
    """Calls a service of the controller by its type and name."""

    def ask(kind, name, request=None):
        client = probe.node.create_client(kind, f'{namespace}/controller/{name}')
        return probe.call(client, request or kind.Request())

    return ask


@pytest.mark.parametrize('autostart', ['true', 'false'])
def test_a_node_that_compiles_answers_all_who_ask_until_a_signal_ends_it(
    start, probe, namespace, ask, tmp_path, autostart
):
    given = (*arguments('van_der_pol', namespace), '-p', f'autostart:={autostart}')
    node = start('controller', *given, TRC_CACHE_DIR=str(tmp_path / 'cache'))
    if autostart == 'false':
        manager = probe.node.create_client(ChangeState, f'{namespace}/controller/change_state')
        probe.require(manager.service_is_ready, 'the node', START_TIMEOUT)
        manager.call_async(CONFIGURE)
    probe.require(lambda: 'plan_rows, ' in node.log(), 'the compiler', START_TIMEOUT)
    state = ask(GetState, 'get_state').current_state
    assert (state.id, state.label) == (State.TRANSITION_STATE_CONFIGURING, 'configuring')
    assert 'system' in ask(ListParameters, 'list_parameters').result.names
    assert ask(GetAvailableTransitions, 'get_available_transitions').available_transitions

    # Nothing that would disturb it is accepted.
    assert not ask(ChangeState, 'change_state', CONFIGURE).success
    assert 'configure is under way: transition 1 refused' in node.log()
    rate = Parameter('controller_frequency', value=21.0).to_parameter_msg()
    [result] = ask(
        SetParameters, 'set_parameters', SetParameters.Request(parameters=[rate])
    ).results
    assert not result.successful and 'is read at configure' in result.reason

    probe.require(lambda: bool(model_messages(probe)), 'diagnostics')
    compiling = r'configuring: compiling kernels: \d of \d after '
    assert re.match(compiling, model_messages(probe)[-1])
    assert probe.diagnosis('safety') == {'state': 'inactive'}
    assert ask(GetState, 'get_state').current_state.label == 'configuring'
    compilers = children_of(node.process.pid)
    assert compilers
    assert node.interrupt(signal.SIGTERM) == 0
    assert 'Traceback' not in node.log()
    assert 'waiting' not in node.log()
    assert probe.wait(lambda: not any(is_running(pid) for pid in compilers))


def children_of(pid):
    threads = Path(f'/proc/{pid}/task').iterdir()
    return [int(child) for t in threads for child in (t / 'children').read_text().split()]


def is_running(pid):
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except FileNotFoundError:
        return False
    return state != 'Z'


def model_messages(probe):
    found = [s for r in probe.log.diagnostics for s in r.message.status]
    return [status.message for status in found if status.name.endswith('controller: model')]


def test_a_compiling_process_that_fails_is_worth_a_line():
    lines = []
    logger = SimpleNamespace(warning=lines.append, info=lines.append)
    values = {
        'system': '',
        'model_path': 'no_such_model',
        'model_parameters': (),
        'num_threads': 1,
    }
    values |= {'backend': 'auto', 'device': 'cpu'}
    compile_missing(SimpleNamespace(uncompiled=('shift_rows', 'rollout')), values, logger)
    said, failed = lines
    assert said == 'compiling rollout, shift_rows, once on this computer: some seconds each'
    assert 'no_such_model' in failed and failed.endswith('): compiling in this one')


def test_slow_plans_are_refused_or_only_worth_a_warning():
    lines = []
    logger = SimpleNamespace(warning=lines.append, info=lines.append)
    controller = Controller.load('double_integrator')
    values = {'controller_frequency': 1e6, 'warmup_iterations': 1, 'slow_plans': 'refuse'}
    with pytest.raises(TooSlowError, match='let deadlines cut plans short with slow_plans warn'):
        make_ready(controller, values, logger)
    assert lines == []
    make_ready(controller, {**values, 'slow_plans': 'warn'}, logger)
    [line] = lines
    assert line.startswith('planning takes') and line.endswith('; flying all the same')


def test_a_controller_whose_kernels_are_compiled_holds_less_than_150_mb(controller, probe):
    node = controller()
    probe.fly_until((1.0, 0.0), lambda: len(probe.log.horizon) > 20, 'plans')
    assert ProcessStatistics(node.process.pid).resident_mb() < 150
