"""Files that are written whole or not at all, and arrays that are read whole or not at all."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

DAMAGES = (
    *(EOFError, KeyError, NotImplementedError, OverflowError, RuntimeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What NumPy and `zipfile` raise where a file is cut short or has other bytes."""
notices = logging.getLogger('trc')


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place once all is written and on the disk.

    If anything fails (a full disk, Ctrl-C), what stood at `path` before is still there, and
    nothing else is left.

    Raises:
        OSError: if the folder cannot be written.
    """
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp')
    try:
        yield temporary
        with temporary.open('rb+') as file:
            os.fsync(file.fileno())  # a renamed file without contents is no use after a power cut
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary), temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk names none
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_whole(path: Path, content: bytes | str) -> None:
    """Writes a file at once or not at all, whoever else writes it."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def alone(path: Path, patience: float) -> Iterator[None]:
    """Keeps other processes out that ask for the same file, which must exist.

    Where a file cannot be locked, or after so many seconds, it goes on all the same.
    """
    end = time.monotonic() + patience
    with ExitStack() as opened:
        with suppress(OSError):
            file = opened.enter_context(path.open('rb'))
            while not _is_locked(file) and time.monotonic() < end:
                time.sleep(0.05)
        yield


def _is_locked(file: IO[bytes]) -> bool:
    """Whether this process has the file to itself now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_arrays(path: Path, **arrays: Any) -> None:
    """Writes an `.npz` file at once or not at all."""
    with whole_file(path) as temporary, temporary.open('wb') as file:
        np.savez(file, **arrays)


def read_arrays(path: Path, *names: str) -> dict[str, NDArray[Any]] | None:
    """The arrays of an `.npz` file (with `names`, those); None if it is absent or damaged.

    A damaged file is noticed in one line of the log: whoever asks makes it again.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names or archive.files}
    except FileNotFoundError:
        return None
    except (OSError, *DAMAGES) as error:
        notice_damage(path, error)
        return None


def notice_damage(path: Path, why: object = 'it has other contents') -> None:
    """Says in one line that a file is damaged and is made again."""
    notices.warning("'%s' is damaged (%s); it is made again", path, ' '.join(str(why).split()))


def notice_unkept(path: Path, error: OSError) -> None:
    """Says in one line that a file of the cache could not be kept, which costs time later."""
    notices.warning("'%s' cannot be kept: %s", path, error.strerror or error)
