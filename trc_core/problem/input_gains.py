"""Input gains: a plant whose controls act stronger or weaker than its model says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trc_core.problem.expression import EXPRESSIONS, Tape
from trc_core.problem.graph import Graph
from trc_core.problem.system import System
from trc_core.problem.terms import EQUILIBRIUM, OUTPUT, Terms, term_inputs, terms_of
from trc_core.problem.trace import GraphFormula, Signature

TASK = ('constraints', 'residuals', 'terminal_residuals')


def gain_name(control: str) -> str:
    """The name of the parameter that is the gain of a control."""
    return f'{control}_gain'


def with_input_gains(system: System) -> System:
    """The same plant with a gain for every control as its last parameters, all 1.

    Its dynamics are f(x, gain u; p), and a trim that is not zero becomes u_trim / gain, so that
    it still holds the goal. Costs, bounds and constraints are those of the commands u. A control
    whose gain has the name of something else in the system gets none.
    """
    taken = {*system.parameters, *system.state_names, *system.control_names}
    names = {i: gain_name(control) for i, control in enumerate(system.control_names)}
    gains = {i: name for i, name in names.items() if name not in taken}
    if not gains:
        return system
    parameters = {**system.parameters, **dict.fromkeys(gains.values(), 1.0)}
    signature = system.signature._replace(parameters=tuple(parameters))
    changed: dict[str, Any] = {
        word: _widened(_terms(system, word), signature)
        for word in TASK
        if getattr(system, word) is not None
    }
    changed['laws'] = {
        name: _widened(terms_of(f"law '{name}'", law, system.signature), signature)
        for name, law in system.laws.items()
    }
    changed['u_trim'] = _trim(system, gains, signature)
    slopes = system.stated_slopes
    dynamics = GraphFormula(
        _gained(system.graph, list(gains)),
        None if slopes is None else _gained(slopes, list(gains)),
    )
    return replace(system, dynamics=dynamics, parameters=parameters, **changed)


def _terms(system: System, word: str) -> Terms:
    return terms_of(f"{word} of '{system.name}'", getattr(system, word), system.signature)


def _gained(graph: Graph, gained: Sequence[int]) -> Graph:
    """Dynamics, or their slopes, with gains of some controls, by place, behind the parameters."""
    n_x, n_u, n_p = graph.inputs['x'], graph.inputs['u'], graph.inputs['p']
    inputs = {'x': n_x, 'u': n_u, 'p': n_p + len(gained)}
    tape = Tape()
    arguments = tape.inputs(sum(inputs.values()))
    own, gains = arguments[: n_x + n_u + n_p], arguments[n_x + n_u + n_p :]
    for place, gain in zip(gained, gains, strict=True):
        own[n_x + place] = gain * own[n_x + place]
    found = graph.evaluate(own, EXPRESSIONS)
    for place, gain in zip(gained, gains, strict=True):
        if 'B' in found:  # d f / d u = (d f / d (gain u)) gain
            found['B'][place::n_u] = [gain * entry for entry in found['B'][place::n_u]]
    outputs = {name: [tape.expression(e) for e in entries] for name, entries in found.items()}
    return tape.graph(inputs, outputs)


def _widened(
    terms: Terms, signature: Signature, divided_by: Mapping[int, str] | None = None
) -> Terms:
    """Terms that take the parameters of a longer signature; some divided by a parameter."""
    inputs, n_p = term_inputs(signature), terms.graph.inputs['p']
    tape = Tape()
    arguments = tape.inputs(sum(inputs.values()))
    before = inputs['x'] + inputs['u'] + inputs['r']
    own = [*arguments[: before + n_p], arguments[-1]]
    found = [tape.expression(e) for e in terms.graph.evaluate(own, EXPRESSIONS)[OUTPUT]]
    for i, name in (divided_by or {}).items():
        found[i] = found[i] / arguments[before + signature.parameters.index(name)]
    return Terms(terms.names, tape.graph(inputs, {OUTPUT: found}))


def _trim(system: System, gains: Mapping[int, str], signature: Signature) -> Any:
    """What holds a goal in spite of the gains."""
    if system.trim is None:
        if not system.u_trim.any():
            return system.u_trim
        held = {
            name: float(value)
            for name, value in zip(system.control_names, system.u_trim, strict=True)
        }
        law = terms_of('u_trim', lambda: held, system.signature)
        return _widened(law, signature, gains)
    if system.trim.law == EQUILIBRIUM:
        return EQUILIBRIUM
    law = terms_of('u_trim', system.trim.law, system.signature)
    return _widened(law, signature, gains)
