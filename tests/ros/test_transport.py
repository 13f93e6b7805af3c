"""Nodes send by UDP, and are found by those that do not."""

import os
import subprocess
import sys

import pytest

pytest.importorskip('rclpy')

from trc_ros.transport import PROFILES, RANGE, TRANSPORTS

# A node like ours that is looked for by one as ROS 2 makes it; prints how the first one receives.
NODES = """
import os, pathlib, sys, time
before = dict(os.environ)
if sys.argv[1] == 'ours':
    from trc_ros.transport import avoid_shared_memory
    avoid_shared_memory()
import rclpy
rclpy.init()
node = rclpy.create_node(sys.argv[1])
deadline = time.monotonic() + 20
while len(node.get_node_names()) < 2 and time.monotonic() < deadline:
    time.sleep(0.05)
tasks = pathlib.Path('/proc/self/task').iterdir()
print(*sorted({(task / 'comm').read_text().strip() for task in tasks}), len(node.get_node_names()))
sys.stdout.flush()
time.sleep(1)
os._exit(0)
"""


@pytest.mark.parametrize(
    ('given', 'shared'),
    [
        ({RANGE: 'LOCALHOST'}, False),
        ({RANGE: 'LOCALHOST', TRANSPORTS: 'UDPv4'}, False),
        ({RANGE: 'LOCALHOST', TRANSPORTS: 'DEFAULT'}, True),  # asked for
    ],
)
def test_without_shared_memory_unless_asked_for(given, shared, worker_domain):
    ours = {TRANSPORTS, *PROFILES}
    rest = {name: value for name, value in os.environ.items() if name not in ours}
    environment = {**rest, 'ROS_DOMAIN_ID': worker_domain, **given}
    command = [sys.executable, '-c', NODES]
    processes = [
        subprocess.Popen([*command, name], env=environment, stdout=subprocess.PIPE, text=True)
        for name in ('ours', 'theirs')
    ]
    ours, theirs = (process.communicate(timeout=60)[0].split() for process in processes)
    assert any(name.startswith('dds.shm') for name in ours) is shared
    assert any(name.startswith('dds.shm') for name in theirs)
    assert ours[-1] == theirs[-1] == '2'


@pytest.fixture
def worker_domain():
    """A domain in which nobody else is."""
    return str(101 + os.getpid() % 100)
