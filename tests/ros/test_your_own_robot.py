"""The tutorial, followed word for word at a reduced size: every file saved, every command run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / 'docs' / 'your_own_robot.md').read_text()
FILE = re.compile(
    r'Save [\w ]*as `([\w.]+)`:\n\n```(?:python|yaml)\n(.*?)^```', re.DOTALL | re.MULTILINE
)
COMMANDS = re.compile(r'^```bash\n(.*?)^```', re.DOTALL | re.MULTILINE)
ELSEWHERE = ('python3 -m venv', 'ros2 launch')  # the test stands in an environment of its own
REDUCED = {
    '--num_samples 1000': '--num_samples 20',
    '--steps 1000': '--steps 20 --verdict false',
    '--states 100': '--states 3',
}
TIMEOUT = 300.0  # [s] for one block; the evaluation compiles the plant


def blocks():
    """The blocks of commands that a reader without a ROS installation types."""
    return [block for block in COMMANDS.findall(DOCUMENT) if not block.startswith(ELSEWHERE)]


def type_in(block, folder):
    """Runs a block in a shell of its own; returns what it printed."""
    for full, reduced in REDUCED.items():
        block = block.replace(full, reduced)
    programs = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    shell = subprocess.run(
        ['timeout', '--kill-after=10', str(TIMEOUT), 'bash', '-e', '-c', block],
        cwd=folder,
        env={**os.environ, 'PATH': programs},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert shell.returncode == 0, f'{block}\n{shell.stdout}'
    return shell.stdout


def test_the_document_still_has_what_this_test_reduces():
    assert all(full in ''.join(blocks()) for full in REDUCED)
    assert all(any(b.startswith(start) for b in COMMANDS.findall(DOCUMENT)) for start in ELSEWHERE)


@pytest.mark.long
def test_a_stranger_flies_an_arm_of_their_own(tmp_path):
    for name, text in FILE.findall(DOCUMENT):
        (tmp_path / name).write_text(text)
    seen = [type_in(block, tmp_path) for block in blocks()]
    listed, generated, trained, evaluated, flown = seen
    assert re.search(r'^arm +2 +1 +0\.05 +40', listed, re.MULTILINE)
    assert 'success 100.0 %' in generated
    assert (tmp_path / 'data' / 'overview.png').is_file()
    assert (
        'stage cost (12 starts beat the classical controller by more than 2% on 0 of 50' in trained
    )
    assert mean_ratio('trc, K = 3', evaluated) <= mean_ratio('clipped LQR', evaluated) + 1e-5
    assert 'active: plan accepted' in flown
    assert 'initial_state: [-1.57, 0.0]' in DOCUMENT  # it hangs there until it is commanded
    assert 'level' in flown.splitlines()


def mean_ratio(label, table):
    return float(re.search(rf'^{label} +([\d.]+)', table, re.MULTILINE)[1])
