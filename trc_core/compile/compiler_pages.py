"""Memory of the compiler: a process that has compiled what it needs hands it back."""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

LIBRARY = 'libllvmlite.so'
MAPPING = re.compile(r'([0-9a-f]+)-([0-9a-f]+) r-\S* .*/(\S+)')
MADV_DONTNEED = 4  # of <sys/mman.h>


def hand_back() -> None:
    """Drops the pages of LLVM's code and constants, some 60 MB, and free pages of the heap.

    LLVM works as before: where it is needed again, pages are read from its file. Free blocks lie
    scattered over the heap after a start (16 MB where Python had to compile its own source files),
    and the C library keeps their pages until it is asked. On an operating system without these
    calls nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for begin, end in _pages(Path('/proc/self/smaps').read_text()):
            libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), MADV_DONTNEED)
        libc.malloc_trim(0)


def _pages(smaps: str) -> Iterator[tuple[int, int]]:
    """Addresses of parts of the library that are as in its file: nothing was written to them."""
    mapping = None
    for line in smaps.splitlines():
        if '-' in line.split(' ')[0]:
            found = MAPPING.fullmatch(line)
            is_part = found is not None and found[3] == LIBRARY
            mapping = (int(found[1], 16), int(found[2], 16)) if found and is_part else None
        elif mapping and line.split() == ['Anonymous:', '0', 'kB']:
            yield mapping
