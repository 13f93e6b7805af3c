"""The interface of backends, which refine plans, and the one that flies compiled kernels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.checkpoint import Checkpoint
from trc_core.compile.binding import plant_of, readable_plant_of
from trc_core.compile.kernels import compiled
from trc_core.compile.plant import Plant, with_parameters
from trc_core.numerics.parallel import in_blocks
from trc_core.planner import kernels
from trc_core.planner.kernels import Budget, Found, Model, Requests
from trc_core.planner.network import network_of, settings_of
from trc_core.planner.network_sizes import require_sizes
from trc_core.problem.system import Array
from trc_core.systems import System

ROWS_PER_THREAD = 8  # fewer are not worth waking a thread for


class Problems(NamedTuple):
    """B problems, and what is known of their solutions."""

    x0: Array
    """(B, n_x)."""
    r: Array
    """References (B, T + 1, n_x)."""
    previous: Array | None = None
    """Plans v (B, T, n_u) that are candidates beside the LQR's and the network's own."""
    trusted: NDArray[np.bool_] | None = None
    """(B,): refine nothing but `previous`, unless another candidate is cheaper."""
    p: Array | None = None
    """Physical parameters (n_p,) of the plant, where they are not the system's own."""
    bounds: tuple[Array, Array] | None = None
    """The smallest and the largest control (n_u,), where they are not the system's own."""

    def requests(self, system: System) -> Requests:
        """The problems as kernels take them."""
        B, T, n_u = len(self.x0), system.horizon, system.n_u
        previous = np.zeros((B, T, n_u)) if self.previous is None else self.previous
        trusted = np.zeros(B, dtype=np.bool_) if self.trusted is None else self.trusted
        return Requests(self.x0, self.r, previous, trusted)

    def adjusted(self, plant: Plant) -> Plant:
        """A plant with the problems' own parameters and bounds."""
        if self.p is not None:
            plant = with_parameters(plant, self.p)
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
        readable: bool = False,
    ) -> None:
        super().__init__(checkpoint, device, num_threads)
        settings, net = settings_of(checkpoint), network_of(checkpoint)
        require_sizes(checkpoint, net, settings)
        self._model = Model(checkpoint.representation, settings, net)
        self._readable = readable
        self._plan_rows = kernels.plan_rows if readable else compiled(kernels.plan_rows)
        self.kernels = () if readable else (self._plan_rows,)

    def plan(self, problems: Problems, budget: Budget) -> Found:
        found, requests = self.empty(problems), problems.requests(self.system)
        plant = readable_plant_of(self.system) if self._readable else plant_of(self.system)
        plant = problems.adjusted(plant)
        if len(requests.x0) == 1:  # nothing to share out
            self._plan_rows(plant, self._model, budget, requests, found)
            return found

        def run(rows: slice) -> None:
            own, results = requests.rows(rows), found.rows(rows)
            self._plan_rows(plant, self._model, budget, own, results)

        in_blocks(run, len(requests.x0), ROWS_PER_THREAD, self.num_threads)
        return found
