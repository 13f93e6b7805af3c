"""Networks that read the weights of J: the controller's twin for the weights at hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.planner.problems import Weights
from trc_core.problem.weighting import is_entry


def for_weights(checkpoint: Checkpoint, weights: Weights) -> Checkpoint | None:
    """A network for other weights, where it reads all in which they differ; else None.

    The LQR about which plans are stabilised is the one of those weights, so that no sweeps are
    needed at the end.
    """
    system, ranges = checkpoint.system, checkpoint.coordinates.ranges
    if not reads_weights(checkpoint):
        return None
    for name, matrix in weights._asdict().items():
        places = zip(*np.nonzero(matrix != getattr(system, name)), strict=True)
        if any(i != j or f'{name}[{i}]' not in ranges for i, j in places):
            return None
    return checkpoint.on(replace(system, **weights._asdict()))


def reads_weights(checkpoint: Checkpoint) -> bool:
    """Whether weights are among the inputs of a network."""
    return any(map(is_entry, checkpoint.coordinates.ranges))
