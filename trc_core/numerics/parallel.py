"""Rows of a batch, shared out between threads: compiled code lets them run at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_blocks(
    work: Callable[[slice], object], rows: int, least: int, threads: int | None = None
) -> None:
    """Calls `work` on blocks that make up `rows`, at once.

    Args:
        work: called with each block; compiled without the GIL, or nothing is gained.
        rows: how many there are.
        least: rows of a block; fewer are not worth waking a thread for.
        threads: the most to use; every core by default.
    """
    blocks = min(threads or cores(), max(1, rows // least))
    if blocks == 1:
        work(slice(0, rows))
        return
    edges = [rows * i // blocks for i in range(blocks + 1)]
    jobs = [_threads(blocks).submit(work, slice(lo, hi)) for lo, hi in pairwise(edges)]
    for job in jobs:
        job.result()


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix='trc-rows')
