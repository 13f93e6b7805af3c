"""The cache after a power cut: what is damaged is made again, in one line, and never run."""

import resource
import signal
import sys

import numpy as np
import pytest

from trc_core import SYSTEMS
from trc_core.compile import machine_code
from trc_core.compile.binding import code_of
from trc_core.compile.kernels import compiled
from trc_core.evaluation.reference import keep
from trc_core.numerics.box_qp import backsolve
from trc_core.whole_files import write_arrays, write_whole

DAMAGES = {
    'empty': lambda content: b'',
    'cut': lambda content: content[: len(content) // 2],
    'zeroed': lambda content: bytes(len(content)),
    'flipped': lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of its own."""
    monkeypatch.setenv('TRC_CACHE_DIR', str(tmp_path))
    return tmp_path


def a_new_process_finds(monkeypatch):
    """The values of a kernel, a plant's machine code and kept arrays, as a new process has them.

    Nothing that this process loaded before counts.
    """
    monkeypatch.setattr(machine_code, 'LOADED', {})
    for name in [name for name in sys.modules if name.startswith('trc_compiled_backsolve')]:
        monkeypatch.delitem(sys.modules, name)
    b = np.array([2.0, 8.0])
    compiled.__wrapped__(backsolve)(np.array([[2.0, 0.0], [1.0, 4.0]]), b)
    names = sorted(code_of(SYSTEMS['pendulum']).addresses)
    kept = keep(SYSTEMS['pendulum'], 'optima', 0, lambda: {'cost': np.arange(3.0)})
    return b.tolist(), names, kept['cost'].tolist()


def files(cache):
    """The files of the cache, without the sources of kernels, which are compared as text."""
    return sorted(path for path in cache.rglob('*') if path.is_file())


@pytest.mark.parametrize(
    'damage',
    ['flipped', *(pytest.param(d, marks=pytest.mark.long) for d in DAMAGES if d != 'flipped')],
)
def test_every_damaged_file_is_made_again_and_noticed_in_one_line(
    damage, cache, monkeypatch, caplog
):
    good = a_new_process_finds(monkeypatch)
    made = files(cache)
    assert {path.suffix for path in made} == {'.py', '.nbi', '.nbc', '.o', '.npz'}
    assert a_new_process_finds(monkeypatch) == good and not caplog.records
    for path in made:
        whole = path.read_bytes()
        path.write_bytes(DAMAGES[damage](whole))
        caplog.clear()
        assert a_new_process_finds(monkeypatch) == good
        (notice,) = caplog.messages
        assert str(path) in notice and 'is damaged' in notice and '\n' not in notice
        caplog.clear()
        assert a_new_process_finds(monkeypatch) == good
        assert not caplog.records  # whole again


def test_a_cache_that_is_whole_is_compiled_no_second_time(cache, monkeypatch):
    a_new_process_finds(monkeypatch)
    before = {path: path.stat().st_mtime_ns for path in files(cache)}
    a_new_process_finds(monkeypatch)
    assert {path: path.stat().st_mtime_ns for path in files(cache)} == before


def test_what_was_written_without_a_seal_is_not_loaded(cache, monkeypatch):
    a_new_process_finds(monkeypatch)
    (data,) = (path for path in files(cache) if path.suffix == '.nbc')
    evil = b"cos\nsystem\n(S'touch %s/ran'\ntR." % bytes(cache)
    data.write_bytes(evil)
    a_new_process_finds(monkeypatch)
    assert not (cache / 'ran').exists()


@pytest.fixture
def full_disk():
    """A disk on which no file can grow beyond 100 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, full_disk):
    path = tmp_path / 'a.npz'
    path.write_bytes(b'before')
    for write in (
        lambda: write_whole(path, bytes(1000)),
        lambda: write_arrays(path, cost=np.zeros(1000)),
    ):
        with pytest.raises(OSError, match=r"File too large: '.*/a\.npz'"):
            write()
        assert path.read_bytes() == b'before'
        assert [file.name for file in tmp_path.iterdir()] == ['a.npz']


def test_a_full_cache_costs_time_and_no_result(cache, monkeypatch, caplog, full_disk):
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))  # room for the small files
    good = a_new_process_finds(monkeypatch)
    assert good[2] == [0.0, 1.0, 2.0]
    assert len(caplog.messages) == 2  # machine code of the kernel and of the plant
    assert all('cannot be kept: File too large' in notice for notice in caplog.messages)
    assert not [path for path in files(cache) if path.suffix in ('.o', '.nbc', '.tmp')]
