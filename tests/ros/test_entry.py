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


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_node_is_imported_ends_it_without_a_word(number):
    command = [sys.executable, '-c', IMPORTING]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'importing\n'
    process.send_signal(number)
    assert process.communicate(timeout=30) == ('', '')
    assert process.returncode == 0
