"""Progress of long work: a bar on a terminal, whole lines in a log file."""

import ast
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from trc_core import progress
from trc_core.progress import duration, progress_bar

ROOT = Path(__file__).parents[1]
LINE = re.compile(
    r'^flights: (\d+) of 4 flights, ([\d.e+]+) flights/s, (?:(\d+) s left|took (\d+) s), J 2$'
)
CHILD = """
from trc_core import progress

progress.SECONDS_BETWEEN_LINES = 0
bar = progress.progress_bar(range(4), 'flights', unit='flights')
for i in bar:
    bar.set_postfix({'J': 2})
"""


def test_a_log_file_gets_whole_lines_with_count_rate_and_time_left():
    child = subprocess.run(
        [sys.executable, '-c', CHILD], capture_output=True, check=True, cwd=ROOT
    )
    shown = child.stderr.decode()
    assert child.stdout == b'' and '\r' not in shown and '\x1b' not in shown
    found = [LINE.match(line) for line in shown.splitlines()]
    assert [int(line[1]) for line in found] == [1, 2, 3, 4, 4]
    assert all(float(line[2]) > 0 for line in found)
    assert [line[3] is None for line in found] == [False, False, False, True, True]


def test_lines_are_not_sooner_than_some_seconds_after_another(capsys):
    for _ in (bar := progress_bar(range(4), 'flights', unit='flights')):
        bar.set_postfix({'J': 2})
    assert LINE.match(capsys.readouterr().err.removesuffix('\n'))[1] == '4'


def test_a_terminal_gets_a_bar(monkeypatch):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    with open(theirs, 'w') as terminal:
        monkeypatch.setattr(sys, 'stderr', terminal)
        assert list(progress_bar(range(4), 'flights', unit='flights')) == [0, 1, 2, 3]
    shown = b''
    while b'4/4' not in shown:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # how Linux says that all was read
            break
    os.close(ours)
    assert b'\rflights: 100%' in shown and b'4/4' in shown


def test_the_time_left_follows_from_what_this_run_did(monkeypatch, capsys):
    clock = iter([0.0, 30.0, 100.0])
    monkeypatch.setattr(progress.time, 'monotonic', lambda: next(clock))
    with progress_bar(label='data', total=1000, initial=400, unit='samples') as bar:
        bar.update(60)
    *_, left, end = capsys.readouterr().err.splitlines()
    assert left == 'data: 460 of 1000 samples, 2 samples/s, 4 min 30 s left'
    assert end == 'data: 460 of 1000 samples, 0.6 samples/s, 15 min 0 s left'


def test_what_failed_or_is_part_of_longer_work_ends_without_a_line(capsys):
    with pytest.raises(OSError), progress_bar(total=2):
        raise OSError('no disk')
    assert list(progress_bar('ab', leave=False)) == ['a', 'b']
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize(
    ('seconds', 'text'), [(0.4, '0 s'), (59, '59 s'), (61, '1 min 1 s'), (7290, '2 h 1 min')]
)
def test_times_are_written_for_people(seconds, text):
    assert duration(seconds) == text


def test_nobody_draws_bars_of_their_own():
    sources = [*ROOT.glob('trc_core/**/*.py'), *ROOT.glob('ros2_ws/src/**/*.py')]
    own = ROOT / 'trc_core' / 'progress.py'
    drawn = {'tqdm', 'TQDMProgressBar', 'RichProgressBar'}
    for path in sources:
        names = {
            name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (getattr(node, 'module', None), *(alias.name for alias in node.names))
        }
        assert not names & drawn or path == own, path
