"""The console scripts, before a node is there to be closed."""

import signal
import subprocess
import sys

import pytest

IMPORTING = """
from trc_ros import entry
entry._end_quietly()
print('importing', flush=True)
import time
time.sleep(60)
"""


def start(*prefix):
    command = [*prefix, sys.executable, '-c', IMPORTING]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'importing\n'
    return process


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_a_node_is_imported_ends_it_without_a_word(number):
    process = start()
    process.send_signal(number)
    assert process.communicate(timeout=30) == ('', '')
    assert process.returncode == 0


def test_nohup_keeps_a_node_beyond_its_terminal_but_not_beyond_other_signals():
    process = start('nohup')
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_a_background_job_that_was_started_to_ignore_ctrl_c_obeys_it():
    process = start('sh', '-c', 'trap \'\' INT; exec "$@"', 'sh')
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
