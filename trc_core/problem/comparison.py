"""Comparison of two systems, all but their numbers and the notation that they are written in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trc_core.problem.discretise import output_of
from trc_core.problem.system import Array, System
from trc_core.problem.terms import Terms, traced_trim

PROBES, SAME = 16, 1e-9
MOTION = ('dt', 'horizon', 'substeps')
"""Numbers without which a network does not plan what it was trained to."""


def same_dynamics(first: System, second: System) -> bool:
    """Whether two systems of the same names move alike and state the same task.

    Their numbers may differ, and the notation in which they are written.
    """
    return differing_word(first, second) is None


def differing_word(first: System, second: System) -> str | None:
    """The first word in which two systems of the same names differ, or None.

    Compared are the equations, the functions of the task and which states have limits, all but
    numbers. Graphs that are not equal are compared by their values at random points, parameters
    by name.
    """
    if set(first.parameters) != set(second.parameters):
        return 'equations'
    if first.discrete != second.discrete:
        return 'equations (one of them in discrete time)'
    in_order = list(first.parameters) == list(second.parameters)
    probes = _probes(first)
    if not (in_order and first.graph.digest == second.graph.digest):
        a, b = (_derivatives(system, probes) for system in (first, second))
        if not _equal(a, b):
            return 'equations'
    if first.task.limits.names != second.task.limits.names:
        return 'x_min and x_max'
    ours, theirs = _task_terms(first), _task_terms(second)
    for word in ours:
        if not _same_terms(ours[word], theirs[word], first, second, probes):
            return word
    return None


def differing_numbers(first: System, second: System) -> dict[str, tuple[Any, Any]]:
    """The numbers in which two systems of the same names differ, by name: both values."""
    ours, theirs = first.contract(), second.contract()
    shared = [key for key in theirs if key in ours]
    return {k: (ours[k], theirs[k]) for k in shared if not _alike(ours[k], theirs[k])}


def _alike(ours: Any, theirs: Any) -> bool:
    """Whether two JSON values are the same, numbers but for their last digits."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_alike(ours[k], theirs[k]) for k in ours)
    try:
        a, b = (np.array(value, dtype=np.float64) for value in (ours, theirs))
    except (TypeError, ValueError):
        return bool(ours == theirs)
    return a.shape == b.shape and _equal(a, b)


def _task_terms(system: System) -> dict[str, Terms | str | None]:
    """The functions of a task, by the words that users write."""
    task, signature = system.task, system.signature
    trim: Any = None if system.trim is None else system.trim.law
    if trim is not None and not isinstance(trim, (str, Terms)):
        trim = traced_trim(f"u_trim of '{system.name}'", trim, signature)
    return {
        'constraints': task.stated,
        'residuals': task.residuals,
        'terminal_residuals': task.terminal_residuals,
        'laws': task.laws,
        'u_trim': trim,
    }


def _same_terms(
    ours: Terms | str | None,
    theirs: Terms | str | None,
    first: System,
    second: System,
    probes: Mapping[str, Array],
) -> bool:
    if not isinstance(ours, Terms) or not isinstance(theirs, Terms):
        return ours == theirs
    if set(ours.names) != set(theirs.names):
        return False
    in_order = list(first.parameters) == list(second.parameters)
    if in_order and ours.names == theirs.names and ours.graph.digest == theirs.graph.digest:
        return True
    a, b = _values(ours, first, probes), _values(theirs, second, probes)
    return all(_equal(a[name], b[name]) for name in ours.names)


def _equal(a: Array, b: Array) -> bool:
    return bool(np.allclose(a, b, rtol=SAME, atol=SAME, equal_nan=True))


def _probes(system: System) -> dict[str, Array]:
    """Random states, controls and references (PROBES, n), times and parameters (PROBES,)."""
    rng = np.random.default_rng(0)
    names = system.parameters
    return {
        'x': rng.normal(size=(PROBES, system.n_x)),
        'u': rng.normal(size=(PROBES, system.n_u)),
        **{f'p {name}': rng.normal(size=PROBES) for name in names},
        'r': rng.normal(size=(PROBES, system.n_x)),
        't': rng.uniform(size=PROBES),
    }


def _values(terms: Terms, system: System, probes: Mapping[str, Array]) -> dict[str, Array]:
    """The values (PROBES,) of terms, by name."""
    p = [probes[f'p {name}'] for name in system.parameters]
    with np.errstate(all='ignore'):
        found = terms.evaluate(probes['x'], probes['u'], probes['r'], p, probes['t'])
    rows = [np.broadcast_to(e, PROBES) for e in found]
    return dict(zip(terms.names, rows, strict=True))


def _derivatives(system: System, probes: Mapping[str, Array]) -> Array:
    """The derivatives (n_x, PROBES) at the probes; in discrete time the states a dt later."""
    p, graph = (probes[f'p {name}'] for name in system.parameters), system.graph
    with np.errstate(all='ignore'):
        found = graph.evaluate([*probes['x'].T, *probes['u'].T, *p])[output_of(graph)]
    return np.array([np.broadcast_to(e, PROBES) for e in found])
