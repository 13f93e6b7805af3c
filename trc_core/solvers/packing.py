"""Jobs for other processes, where a user's system file was never imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from trc_core.problem.system import System


@contextmanager
def killed_workers(advice: str) -> Iterator[None]:
    """Turns the end of a worker process into one line that says what to do.

    Raises:
        ChildProcessError: if one was killed, most often by a system that is out of memory.
    """
    try:
        yield
    except BrokenExecutor as error:
        raise ChildProcessError(
            f'a worker process was killed, most often for want of memory; {advice}'
        ) from error


def packed(job: Any, system: System) -> bytes:
    """`job`, which holds `system`, with the file that defines it as bytes."""
    import cloudpickle

    module = system.dynamics.__module__
    if not module.startswith('trc_core.') and module in sys.modules:
        cloudpickle.register_pickle_by_value(sys.modules[module])
    return bytes(cloudpickle.dumps(job))


@lru_cache(maxsize=1)  # of many tasks: code for a user's system is generated once per object
def unpacked(job: bytes) -> Any:
    """The job that was packed."""
    import cloudpickle

    return cloudpickle.loads(job)


def call(job: bytes, *arguments: Any) -> Any:
    """Calls a packed function."""
    return unpacked(job)(*arguments)
