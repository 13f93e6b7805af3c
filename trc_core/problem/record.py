"""The record of a system: everything about it as JSON values, inside checkpoints and datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trc_core.problem.discretise import NEXT_STATE, RATE
from trc_core.problem.graph import Graph
from trc_core.problem.places import Norm
from trc_core.problem.stated_slopes import require_slopes
from trc_core.problem.system import Joint, Obstacle, System
from trc_core.problem.task import task_record, terms_of_record
from trc_core.problem.terms import EQUILIBRIUM, Terms, require_law, require_trim
from trc_core.problem.trace import GraphFormula, Signature

NUMBERS = ('u_min', 'u_max', 'u_trim', 'Q', 'R', 'Q_f', 'x0_box', 'goal_box')
TASK = (
    *('angles', 'ranges', 'x_min', 'x_max', 'x0_centre', 'goal_centre'),
    *('violation_weight', 'constraint_tolerance', 'discrete'),
    *('final_time', 'time_weight', 'terminal_cost', 'terminal'),
)
TERMS = ('constraints', 'residuals', 'terminal_residuals')
ADDED = (*TERMS, 'trim')  # words that version 1 did not know, and that plans depend on
NAMES = ('state_names', 'state_units', 'control_names', 'control_units')


def system_record(system: System) -> dict[str, Any]:
    """A system's contract, its joints and its equations, enough to build it again."""
    joints = [list(joint) for joint in system.joints]
    return {
        **system.contract(),
        'joints': joints,
        'dynamics': system.graph.record(),
        **_added_graphs(system),
        **task_record(system),
    }


def _added_graphs(system: System) -> dict[str, Any]:
    """What dynamics state beside themselves: their slopes, and steps over any time."""
    graphs = {'slopes': system.stated_slopes, 'timed': system.timed}
    return {word: graph.record() for word, graph in graphs.items() if graph is not None}


def system_from_record(record: Mapping[str, Any]) -> System:
    """The inverse of `system_record`: needs neither the user's file nor SymPy nor CasADi.

    Raises:
        KeyError: if a part is missing.
        ValueError: if a part makes no sense; the message names it.
    """
    graph = Graph.from_record(record['dynamics'])
    slopes, timed = (
        Graph.from_record(record[word]) if word in record else None for word in ('slopes', 'timed')
    )
    joints = tuple(Joint(*joint) for joint in record['joints'])
    fields = {**_fields(record, {'name': record['name']}), **_functions(record)}
    formula = GraphFormula(graph, slopes, timed)
    system = System(dynamics=formula, joints=joints, **fields)
    _require_equations(graph, system)
    if timed is not None:
        _require_timed(timed, system)
    if slopes is not None:
        require_slopes(system, slopes)
    return system


def _functions(record: Mapping[str, Any]) -> dict[str, Any]:
    """The functions of the task that a record holds."""
    sizes = len(record['state_names']), len(record['control_names'])
    signature = Signature(*sizes, tuple(record['parameters']))
    found: dict[str, Any] = {
        word: terms_of_record(word, record[word], signature) for word in TERMS if word in record
    }
    laws = record.get('laws', {})
    if not isinstance(laws, Mapping):
        raise ValueError(f'laws are {laws!r:.60}, expected names and terms')
    found['laws'] = {name: _law(f"law '{name}'", law, signature) for name, law in laws.items()}
    if 'trim' in record:
        trim = record['trim']
        if trim != EQUILIBRIUM:
            trim = _law('u_trim', trim, signature)
            require_trim('u_trim', trim)
        found['u_trim'] = trim
    return found


def _law(word: str, record: Any, signature: Signature) -> Terms:
    law = terms_of_record(word, record, signature)
    require_law(word, law, signature)
    return law


def _require_equations(graph: Graph, system: System) -> None:
    """Compares what a graph reads and writes with what kernels hand to its machine code."""
    inputs = {'x': system.n_x, 'u': system.n_u, 'p': len(system.parameters)}
    if list(graph.inputs.items()) != list(inputs.items()):
        raise ValueError(
            f"the equations take {dict(graph.inputs)} where '{system.name}' has {inputs}"
        )
    outputs = {name: len(places) for name, places in graph.outputs.items()}
    if outputs != {NEXT_STATE if system.discrete else RATE: system.n_x}:
        raise ValueError(
            f"the equations give {outputs} where '{system.name}' has {system.n_x} states"
        )


def _require_timed(timed: Graph, system: System) -> None:
    """Compares a step over any time with what kernels hand to its machine code."""
    inputs = {'x': system.n_x, 'u': system.n_u, 'p': len(system.parameters), 'dt': 1}
    outputs = {name: len(places) for name, places in timed.outputs.items()}
    if list(timed.inputs.items()) != list(inputs.items()) or outputs != {NEXT_STATE: system.n_x}:
        raise ValueError(
            f'timed takes {dict(timed.inputs)} and gives {outputs}, expected {inputs} and '
            f'{ ({NEXT_STATE: system.n_x}) }'
        )


def with_contract(system: System, contract: Mapping[str, Any]) -> System:
    """Our equations with the numbers of a contract, for records of version 1.

    Raises:
        ValueError: if the names of the contract are not the system's; both are named. Also if
            the equations do not take the contract's parameters, or the system has constraints or
            other words that version 1 did not know.
    """
    require_same_names(system, contract)
    own = System(
        dynamics=system.dynamics, joints=system.joints, **_fields(contract, {'name': system.name})
    )
    _ = own.graph  # equations without those parameters are refused here
    added = [word for word in ADDED if getattr(system, word) is not None]
    if system.discrete:
        added.append('discrete time')
    if system.task.limits:
        added.append('x_min and x_max')
    if added:
        raise ValueError(
            f"made without the {added[0]} that '{system.name}' states here; train it again"
        )
    return own


def require_same_names(system: System, contract: Mapping[str, Any]) -> None:
    """Compares a system with a contract by its name and those of its states and controls.

    Raises:
        ValueError: if one differs; both are named.
    """
    if system.name != contract['name']:
        raise ValueError(f"made for the system '{contract['name']}', not for '{system.name}'")
    for key in NAMES:
        ours, theirs = list(getattr(system, key)), list(contract[key])
        if ours != theirs:
            raise ValueError(f"{key} of '{system.name}' are {ours} here but {theirs} in the file")


def _fields(contract: Mapping[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a `System` that a contract holds."""
    for key in NUMBERS:
        fields[key] = np.array(contract[key])
    for key in NAMES:
        fields[key] = tuple(contract[key])
    fields.update(dt=contract['dt'], horizon=contract['horizon'])
    fields.update(parameters=contract['parameters'], substeps=contract.get('substeps', 1))
    # version 1 judged success by 0.1 over the sum of all states
    fields['goal_tolerance'] = contract.get('goal_tolerance', [0.1] * len(fields['x0_box']))
    for key in TASK:
        if key in contract:
            fields[key] = contract[key]
    fields['norms'] = tuple(
        Norm(tuple(names), *limits) for names, *limits in contract.get('norms', ())
    )
    fields['obstacles'] = tuple(Obstacle(*names) for names in contract.get('obstacles', ()))
    return fields
