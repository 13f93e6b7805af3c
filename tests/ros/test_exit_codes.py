"""Exit codes tell whoever starts the nodes whether to start them again."""

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

pytest.importorskip('rclpy')

from trc_ros.process import BROKE, ENDED, REFUSED

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'bring_up.md'


@pytest.fixture
def unit():
    """The systemd unit of the page."""
    [text] = re.findall(r'```ini\n(.*?)```', PAGE.read_text(), re.S)
    return text


def test_the_unit_starts_again_what_broke_and_not_what_was_refused(unit):
    parsed = ConfigParser(strict=False, interpolation=None)
    parsed.read_string(unit)
    service = parsed['Service']
    assert service['Restart'] == 'on-failure'  # any code but 0, and signals
    assert service['RestartPreventExitStatus'].split() == [str(REFUSED)]
    assert BROKE not in (ENDED, REFUSED)


def test_the_page_names_every_code():
    rows = re.findall(r'^\| (\d+)(?:, \d+)* \|', PAGE.read_text(), re.M)
    assert {int(row) for row in rows} >= {ENDED, REFUSED, BROKE}


@pytest.mark.skipif(shutil.which('systemd-analyze') is None, reason='no systemd-analyze here')
def test_systemd_understands_the_unit(unit, tmp_path):
    path = tmp_path / 'trc-controller.service'
    path.write_text(unit.replace('User=robot\n', ''))
    done = subprocess.run(
        ['systemd-analyze', 'verify', '--man=no', path], capture_output=True, text=True
    )
    ours = [line for line in done.stderr.splitlines() if 'trc-controller' in line]
    assert (done.returncode, ours) == (0, []), done.stderr
