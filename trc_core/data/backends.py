"""Backends of the work: processes here, or machines of a Ray or Dask cluster, by joblib."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple


class Backend(NamedTuple):
    """Backend of joblib."""

    package: str
    """Package that pip installs."""
    module: str
    start: Callable[[Any], Any]
    """Connects to the cluster (or starts one here), given the module; returns what to keep."""
    streams: bool
    """Whether results come back one by one; otherwise after a whole round."""


BACKENDS = {
    'loky': Backend('trc[train]', 'joblib', lambda joblib: None, streams=True),
    'ray': Backend('ray', 'ray.util.joblib', lambda ray: ray.register_ray(), streams=False),
    'dask': Backend(
        'dask[distributed]',
        'dask.distributed',
        lambda dask: dask.Client(os.environ.get('DASK_SCHEDULER_ADDRESS')),
        streams=True,
    ),
}
ROUND = 4  # tasks per worker in a round of a backend that does not stream


def require(backend: str) -> Any:
    """The module behind `backend`.

    Raises:
        ValueError: if there is no such backend, or its library is not installed.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend '{backend}'; choose from {list(BACKENDS)}")
    try:
        return importlib.import_module(BACKENDS[backend].module)
    except ImportError:
        raise ValueError(
            f"the backend '{backend}' needs its library; "
            f"install it with pip install '{BACKENDS[backend].package}'"
        ) from None


def run(
    function: Callable[..., Any], tasks: Sequence[Sequence[Any]], backend: str, workers: int
) -> Iterator[Any]:
    """Yields function(*task) of every task, as they finish.

    `DASK_SCHEDULER_ADDRESS` and `RAY_ADDRESS` name a running cluster; without, one starts here.

    Raises:
        ValueError: see `require`.
    """
    from joblib import Parallel, delayed, effective_n_jobs, parallel_config

    chosen = BACKENDS[backend]
    kept = chosen.start(require(backend))
    try:
        with parallel_config(backend=backend):
            how = 'generator_unordered' if chosen.streams else 'list'
            size = len(tasks) if chosen.streams else ROUND * effective_n_jobs(workers)
            for first in range(0, len(tasks), max(1, size)):
                calls = (delayed(function)(*task) for task in tasks[first : first + size])
                yield from Parallel(n_jobs=workers, return_as=how)(calls)
    finally:
        if hasattr(kept, 'close'):
            kept.close()
