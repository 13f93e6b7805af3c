"""Who refines plans: one interface, and a table of what stands behind it."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.checkpoint import Checkpoint
from trc_core.compile.kernels import compiled
from trc_core.numerics.parallel import in_blocks
from trc_core.planner import kernels
from trc_core.planner.kernels import Budget, Found
from trc_core.planner.network import network_of
from trc_core.problem.system import Array, SystemArrays
from trc_core.systems import System

ROWS_PER_THREAD = 8  # fewer are not worth waking a thread for


class Problems(NamedTuple):
    """B problems, and what is known of their solutions."""

    x0: Array
    """(B, n_x)."""
    goal: Array
    """(B, n_x)."""
    previous: Array | None = None
    """Plans v (B, T, n_u) that are candidates beside the LQR's and the network's own."""
    narrow: NDArray[np.bool_] | None = None
    """(B,): refine nothing but `previous`, unless another candidate is cheaper."""
    p: Array | None = None
    """Physical parameters (n_p,) of the plant, where they are not the system's own."""
    bounds: tuple[Array, Array] | None = None
    """The smallest and the largest control (n_u,), where they are not the system's own."""

    def plant(self, system: System) -> SystemArrays:
        """The numbers of the plant."""
        plant = system.arrays
        if self.p is not None:
            plant = plant._replace(p=self.p)
        if self.bounds is not None:
            plant = plant._replace(u_min=self.bounds[0], u_max=self.bounds[1])
        return plant


class Backend(ABC):
    """Plans with one network for one plant.

    Args:
        checkpoint: both.
        device: where the network runs.
        num_threads: the most that a batch may use; every core by default.
    """

    devices: tuple[str, ...] = ('cpu',)

    adjustable = False
    """Whether a problem may have physical parameters and bounds of its own."""

    kernels: tuple[Callable[..., Any], ...] = ()
    """What it compiles for its plant."""

    def __init__(self, checkpoint: Checkpoint, device: str, num_threads: int | None) -> None:
        if device.split(':')[0] not in self.devices:
            raise ValueError(f"device '{device}' is not available; choose from {self.devices}")
        starts = len(checkpoint.representation.K_start)
        self.system = checkpoint.system
        self.num_threads = num_threads
        self.candidates = (
            *_numbered('lqr', starts),
            *_numbered('network', checkpoint.model['plans']),
        )
        """The names of the candidates that every plan starts from."""

    @abstractmethod
    def plan(self, problems: Problems, budget: Budget) -> Found:
        """Solves every problem; no result is dearer than any of its candidates."""

    def empty(self, problems: Problems) -> Found:
        """Arrays for the results."""
        B, system = len(problems.x0), self.system
        count = len(self.candidates) + (problems.previous is not None)
        return Found(
            x=np.empty((B, system.horizon + 1, system.n_x)),
            u=np.empty((B, system.horizon, system.n_u)),
            J=np.empty(B),
            start=np.empty(B, dtype=np.int64),
            cycles=np.empty(B, dtype=np.int64),
            seconds=np.empty(B),
            starts=np.empty((B, count)),
        )


def _numbered(name: str, count: int) -> list[str]:
    return [name, *(f'{name} {i}' for i in range(2, count + 1))]


class KernelBackend(Backend):
    """The kernels of `kernels.py`: plain Python, or compiled by Numba."""

    adjustable = True

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str,
        num_threads: int | None,
        bind: Callable[[Callable[..., Any], System], Callable[..., Any]],
    ) -> None:
        super().__init__(checkpoint, device, num_threads)
        self._numbers = checkpoint.representation, network_of(checkpoint)
        self._plan_rows = bind(kernels.plan_rows, self.system)
        self.kernels = (self._plan_rows,)

    def plan(self, problems: Problems, budget: Budget) -> Found:
        B, found = len(problems.x0), self.empty(problems)
        T, n_u = self.system.horizon, self.system.n_u
        previous = np.zeros((B, T, n_u)) if problems.previous is None else problems.previous
        narrow = np.zeros(B, dtype=np.bool_) if problems.narrow is None else problems.narrow
        plant, arrays = problems.plant(self.system), (problems.x0, problems.goal, previous, narrow)

        def run(rows: slice) -> None:
            rest = *(a[rows] for a in arrays), found.rows(rows)
            self._plan_rows(plant, *self._numbers, budget, *rest)

        in_blocks(run, B, ROWS_PER_THREAD, self.num_threads)
        return found


def plain(kernel: Callable[..., Any], system: System) -> Callable[..., Any]:
    """A kernel bound to a system, as plain Python."""
    return functools.partial(kernel, system.functions.step, system.functions.step_jacobian)


def _torch(checkpoint: Checkpoint, device: str, num_threads: int | None) -> Backend:
    try:
        from trc_core.planner.torch_backend import TorchBackend
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the backend 'torch' needs {error.name}: pip install 'trc[train]'"
        ) from None
    return TorchBackend(checkpoint, device, num_threads)


def _onnx(checkpoint: Checkpoint, device: str, num_threads: int | None) -> Backend:
    from trc_core.planner.onnx_backend import OnnxBackend

    return OnnxBackend(checkpoint, device, num_threads)


BACKENDS: dict[str, Callable[[Checkpoint, str, int | None], Backend]] = {
    'numba': functools.partial(KernelBackend, bind=compiled),
    'numpy': functools.partial(KernelBackend, bind=plain),
    'onnx': _onnx,
    'torch': _torch,
}


def choose(name: str, device: str, checkpoint: Checkpoint) -> tuple[str, str]:
    """The backend to use for a user's choice, which may be 'auto', and why.

    Raises:
        ValueError: if there is no such backend.
    """
    if checkpoint.graph is not None and name in ('auto', 'onnx'):
        return 'onnx', f"'{checkpoint.graph.name}' is an exported graph"
    if checkpoint.graph is not None and name in BACKENDS:
        raise ValueError(f"an exported graph runs with backend='onnx', not '{name}'")
    if name in BACKENDS:
        return name, 'as asked'
    if name != 'auto':
        raise ValueError(f"unknown backend '{name}'; choose from {sorted(['auto', *BACKENDS])}")
    if device != 'cpu':
        return 'torch', f"the only one that runs on '{device}'"
    tokens = checkpoint.model['tokens']
    if tokens != 'vector':
        return 'torch', f"the only one that runs models with tokens='{tokens}'"
    return 'numba', 'the fastest on a CPU'
