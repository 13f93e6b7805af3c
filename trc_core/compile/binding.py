"""Plants for kernels: a system's numbers bound to its compiled, or its readable, dynamics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from trc_core.compile import plant
from trc_core.compile.machine_code import MachineCode, is_kept, machine_code
from trc_core.compile.plant import Dynamics, Plant
from trc_core.problem.discretise import slopes_graph, step_graph, step_jacobian_graph
from trc_core.problem.graph import Graph
from trc_core.problem.system import System
from trc_core.problem.terms import Terms

UNROLLED = 5000  # instructions of a step's Jacobian up to which a whole step is one function
SYSTEMS_KEPT = 256


@lru_cache(maxsize=SYSTEMS_KEPT)
def plant_of(system: System) -> Plant:
    """The plant for compiled kernels; its dynamics are compiled once per machine.

    Raises:
        ValueError: if the dynamics fail.
    """
    code = code_of(system)
    unrolled = 'step' in code.addresses
    names = ('step', 'step_jacobian') if unrolled else ('dynamics', 'slopes')
    step, step_jacobian = (code.addresses[name] for name in names)
    return _plant(system, unrolled, step, step_jacobian, _compiled_terms)


@lru_cache(maxsize=SYSTEMS_KEPT)
def readable_plant_of(system: System) -> Plant:
    """The plant for kernels that run as plain Python: NumPy interprets its graphs."""
    graph, slopes = system.graph, system.slopes
    graphs = (
        (step_graph(system.timed or graph), step_jacobian_graph(slopes))
        if system.discrete
        else (graph, slopes)
    )
    step, step_jacobian = map(_interpreted, graphs)
    return _plant(system, system.discrete, step, step_jacobian, _interpreted_terms)


def code_of(system: System) -> MachineCode:
    """The machine code of a plant's dynamics."""
    return machine_code(_digest(system), lambda: functions_of(system))


def _digest(system: System) -> str:
    """A hash of the dynamics, and of their slopes where they are stated beside them."""
    parts = (system.graph, system.stated_slopes, system.timed)
    return ' '.join(part.digest for part in parts if part is not None)


def is_compiled(system: System) -> bool:
    """Whether the machine code of a system's dynamics is there."""
    task = system.task
    stated = (task.constraints, task.residuals, task.terminal_residuals)
    digests = [terms.graph.digest for terms in stated if terms]
    digests += [_values_digest(task.laws)] if task.laws else []
    return all(is_kept(digest) for digest in (_digest(system), *digests))


def functions_of(system: System) -> Mapping[str, Graph]:
    """What is compiled of dynamics: a whole RK4 step, or the dynamics where that is too long.

    A step's Jacobian is too long at once where its chain rule has as many products of a dense
    Jacobian as that. In discrete time the dynamics are a step already, however long.
    """
    graph, stated = system.graph, system.stated_slopes
    if system.discrete:
        step = step_graph(system.timed or graph)
        return {'step': step, 'step_jacobian': step_jacobian_graph(system.slopes)}
    n_x, n_u = system.n_x, system.n_u
    if n_x * n_x * (n_x + n_u) > UNROLLED:
        return {'dynamics': graph, 'slopes': system.slopes}
    try:
        return {
            'step': step_graph(graph, UNROLLED),
            'step_jacobian': step_jacobian_graph(
                stated or slopes_graph(graph, UNROLLED), UNROLLED
            ),
        }
    except OverflowError:
        return {'dynamics': graph, 'slopes': system.slopes}


def _plant(
    system: System,
    unrolled: bool,
    step: Any,
    step_jacobian: Any,
    functions_of_terms: Callable[[Terms, bool], tuple[Any, Any]],
) -> Plant:
    task = system.task
    kinds = (task.residuals, task.terminal_residuals, task.constraints)
    rows = [(len(terms), *functions_of_terms(terms, True)) for terms in kinds]
    rows.append((len(task.laws), *functions_of_terms(task.laws, False)))
    functions = np.array(rows, dtype=np.int64 if isinstance(step, int) else object)
    terms = plant.Terms(functions, task.constraints.uses_control, violation_weight(system))
    # A plain number: for any other type Numba looks at all arguments in Python, 0.1 ms a call.
    substeps = int(system.substeps)
    return Plant(
        Dynamics(system.p, system.dt, substeps, unrolled, step, step_jacobian),
        system.Q,
        system.R,
        system.Q_f,
        system.u_min,
        system.u_max,
        np.tile(system.u_trim, (system.horizon, 1)),
        system.wrapped,
        terms,
    )


def violation_weight(system: System) -> float:
    """The system's own, or a bound on multipliers from the slopes of J over the boxes.

    A constraint that moves a plan by one unit of a state at every step changes J at most by the
    sum of 2 |Q e| over the steps, with errors e as large as the boxes.
    """
    if system.violation_weight is not None:
        return system.violation_weight
    slopes = 2.0 * (np.abs(system.Q_f) + system.horizon * np.abs(system.Q)) @ system.reach
    return float(max(slopes.max(), 1.0))


def _compiled_terms(terms: Terms, with_slopes: bool) -> tuple[int, int]:
    """The addresses of terms and of their slopes; 0 for what is not asked for."""
    if not terms:
        return 0, 0
    if not with_slopes:
        values = {'values': terms.graph}
        return machine_code(_values_digest(terms), lambda: values).addresses['values'], 0
    addresses = machine_code(
        terms.graph.digest, lambda: {'values': terms.graph, 'slopes': terms.slopes}
    ).addresses
    return addresses['values'], addresses['slopes']


def _values_digest(terms: Terms) -> str:
    """A hash of terms whose slopes nobody asks for, like those of laws."""
    return f'{terms.graph.digest} values'


def _interpreted_terms(terms: Terms, with_slopes: bool) -> tuple[Any, Any]:
    """The same as functions, for kernels that run as plain Python."""
    return _interpreted(terms.graph), _interpreted(terms.slopes) if with_slopes else None


def _interpreted(graph: Graph) -> Callable[..., None]:
    """A graph as a function of its inputs that fills its outputs."""

    def function(*rows: Any) -> None:
        inputs = np.concatenate([np.ravel(row) for row in rows[: len(graph.inputs)]])
        found = graph.evaluate(list(inputs))
        for row, values in zip(rows[len(graph.inputs) :], found.values(), strict=True):
            row.reshape(-1)[: len(values)] = values  # buffers may be larger

    return function
