"""The record of a system: everything about it as JSON values, inside checkpoints and datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trc_core.problem.graph import Graph
from trc_core.problem.system import Array, Joint, Obstacle, System
from trc_core.problem.task import EQUILIBRIUM, task_record, terms_of_record
from trc_core.problem.terms import Terms
from trc_core.problem.trace import GraphFormula, Signature

NUMBERS = ('u_min', 'u_max', 'u_trim', 'Q', 'R', 'Q_f', 'x0_box', 'goal_box')
TASK = ('angles', 'ranges', 'x_min', 'x_max', 'x0_centre', 'goal_centre', 'violation_weight')
TERMS = ('constraints', 'residuals', 'terminal_residuals')
NAMES = ('state_names', 'state_units', 'control_names', 'control_units')
PROBES, SAME = 16, 1e-9


def system_record(system: System) -> dict[str, Any]:
    """A system's contract, its joints and its equations, enough to build it again."""
    joints = [list(joint) for joint in system.joints]
    return {
        **system.contract(),
        'joints': joints,
        'dynamics': system.graph.record(),
        **task_record(system),
    }


def system_from_record(record: Mapping[str, Any]) -> System:
    """The inverse of `system_record`: needs neither the user's file nor SymPy nor CasADi.

    Raises:
        KeyError: if a part is missing.
        ValueError: if a part makes no sense; the message names it.
    """
    graph = Graph.from_record(record['dynamics'])
    joints = tuple(Joint(*joint) for joint in record['joints'])
    fields = _fields(record, {'name': record['name']})
    system = System(dynamics=GraphFormula(graph), joints=joints, **fields, **_functions(record))
    _require_equations(graph, system)
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
    trim = record.get('trim')
    if trim is not None and trim != EQUILIBRIUM:
        trim = _law('trim', trim, signature)
    return {**found, 'trim': trim}


def _law(word: str, record: Any, signature: Signature) -> Terms:
    law = terms_of_record(word, record, signature)
    if len(law) != signature.n_u:
        raise ValueError(f'{word} gives {len(law)} controls, expected {signature.n_u}')
    return law


def _require_equations(graph: Graph, system: System) -> None:
    """Compares what a graph reads and writes with what kernels hand to its machine code."""
    inputs = {'x': system.n_x, 'u': system.n_u, 'p': len(system.parameters)}
    if list(graph.inputs.items()) != list(inputs.items()):
        raise ValueError(
            f"the equations take {dict(graph.inputs)} where '{system.name}' has {inputs}"
        )
    outputs = {name: len(places) for name, places in graph.outputs.items()}
    if outputs != {'dynamics': system.n_x}:
        raise ValueError(
            f"the equations give {outputs} where '{system.name}' has {system.n_x} states"
        )


def with_contract(system: System, contract: Mapping[str, Any]) -> System:
    """Our equations with the numbers of a contract, for records of version 1.

    Raises:
        ValueError: if the names of the contract are not the system's; both are named. Also if
            the equations do not take the contract's parameters.
    """
    require_same_names(system, contract)
    own = System(
        dynamics=system.dynamics, joints=system.joints, **_fields(contract, {'name': system.name})
    )
    _ = own.graph  # equations without those parameters are refused here
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


def same_dynamics(first: System, second: System) -> bool:
    """Whether two systems of the same names move alike, in whatever notation they are written."""
    if set(first.parameters) != set(second.parameters):
        return False
    in_order = list(first.parameters) == list(second.parameters)
    if in_order and first.graph.digest == second.graph.digest:
        return True
    rng = np.random.default_rng(0)
    values = rng.normal(size=(first.n_x + first.n_u, PROBES))
    parameters = {name: rng.normal(size=PROBES) for name in first.parameters}
    a, b = (_derivatives(system, values, parameters) for system in (first, second))
    return bool(np.allclose(a, b, rtol=SAME, atol=SAME, equal_nan=True))


def _derivatives(system: System, values: Array, parameters: Mapping[str, Array]) -> Array:
    """The derivatives (n_x, N) at states and controls (n_x + n_u, N), parameters by name."""
    inputs = [*values, *(parameters[name] for name in system.parameters)]
    with np.errstate(all='ignore'):
        found = system.graph.evaluate(inputs)['dynamics']
    return np.array([np.broadcast_to(e, values.shape[1]) for e in found])


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
    fields['obstacles'] = tuple(Obstacle(*names) for names in contract.get('obstacles', ()))
    return fields
