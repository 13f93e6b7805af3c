"""From a checkpoint to a graph on disk, which is compared with the compiled kernels before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trc_core.checkpoint import GRAPH_SUFFIX, Checkpoint
from trc_core.command_line import check_output
from trc_core.exported_network import metadata_of, sealed
from trc_core.numerics.cost import constant_reference
from trc_core.planner.backend import Backend
from trc_core.planner.onnx.backend import OnnxBackend
from trc_core.planner.onnx.builder import Builder
from trc_core.planner.onnx.network_graph import NetworkGraph
from trc_core.planner.problems import Problems
from trc_core.planner.rows import Budget, Found
from trc_core.problem.system import Array
from trc_core.whole_files import whole_file

STATES = 50  # that both are compared on
CONTROL_TOLERANCE, COST_TOLERANCE = 1e-5, 1e-4
AGREEING = 0.95  # least share of costs: between equal basins the last bit may decide
FAR, LINEAR = 4.0, 1e-9  # boxes; largest change of a step's Jacobian


class Written(NamedTuple):
    """What became of an export."""

    path: Path
    difference: float
    """Largest difference of a control, in half ranges, from that of the checkpoint's backend."""
    reference: str
    """The backend of the checkpoint that it was compared with."""


def export(
    checkpoint: Checkpoint, path: Path, reference: str, backend: Callable[[], Backend]
) -> Written:
    """Writes the network of a checkpoint, at once or not at all.

    Args:
        checkpoint: holds the network.
        path: the file to write.
        reference: the name of the backend that it is compared with.
        backend: makes that backend.

    Raises:
        ValueError: if the model has a latent for every control step or was fine-tuned, if `path`
            does not end in .onnx, or if plans differ from those of the compiled kernels (of
            PyTorch, for a model that they do not fly): nothing is written then.
        OSError: if the folder cannot be written.
    """
    if checkpoint.graph is not None:
        raise ValueError(f"'{checkpoint.graph}' is an exported graph already")
    if checkpoint.correction:
        raise ValueError(
            'a graph cannot hold what fine-tuning has added; export the controller that it '
            'started from'
        )
    check_output(path, GRAPH_SUFFIX)
    content = sealed(graph_of(checkpoint))
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
        exported = OnnxBackend(replace(checkpoint, graph=temporary), 'cpu', 1)
        difference = compare(checkpoint, exported, backend(), reference)
    return Written(path, difference, reference)


def graph_of(checkpoint: Checkpoint) -> bytes:
    """The content of the file."""
    builder = Builder()
    NetworkGraph(builder, checkpoint).build()
    content: bytes = builder.model(metadata_of(checkpoint)).SerializeToString()
    return content


def compare(checkpoint: Checkpoint, exported: Backend, original: Backend, reference: str) -> float:
    """The largest difference of a control from that of a backend, in half ranges.

    Raises:
        ValueError: if plans or their costs differ; on plants with several basins, where the last
            bit may decide between two plans, if the costs do.
    """
    half = (checkpoint.system.u_max - checkpoint.system.u_min) / 2
    largest = 0.0
    for problems in _problems(checkpoint):
        expected, found = (
            _solved(backend, checkpoint, problems) for backend in (original, exported)
        )
        same = float(np.isclose(_costs(found), _costs(expected), COST_TOLERANCE, 0).mean())
        if same < AGREEING:
            raise ValueError(
                f'the graph differs from {reference}: {same:.0%} of the costs agree, '
                f'expected {AGREEING:.0%}; nothing was written'
            )
        difference = float((np.abs(found.u - expected.u) / half).max())
        if checkpoint.coordinates.kind != 'gated' and not difference <= CONTROL_TOLERANCE:
            raise ValueError(
                f'the graph differs from {reference}: controls by {difference:.1e}, '
                f'expected at most {CONTROL_TOLERANCE:.0e}; nothing was written'
            )
        largest = max(largest, difference)
    return largest


def _problems(checkpoint: Checkpoint) -> list[Problems]:
    """Random problems, without and with an earlier plan.

    Where the plant is linear many start outside the box: inside, the LQR is hard to better, and
    what the network proposes would not show.
    """
    system, rng = checkpoint.system, np.random.default_rng(0)
    x0, goal = system.sample(rng, STATES)
    half = (system.u_max - system.u_min) / 2
    jacobians = [np.hstack(system.step_jacobian(x, system.u_trim)) for x in x0]
    if np.ptp(jacobians, axis=0).max() <= LINEAR:
        x0 *= rng.uniform(0.5, FAR, (STATES, 1))
    previous = 0.1 * half * rng.normal(size=(STATES, system.horizon, system.n_u))
    r = constant_reference(goal, system.horizon)
    return [Problems(x0, r), Problems(x0, r, previous)]


def _solved(backend: Backend, checkpoint: Checkpoint, problems: Problems) -> Found:
    config = checkpoint.model
    cycles = config['H_cycles'] if config['use_two_level'] else config['num_outer_cycles']
    return backend.plan(problems, Budget(cycles, np.inf, 0.0, 0.0))


def _costs(found: Found) -> Array:
    """Of all candidates and of the results, (B, N + 1)."""
    return np.column_stack([found.starts, found.J])
