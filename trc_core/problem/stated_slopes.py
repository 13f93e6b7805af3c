"""Slopes that a file states beside its dynamics: they are compared with these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trc_core.problem.discretise import output_of
from trc_core.problem.probes import Probes

if TYPE_CHECKING:
    from trc_core.problem.graph import Graph
    from trc_core.problem.system import Array, System

STEP = 1e-5  # of the differences, relative to the inputs, at least to 1
SAME = 1e-5  # relative to the derivative of a state and its largest slope
KINKS = 0.05  # of the probes may lie at one, where differences say nothing


def require_slopes(system: System, slopes: Graph) -> None:
    """Compares slopes with central differences of the dynamics, at states within the boxes.

    Raises:
        ValueError: if they have other inputs or outputs, or are those of other dynamics.
    """
    graph, n_x, n_u = system.graph, system.n_x, system.n_u
    output = output_of(graph)
    sizes = {output: n_x, 'A': n_x * n_x, 'B': n_x * n_u}
    outputs = {name: len(places) for name, places in slopes.outputs.items()}
    if list(slopes.inputs.items()) != list(graph.inputs.items()) or outputs != sizes:
        raise ValueError(
            f"the slopes of '{system.name}' take {dict(slopes.inputs)} and give {outputs}; "
            f'expected {dict(graph.inputs)} and {sizes}'
        )
    inputs = np.array(Probes.of(system).columns)  # (n, N)
    with np.errstate(all='ignore'):
        found = slopes.evaluate(list(inputs))
        dynamics = _derivatives(system, inputs)
        A, B = (
            _rows(found[name], inputs).reshape(n_x, n, -1) for name, n in (('A', n_x), ('B', n_u))
        )
        stated = np.concatenate([A, B], axis=1)
        differences = np.stack([_difference(system, inputs, k) for k in range(n_x + n_u)], axis=1)
        size = np.abs(dynamics) + np.abs(differences).max(axis=1)
        same = np.abs(_rows(found[output], inputs) - dynamics) <= SAME * size
        same &= (np.abs(stated - differences) <= SAME * size[:, None]).all(axis=1)
    wrong = (~same & np.isfinite(size)).mean(axis=1)
    if wrong.max() > KINKS:
        name = system.state_names[int(wrong.argmax())]
        raise ValueError(
            f"the slopes of '{system.name}' are not those of its dynamics, as that of '{name}'; "
            'export it again'
        )


def _rows(values: Sequence[Any], inputs: Array) -> Array:
    """Outputs of a graph (n, N)."""
    return np.stack([np.broadcast_to(value, inputs.shape[1]) for value in values])


def _derivatives(system: System, inputs: Array) -> Array:
    graph = system.graph
    return _rows(graph.evaluate(list(inputs))[output_of(graph)], inputs)


def _difference(system: System, inputs: Array, k: int) -> Array:
    """The central difference of the dynamics (n_x, N) by input k."""
    step = STEP * np.maximum(np.abs(inputs[k]), 1.0)
    ahead, behind = inputs.copy(), inputs.copy()
    ahead[k] += step
    behind[k] -= step
    return (_derivatives(system, ahead) - _derivatives(system, behind)) / (ahead[k] - behind[k])
