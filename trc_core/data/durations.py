"""Trajectories whose duration is free: what their steps lead to, what they cost, and their limits.

They have `T` steps of equal length, `duration / T`, whatever the `dt` of their system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trc_core.problem.free_time import RESULTS, end_graph, forward_graph, groups_of

if TYPE_CHECKING:
    from trc_core.data.trajectories import TrajectoryData
    from trc_core.problem.system import Array, System

SLACK = 1e-6  # share by which a duration, or the length of controls, may leave its limits


def steps_and_cost(data: TrajectoryData) -> tuple[Array, Array]:
    """The states (N, T, n_x) that the steps of trajectories lead to, and J (N,)."""
    system, (N, T, _) = data.system, data.controls.shape
    assert data.duration is not None
    n_x = system.n_x
    p = np.tile(system.p, (N, 1)) if data.parameters is None else data.parameters
    trim = system.trims(data.target_state, p)
    unpriced = [0.0] * (n_x + len(system.task.constraints))
    unmoved = [0.0] * 2 * system.n_u
    dt = data.duration / T

    def arguments(x: Array, u: Array, k: Array, ones: Array) -> list[Array | float]:
        """Those of a graph, of states (..., n_x); ones has the shape that rows spread over."""
        rows = [np.multiply.outer(row, ones) for row in (*p.T, *data.target_state.T, *trim.T)]
        length = np.multiply.outer(dt, ones)
        return [
            *np.moveaxis(x, -1, 0),
            *np.moveaxis(u, -1, 0),
            length,
            k,
            *unpriced,
            *unmoved,
            *rows,
        ]

    steps = np.broadcast_to(np.arange(T, dtype=np.float64), (N, T))
    held = arguments(data.states[:, :-1], data.controls, steps, np.ones(T))
    found = forward_graph(system).evaluate(held)[RESULTS]
    last = arguments(data.states[:, -1], data.controls[:, -1], np.full(N, float(T)), np.ones(()))
    end = end_graph(system).evaluate(last)[RESULTS]
    after = np.stack([np.broadcast_to(row, (N, T)) for row in found[:n_x]], axis=-1)
    return after, np.broadcast_to(found[n_x], (N, T)).sum(1) + end[0]


def beyond_limits(data: TrajectoryData) -> dict[str, NDArray[np.bool_]]:
    """Which samples (N,) leave the limits of the duration, or of the length of their controls."""
    system, seconds = data.system, data.duration
    assert seconds is not None
    assert system.final_time is not None
    low, high = system.final_time
    too_long = np.zeros(len(data), dtype=np.bool_)
    for least, most, lengths in lengths_of(system, data.controls):
        too_long |= np.any((lengths < least * (1 - SLACK)) | (lengths > most * (1 + SLACK)), 1)
    return {
        "'duration' leaves final_time": np.less(seconds, low * (1 - SLACK))
        | np.greater(seconds, high * (1 + SLACK)),
        "'controls' leave the limits of their length": too_long,
    }


def lengths_of(system: System, controls: Array) -> list[tuple[float, float, Array]]:
    """The least, the largest and the found lengths (N, T) of every vector of controls."""
    return [
        (norm.low, norm.high, np.linalg.norm(controls[..., places], axis=-1))
        for norm, places in zip(system.norms, groups_of(system), strict=True)
    ]
