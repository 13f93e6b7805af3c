"""Equations that are no numbers somewhere in the boxes are refused: where, and by what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trc_core.problem.discretise import output_of
from trc_core.problem.graph import Graph, needed_instructions
from trc_core.problem.probes import Probes
from trc_core.problem.terms import OUTPUT

if TYPE_CHECKING:
    from trc_core.problem.system import Array, System

CAUSES: Mapping[str, str] = {
    'sqrt': 'sqrt of a negative number',
    'log': 'log of a number that is not above 0',
    'div': 'a division by 0',
    'pow': 'a power of a number below 0, or a negative power of 0',
    'asin': 'asin of a number beyond -1 and 1',
    'acos': 'acos of a number beyond -1 and 1',
    'acosh': 'acosh of a number below 1',
    'atanh': 'atanh of a number beyond -1 and 1',
}
OVERFLOW = 'beyond the largest number that there is'
NAMED = 4  # how many coordinates of a place are written out


class Formulas(NamedTuple):
    """A graph, what its outputs are called, and the values (N,) of its inputs."""

    graph: Graph
    titles: Mapping[str, Sequence[str]]
    columns: Sequence[Array]
    labels: Sequence[tuple[str, str]]
    """Name and unit of each input."""


def require_finite(system: System) -> None:
    """Evaluates dynamics, constraints, residuals and their slopes in the boxes of a system.

    Raises:
        ValueError: at the first that is no finite number, or if the dynamics fail; the message
            says at which state, which operation it was, and what to write.
    """
    for formulas in _formulas(system, Probes.of(system)):
        with np.errstate(all='ignore'):
            found = formulas.graph.evaluate(formulas.columns)
        for output, titles in formulas.titles.items():
            for k, title in enumerate(titles):
                wrong = np.flatnonzero(
                    ~np.isfinite(np.broadcast_to(found[output][k], _rows(formulas)))
                )
                if len(wrong):
                    place = formulas.graph.outputs[output][k]
                    raise ValueError(
                        f'{title} is not a number at {_cause(formulas, place, int(wrong[0]))}'
                    )


def _rows(formulas: Formulas) -> int:
    return len(formulas.columns[0])


def _formulas(system: System, probes: Probes) -> Iterator[Formulas]:
    """The dynamics and the terms of the task, with their slopes."""
    states, controls = system.state_names, system.control_names
    labels = {
        'x': list(zip(states, system.state_units, strict=True)),
        'u': list(zip(controls, system.control_units, strict=True)),
        'r': [
            (f'goal of {name}', unit)
            for name, unit in zip(states, system.state_units, strict=True)
        ],
        'p': [(name, '') for name in system.parameters],
        't': [('time', 's')],
    }
    titles = [f"dynamics of '{name}'" for name in states]
    named = {output_of(system.graph): titles, **_slope_titles(titles, states, controls, 'A', 'B')}
    of_dynamics = [label for key in ('x', 'u', 'p') for label in labels[key]]
    yield Formulas(system.slopes, named, probes.columns, of_dynamics)
    task = system.task
    columns = [*probes.x.T, *probes.u.T, *probes.goal.T, *probes.p.T, np.zeros(len(probes.x))]
    kinds = {
        'constraint': task.constraints,
        'residual': task.residuals,
        'terminal residual': task.terminal_residuals,
    }
    for kind, terms in kinds.items():
        if terms:
            titles = [f"{kind} '{name}'" for name in terms.names]
            named = {OUTPUT: titles, **_slope_titles(titles, states, controls, 'by_x', 'by_u')}
            of_terms = [label for part in labels.values() for label in part]
            yield Formulas(terms.slopes, named, columns, of_terms)


def _slope_titles(
    titles: Sequence[str], states: Sequence[str], controls: Sequence[str], by_x: str, by_u: str
) -> dict[str, list[str]]:
    names = {by_x: states, by_u: controls}
    return {
        output: [f"the slope of {title} by '{name}'" for title in titles for name in inputs]
        for output, inputs in names.items()
    }


def _cause(formulas: Formulas, place: int, row: int) -> str:
    """Where an instruction is no number, which operation made it so, and what to write."""
    graph = formulas.graph
    everything = Graph(graph.inputs, graph.instructions, {'all': range(len(graph.instructions))})
    with np.errstate(all='ignore'):
        values = everything.evaluate([float(column[row]) for column in formulas.columns])['all']
    # Down from the result, along what is no number, to the operation whose operands are.
    while True:
        name, *operands = graph.instructions[place]
        if name in ('input', 'constant'):
            break
        deeper = [k for k in operands if not np.isfinite(values[k])]
        if not deeper:
            break
        place = deeper[-1]
    cause = CAUSES.get(name, OVERFLOW) if np.isnan(values[place]) or name in CAUSES else OVERFLOW
    where = [
        f'{label} = {formulas.columns[k][row]:.4g} {unit}'.rstrip()
        for k in _inputs(graph, place)
        for label, unit in [formulas.labels[k]]
    ]
    shown = ', '.join(where[:NAMED]) + (', ...' if len(where) > NAMED else '')
    return (
        f'{shown or "any state"}: {cause}; write it so that it is a number there, or a box that '
        'ends where it is one, as a pair: x0_box=([lowest], [highest])'
    )


def _inputs(graph: Graph, place: int) -> list[int]:
    """The inputs that an instruction stands on, in order."""
    found = [graph.instructions[k] for k in needed_instructions(graph.instructions, [place])]
    return sorted({int(k) for name, k, *_ in found if name == 'input'})
