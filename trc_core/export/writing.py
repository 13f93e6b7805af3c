"""From a checkpoint to a graph on disk, which is compared with the compiled kernels before."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trc_core.checkpoint import GRAPH_SUFFIX, Checkpoint
from trc_core.command_line import check_output
from trc_core.export.builder import Builder
from trc_core.export.network_graph import add_cycle
from trc_core.export.physics_graph import fits
from trc_core.export.plan_graph import WholePlan
from trc_core.planner.backends import BACKENDS, Backend, Problems
from trc_core.planner.kernels import Budget, Found
from trc_core.planner.onnx_graph import metadata_of
from trc_core.problem.system import Array

STATES = 50  # that both are compared on
TOLERANCE = 1e-6  # of refinement, as flown by default
CONTROL_TOLERANCE, COST_TOLERANCE = 1e-5, 1e-4
AGREEING = 0.95  # least share of costs: between equal basins the last bit may decide
FAR = 4.0  # boxes


class Written(NamedTuple):
    """What became of an export."""

    path: Path
    kind: str
    """`plan`: a whole plan call; `cycle`: one proposal of the network."""
    difference: float
    """Of a control from that of the compiled kernels, the largest, in half ranges."""


def export(checkpoint: Checkpoint, path: Path) -> Written:
    """Writes the graph of a checkpoint, at once or not at all.

    Raises:
        ValueError: if the model is of a kind that only PyTorch runs or was fine-tuned, if `path`
            does not end in .onnx, or if the graph does not plan what the compiled kernels plan:
            nothing is written then.
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
    kind, content = graph_of(checkpoint)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        temporary.write_bytes(content)
        difference = compare(checkpoint, replace(checkpoint, graph=temporary))
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return Written(path, kind, difference)


def graph_of(checkpoint: Checkpoint) -> tuple[str, bytes]:
    """The kind of the graph, and its file."""
    builder = Builder()
    kind = 'plan' if fits(checkpoint) else 'cycle'
    if kind == 'plan':
        WholePlan(builder, checkpoint).build()
    else:
        add_cycle(builder, checkpoint)
    return kind, builder.model(metadata_of(checkpoint, kind)).SerializeToString()


def compare(checkpoint: Checkpoint, exported: Checkpoint) -> float:
    """The largest difference of a control, in half ranges, with and without an earlier plan.

    Raises:
        ValueError: if plans or their costs differ; on plants with several basins, where the last
            bit may decide between two plans, if the costs do.
    """
    original, graph = (
        BACKENDS[name](which, 'cpu', 1)
        for name, which in (('numba', checkpoint), ('onnx', exported))
    )
    half = (checkpoint.system.u_max - checkpoint.system.u_min) / 2
    largest = 0.0
    for problems in _problems(checkpoint):
        expected, found = (_solved(backend, checkpoint, problems) for backend in (original, graph))
        same = float(np.isclose(_costs(found), _costs(expected), COST_TOLERANCE, 0).mean())
        if same < AGREEING:
            raise ValueError(
                f'the graph differs from the compiled kernels: {same:.0%} of the costs agree, '
                f'expected {AGREEING:.0%}; nothing was written'
            )
        difference = float((np.abs(found.u - expected.u) / half).max())
        if checkpoint.coordinates.kind != 'gated' and not difference <= CONTROL_TOLERANCE:
            raise ValueError(
                f'the graph differs from the compiled kernels: controls by {difference:.1e}, '
                f'expected at most {CONTROL_TOLERANCE:.0e}; nothing was written'
            )
        largest = max(largest, difference)
    return largest


def _problems(checkpoint: Checkpoint) -> list[Problems]:
    """Random problems: fresh ones, and ones with an earlier plan that is to be gone on with.

    Where the plant is linear many start outside the box: inside, the LQR is hard to better, and
    what the network proposes would not show.
    """
    system, rng = checkpoint.system, np.random.default_rng(0)
    x0, goal = system.sample(rng, STATES)
    if fits(checkpoint):
        x0 *= rng.uniform(0.5, FAR, (STATES, 1))
    half = (system.u_max - system.u_min) / 2
    previous = 0.1 * half * rng.normal(size=(STATES, system.horizon, system.n_u))
    return [Problems(x0, goal), Problems(x0, goal, previous, rng.random(STATES) < 0.5)]


def _solved(backend: Backend, checkpoint: Checkpoint, problems: Problems) -> Found:
    config = checkpoint.model
    cycles = config['H_cycles'] if config['use_two_level'] else config['num_outer_cycles']
    return backend.plan(problems, Budget(cycles, np.inf, TOLERANCE, 0.0))


def _costs(found: Found) -> Array:
    """Of all candidates and of the results, (B, N + 1)."""
    return np.column_stack([found.starts, found.J])
