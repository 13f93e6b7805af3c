"""Refinement of many candidates at once around an exported network."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trc_core.checkpoint import Checkpoint
from trc_core.compile.kernels import compiled
from trc_core.numerics.parallel import in_blocks
from trc_core.planner.backends import ROWS_PER_THREAD, Problems
from trc_core.planner.kernels import Found
from trc_core.planner.onnx_graph import Graph
from trc_core.planner.onnx_kernels import (
    Senses,
    accept_rows,
    encode_rows,
    observe_rows,
    start_rows,
)
from trc_core.problem.system import Array

Rows = NDArray[np.int64]
Features = NDArray[np.float32]


class Physics:
    """The compiled kernels of one plant, and what its network reads."""

    def __init__(self, checkpoint: Checkpoint, num_threads: int | None) -> None:
        config, system = checkpoint.model, checkpoint.system
        feedback = config['feedback']
        representation = checkpoint.representation
        self.numbers = system.arrays, representation
        self.senses = Senses(
            terminal='terminal' in feedback,
            trajectory='trajectory' in feedback,
            gradient='gradient' in feedback,
            stride=config['feedback_stride'],
            residual=config['use_residual_decoder'],
            sweeps=config['sweeps'],
        )
        n_x, n_u, T = system.n_x, system.n_u, system.horizon
        states = self.senses.terminal + self.senses.trajectory * (T // self.senses.stride)
        self.problem_dim = (
            2 * n_x + 2 * len(representation.angles) + len(representation.inputs) + 1
        )
        self.consequences_dim = states * n_x + self.senses.gradient * T * n_u
        self._threads = num_threads
        functions = encode_rows, start_rows, observe_rows, accept_rows
        self.kernels = tuple(compiled(function, system) for function in functions)
        encode, start, self.observe, self.accept = self.kernels
        self.encode, self.start = self._on_rows(encode), self._on_rows(start)

    def in_blocks(self, work: Callable[[slice], object], rows: int) -> None:
        """Calls `work` on blocks of rows, on as many threads as a batch may use."""
        in_blocks(work, rows, ROWS_PER_THREAD, self._threads)

    def _on_rows(self, kernel: Callable[..., Any]) -> Callable[..., None]:
        """A kernel over arrays with one axis in common."""

        def run(*arrays: NDArray[Any]) -> None:
            def block(rows: slice) -> None:
                kernel(*self.numbers, *(a[rows] for a in arrays))

            self.in_blocks(block, len(arrays[0]))

        return run


class Search:
    """The candidates of B problems while they are refined.

    Candidate n of problem b is row b N + n. All arrays but `found` change in place.

    Args:
        graph: the network.
        physics: around it.
        problems: B of them.
        found: to fill.
    """

    def __init__(self, graph: Graph, physics: Physics, problems: Problems, found: Found) -> None:
        self.graph, self.physics, self.found = graph, physics, found
        self.goal, x0, previous = problems.goal, problems.x0, problems.previous
        (B, N), (_, T, n_u) = found.starts.shape, found.u.shape
        self.N = N
        self.s, self.side = np.empty(B), np.empty(B)
        first = self._encode(x0)
        self.x, self.u = np.empty((B * N, *found.x.shape[1:])), np.empty((B * N, T, n_u))
        self.J = np.empty(B * N)
        previous = np.zeros((B, T, n_u)) if previous is None else previous
        candidates = (a.reshape(B, N, *a.shape[1:]) for a in (self.x, self.u, self.J))
        physics.start(first, self.s, self.side, x0, self.goal, previous, *candidates, found.starts)
        self.alive: Rows = np.tile(np.arange(N), (B, 1))
        self.gain, self.open = np.full(B * N, math.inf), np.ones(B * N, dtype=np.bool_)
        found.cycles[:] = 0

    def _encode(self, x0: Array) -> Features:
        """What the network writes before it has seen any plan; notes units and latents."""
        features = np.empty((len(x0), self.physics.problem_dim), np.float32)
        self.physics.encode(x0, self.goal, features, self.s, self.side)
        outputs = ['z_problem', 'z_H_first', 'z_L_first', 'first_plans']
        *latents, first = self.graph.run(outputs, {'problem': features})
        self.z, self.z_H, self.z_L = (np.repeat(z, self.N, axis=0) for z in latents)
        return first

    def keep(self, width: int) -> None:
        """Goes on with the cheapest candidates of every problem, in order."""
        J = np.take_along_axis(self.J.reshape(-1, self.N), self.alive, 1)
        order = np.argsort(J, axis=1, kind='stable')[:, :width]
        self.alive = np.take_along_axis(self.alive, order, 1)

    def narrow(self, narrow: NDArray[np.bool_]) -> None:
        """Refines nothing but the last candidate of a problem where that is the cheapest."""
        problems = np.flatnonzero(narrow & (self.alive[:, 0] == self.N - 1))
        self.open.reshape(-1, self.N)[problems, : self.N - 1] = False

    def refine(self, tolerance: float) -> bool:
        """One cycle on what promises to gain more than `tolerance` J; whether anything does."""
        rows = (self.alive + self.N * np.arange(len(self.alive))[:, None]).ravel()
        rows = rows[self.open[rows]]
        v, promise, seen = self._observe(rows)
        wanted = ~(promise < tolerance * self.J[rows])
        self.open[rows[~wanted]] = False
        rows, v = rows[wanted], v[wanted]
        if not len(rows):
            return False
        inputs = {name: feature[wanted] for name, feature in seen.items()}
        inputs.update(z=self.z[rows], z_H=self.z_H[rows], z_L=self.z_L[rows])
        outputs = ['output', 'z_H_next', 'z_L_next']
        output, self.z_H[rows], self.z_L[rows] = self.graph.run(outputs, inputs)
        before = self.J[rows]
        self._accept(rows, v, output)
        self.gain[rows] = before - self.J[rows]
        self.found.cycles[np.unique(rows // self.N)] += 1
        return True

    def finish(self) -> None:
        """Fills the results with the best candidate of every problem."""
        self.keep(1)
        best = self.alive[:, 0]
        rows = best + self.N * np.arange(len(best))
        found = self.found
        found.x[:], found.u[:] = self.x[rows], self.u[rows]
        found.J[:], found.start[:] = self.J[rows], best

    def _observe(self, rows: Rows) -> tuple[Array, Array, dict[str, Features]]:
        """The plans v, what a cycle promises to gain, and what the network reads of the rows."""
        R, (T, n_u) = len(rows), self.u.shape[1:]
        v, promise = np.empty((R, T, n_u)), self.gain[rows]
        seen = {
            'plan': np.empty((R, 2 * T * n_u), np.float32),
            'consequences': np.empty((R, self.physics.consequences_dim), np.float32),
            'slope': np.empty((R, T * n_u), np.float32),
        }
        first = *self.physics.numbers, self.physics.senses, self.s, self.side, self.goal
        arrays = rows, v, promise, *seen.values()

        def block(part: slice) -> None:
            self.physics.observe(*first, self.x, self.u, *(a[part] for a in arrays))

        self.physics.in_blocks(block, R)
        return v, promise, seen

    def _accept(self, rows: Rows, v: Array, output: Features) -> None:
        """Takes what the network wants as far as the guard lets it."""
        first = *self.physics.numbers, self.physics.senses, self.s, self.side, self.goal
        candidates = self.x, self.u, self.J

        def block(part: slice) -> None:
            self.physics.accept(*first, *candidates, rows[part], v[part], output[part])

        self.physics.in_blocks(block, len(rows))
