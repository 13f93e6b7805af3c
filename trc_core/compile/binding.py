"""Plants for kernels: a system's numbers bound to its compiled, or its readable, dynamics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from trc_core.compile.machine_code import MachineCode, is_kept, machine_code
from trc_core.compile.plant import Dynamics, Plant
from trc_core.problem.discretise import slopes_graph, step_graph, step_jacobian_graph
from trc_core.problem.graph import Graph
from trc_core.problem.system import System

UNROLLED = 5000  # instructions of a step's Jacobian up to which a whole step is one function
SYSTEMS_KEPT = 256


@lru_cache(maxsize=SYSTEMS_KEPT)
def plant_of(system: System) -> Plant:
    """The plant for compiled kernels; its dynamics are compiled once per machine.

    Raises:
        ValueError: if the dynamics fail.
    """
    code = code_of(system.graph)
    unrolled = 'step' in code.addresses
    names = ('step', 'step_jacobian') if unrolled else ('dynamics', 'slopes')
    return _plant(system, unrolled, *(code.addresses[name] for name in names))


@lru_cache(maxsize=SYSTEMS_KEPT)
def readable_plant_of(system: System) -> Plant:
    """The plant for kernels that run as plain Python: NumPy interprets its graphs."""
    dynamics, slopes = _interpreted(system.graph), _interpreted(slopes_graph(system.graph))
    return _plant(system, False, dynamics, slopes)


def code_of(graph: Graph) -> MachineCode:
    """The machine code of a plant's dynamics."""
    return machine_code(graph.digest, lambda: functions_of(graph))


def is_compiled(system: System) -> bool:
    """Whether the machine code of a system's dynamics is there."""
    return is_kept(system.graph.digest)


def functions_of(graph: Graph) -> Mapping[str, Graph]:
    """What is compiled of dynamics: a whole RK4 step, or the dynamics where that is too long.

    A step's Jacobian is too long at once where its chain rule has as many products of a dense
    Jacobian as that.
    """
    n_x, n_u = graph.inputs['x'], graph.inputs['u']
    if n_x * n_x * (n_x + n_u) > UNROLLED:
        return {'dynamics': graph, 'slopes': slopes_graph(graph)}
    try:
        return {
            'step': step_graph(graph, UNROLLED),
            'step_jacobian': step_jacobian_graph(graph, UNROLLED),
        }
    except OverflowError:
        return {'dynamics': graph, 'slopes': slopes_graph(graph)}


def _plant(system: System, unrolled: bool, step: Any, step_jacobian: Any) -> Plant:
    return Plant(
        Dynamics(system.p, system.dt, system.substeps, unrolled, step, step_jacobian),
        system.Q,
        system.R,
        system.Q_f,
        system.u_min,
        system.u_max,
        system.u_trim,
    )


def _interpreted(graph: Graph) -> Callable[..., None]:
    """A graph as a function of its inputs that fills its outputs."""

    def function(*rows: Any) -> None:
        inputs = np.concatenate(rows[: len(graph.inputs)])
        found = graph.evaluate(list(inputs))
        for row, values in zip(rows[len(graph.inputs) :], found.values(), strict=True):
            row[...] = np.reshape(values, row.shape)

    return function
