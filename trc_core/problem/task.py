"""The task of a system: its functions as graphs, their checks and their records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trc_core.problem.graph import Graph
from trc_core.problem.terms import (
    OUTPUT,
    TIME,
    TIME_TO_GO,
    Terms,
    joined,
    limit_terms,
    terms_from_graph,
    terms_of,
    traced_law,
)
from trc_core.problem.timing import timing_contract
from trc_core.problem.trace import Signature

if TYPE_CHECKING:
    from trc_core.problem.system import Array, System

COMPARISONS = ('less', 'less_equal', 'equal')
PROBES = 256  # states in the box at which a constraint must not be violated everywhere


@dataclass(frozen=True, eq=False)
class Task:
    """The functions of a task as graphs; each may have no terms."""

    constraints: Terms
    """Expressions that must not exceed 0, state limits among them."""
    residuals: Terms
    terminal_residuals: Terms
    stated: Terms
    """Those of the constraints that a user wrote."""
    limits: Terms
    """Those that are limits of states."""
    laws: Terms
    """The controls of every law, one after the other; named like 'stop 1'."""

    @classmethod
    def of(cls, system: System) -> Task:
        """The task of a system.

        Raises:
            ValueError: if a function fails, or returns something else than it should.
        """
        signature = system.signature

        def traced(word: str, owned: Any) -> Terms:
            if owned is None:
                return joined([], signature)
            return terms_of(f"{word} of '{system.name}'", owned, signature)

        assert system.x_min is not None and system.x_max is not None
        limits = limit_terms(system.state_names, system.x_min, system.x_max, signature)
        constraints = traced('constraints', system.constraints)
        for name, place in zip(constraints.names, constraints.graph.outputs[OUTPUT], strict=True):
            if constraints.graph.instructions[place][0] in COMPARISONS:
                raise ValueError(
                    f"constraint '{name}' is a comparison; write an expression that must not "
                    'exceed 0, like x[0] - 5 for x[0] <= 5'
                )
        clash = sorted(set(constraints.names) & set(limits.names))
        if clash:
            raise ValueError(
                f"constraints return '{clash[0]}', which is a limit in x_min or x_max; "
                'give each a name of its own'
            )
        terminal = traced('terminal_residuals', system.terminal_residuals)
        if terminal.uses_control.any():
            raise ValueError('terminal_residuals depend on u; there is no control at the end')
        laws = [
            (f'{name} ', terms_of(title, law, signature, _law_trace(system)))
            for name, law in system.laws.items()
            for title in [f"law '{name}' of '{system.name}'"]
        ]
        return cls(
            joined([('', constraints), ('', limits)], signature),
            traced('residuals', system.residuals),
            terminal,
            constraints,
            limits,
            joined(laws, signature),
        )

    @property
    def is_plain(self) -> bool:
        """Whether nothing is added to the quadratic J and the bounds of the controls."""
        return not (self.constraints or self.residuals or self.terminal_residuals)


def require_task(system: System) -> None:
    """Checks the functions of a task on states and goals from the boxes.

    Raises:
        ValueError: if one fails, is no number, or if a constraint is violated everywhere in
            x0_box; the message names it.
    """
    if system.final_time is not None and system.discrete and system.timed is None:
        raise ValueError(
            'dynamics in discrete time have a fixed step, but final_time asks for steps of any '
            'length: write dynamics(x, u, dt, ...), or a time derivative without discrete=True'
        )
    task = system.task
    if task.is_plain and not task.laws and system.trim is None:
        return
    rng = np.random.default_rng(0)
    x, goal = system.sample(rng, PROBES)
    p = system.sample_parameters(rng, PROBES)
    trim = np.broadcast_to(system.u_trim, (PROBES, system.n_u))
    if system.trim is not None:
        trim = system.trims(goal, p)
        if not np.isfinite(trim).all():
            wrong = system.control_names[np.argwhere(~np.isfinite(trim))[0][1]]
            raise ValueError(f"u_trim of '{wrong}' is no finite number everywhere in goal_box")

    def values(terms: Terms, states: Array, t: float = 0.0) -> list[tuple[str, Array]]:
        with np.errstate(all='ignore'):
            found = terms.evaluate(states, trim, goal, list(p.T), t)
        return [
            (name, np.broadcast_to(e, PROBES)) for name, e in zip(terms.names, found, strict=True)
        ]

    _require_numbers('constraint', 'x0_box', x, values(task.constraints, x))
    _require_numbers('residual', 'x0_box', x, values(task.residuals, x))
    _require_numbers('terminal residual', 'goal_box', goal, values(task.terminal_residuals, goal))
    to_go = 0.0 if system.final_time is None else system.final_time[1]
    _require_numbers('law', 'x0_box', x, values(task.laws, x, to_go))
    for name, h in values(task.constraints, x):
        if np.all(h > 0.0):
            raise ValueError(
                f"constraint '{name}' is violated everywhere in x0_box; it must be written so "
                'that it is at most 0 where the plant may be, like radius - distance'
            )


def _require_numbers(
    what: str, box: str, states: Array, values: Iterable[tuple[str, Array]]
) -> None:
    """Refuses terms that are NaN at states (N, n_x): plans from there would have no cost."""
    for name, found in values:
        wrong = np.flatnonzero(np.isnan(found))
        if len(wrong):
            place = ', '.join(f'{value:.3g}' for value in states[wrong[0]])
            raise ValueError(
                f"{what} '{name}' is NaN at [{place}] in {box}; write it so that it is a number "
                'everywhere'
            )


def task_contract(system: System) -> dict[str, Any]:
    """What a network depends on beyond the words of version 1, as JSON values."""
    found: dict[str, Any] = {'goal_tolerance': _with_none(system.goal_tolerance)}
    optional = {
        'discrete': system.discrete or None,
        'angles': list(system.angles),
        'ranges': {name: list(limits) for name, limits in system.ranges.items()},
        'x_min': _with_none(system.x_min),
        'x_max': _with_none(system.x_max),
        'x0_centre': system.x0_centre.tolist(),
        'goal_centre': system.goal_centre.tolist(),
        'violation_weight': system.violation_weight,
        'constraint_tolerance': system.constraint_tolerance if system.task.constraints else None,
        'obstacles': [list(obstacle) for obstacle in system.obstacles],
        **timing_contract(system),
    }
    for key, value in optional.items():
        entries = value if isinstance(value, (list, dict)) else [value]
        if any(entry not in (None, 0.0) for entry in entries):
            found[key] = value
    return found


def _with_none(values: NDArray[np.float64] | None) -> list[float | None]:
    """Numbers for JSON, which has no infinity."""
    assert values is not None
    return [float(value) if np.isfinite(value) else None for value in values]


def task_record(system: System) -> dict[str, Any]:
    """The functions of a task as JSON values; what a system does not have is left out."""
    found: dict[str, Any] = {}
    signature = system.signature
    for word in ('constraints', 'residuals', 'terminal_residuals'):
        owned = getattr(system, word)
        if owned is not None:
            terms = terms_of(f"{word} of '{system.name}'", owned, signature)
            found[word] = _terms_record(terms)
    trace = _law_trace(system)
    found['laws'] = {name: _law_record(system, law, trace) for name, law in system.laws.items()}
    if system.trim is not None:
        law = system.trim.law
        found['trim'] = law if isinstance(law, str) else _law_record(system, law)
    return {word: value for word, value in found.items() if value}


def _law_trace(system: System) -> Callable[[str, Callable[..., Any], Signature], Terms]:
    """How a law of a system is traced, which depends on what it calls the time."""
    return partial(traced_law, clock=TIME if system.final_time is None else TIME_TO_GO)


def _law_record(
    system: System, law: Any, trace: Callable[..., Terms] = traced_law
) -> dict[str, Any]:
    title = f"a law of '{system.name}'"
    return _terms_record(terms_of(title, law, system.signature, trace))


def _terms_record(terms: Terms) -> dict[str, Any]:
    return {'names': list(terms.names), 'graph': terms.graph.record()}


def terms_of_record(word: str, record: Any, signature: Signature) -> Terms:
    """Terms from JSON values; trusts nothing.

    Raises:
        ValueError: if they are no terms; the message begins with the word.
    """
    if not isinstance(record, Mapping) or set(record) != {'names', 'graph'}:
        raise ValueError(f"{word}: expected 'names' and 'graph'")
    names = record['names']
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'{word}: names are {names!r:.60}, expected texts')
    try:
        return terms_from_graph(Graph.from_record(record['graph']), names, signature)
    except ValueError as error:
        raise ValueError(f'{word}: {error}') from error
