"""The two-node harness: both processes start, obey the operator, are recorded and end."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')

from trc_core import SYSTEMS
from trc_ros.lab.children import NodeError
from trc_ros.lab.recording import Recorder, read_commands, read_loop_statistics, read_states
from trc_ros.lab.two_nodes import TwoNodes

SYSTEM = SYSTEMS['double_integrator']
FAR = np.array([1.5, -0.5])
PATIENCE = 30.0  # [s]


def is_running(pid):
    return Path(f'/proc/{pid}').exists()


def test_a_node_that_cannot_start_is_named_with_its_last_line_and_both_end():
    nodes = TwoNodes(SYSTEM, {}, {'model_path': '/no/such/model'}, Recorder)
    with pytest.raises(NodeError, match=r'controller ended with code 1: .*no/such/model'), nodes:
        pass
    assert set(nodes.pids) == {'plant', 'controller'}
    assert not any(is_running(pid) for pid in nodes.pids.values())


INTERRUPTED = """
import json, signal
from trc_core import SYSTEMS
from trc_ros.lab.recording import Recorder
from trc_ros.lab.two_nodes import TwoNodes
nodes = TwoNodes(SYSTEMS['double_integrator'], {}, {}, Recorder)
try:
    with nodes:
        print(json.dumps(nodes.pids), flush=True)
        signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print('interrupted')
"""


def test_an_interrupt_ends_both():
    # in a process of its own: an interrupt of this one may reach somebody else's code first
    done = subprocess.run([sys.executable, '-c', INTERRUPTED], capture_output=True, text=True)
    pids, *rest = done.stdout.splitlines()
    assert rest == ['interrupted'], done.stderr
    assert set(json.loads(pids)) == {'plant', 'controller'}
    assert not any(is_running(pid) for pid in json.loads(pids).values())


def test_the_operator_is_obeyed_and_recorded_and_the_final_command_is_the_trim():
    plant = {'initial_state': [0.0, 0.0]}
    with TwoNodes(SYSTEM, plant, {'diagnostics.period': 0.1}, Recorder) as nodes:
        operator, recorder = nodes.operator, nodes.recorder
        assert np.abs(read_states(recorder, SYSTEM).values).max() < 0.1
        operator.reset_plant(FAR)
        operator.wait_until(lambda: is_near(recorder, FAR), PATIENCE, 'no reset')
        before = cycles_of(nodes)
        operator.spin_for(1.0)
        after = cycles_of(nodes)
        operator.reactivate_controller()  # the loop starts anew, and so do its statistics
        assert cycles_of(nodes) < after
        assert before < after
        # A new plant starts with the parameters that replace those of the first, at its goal:
        # the recorder may find it after the controller has.
        operator.send_goal(np.array([-3.0, 0.0]))
        nodes.kill('plant')
        began = time.time()
        nodes.spawn('plant', initial_state=[-3.0, 0.0])
        operator.wait_until(lambda: recorder.first('state', began), PATIENCE, 'no new plant')
        assert len(nodes.spawned['plant']) == 2
        assert nodes.end() == {'controller': 0, 'plant': 0}
    states = read_states(recorder, SYSTEM)
    new = states.values[states.times >= began]
    assert new[0, 0] == pytest.approx(-3.0, abs=0.1)
    assert read_commands(recorder, SYSTEM).values[-1] == pytest.approx(SYSTEM.u_trim)


def is_near(recorder, x):
    return np.abs(read_states(recorder, SYSTEM).values[-1] - x).max() < 0.3


def cycles_of(nodes):
    """Cycles of the loop since its start, from diagnostics that are sent from now on."""
    nodes.recorder.forget()
    nodes.operator.wait_until(
        lambda: 'cycles' in read_loop_statistics(nodes.recorder), PATIENCE, 'no statistics'
    )
    return read_loop_statistics(nodes.recorder)['cycles']
