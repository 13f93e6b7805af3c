"""The task of a system: its functions as graphs, its trim, and the checks of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trc_core.problem.discretise import slopes_graph
from trc_core.problem.graph import Graph
from trc_core.problem.terms import (
    Terms,
    joined,
    limit_terms,
    terms_from_graph,
    traced_law,
    traced_terms,
)
from trc_core.problem.trace import Signature

if TYPE_CHECKING:
    from trc_core.problem.system import Array, System

EQUILIBRIUM = 'equilibrium'
NEWTON_STEPS, NEWTON_TOLERANCE = 20, 1e-10
DAMPING = 1e-9  # of the least-squares steps, relative to the largest slope
PROBES = 256  # states in the box at which a constraint must not be violated everywhere


@dataclass(frozen=True, eq=False)
class Task:
    """The functions of a task as graphs; each may have no terms."""

    constraints: Terms
    """Expressions that must not exceed 0, state limits among them."""
    residuals: Terms
    terminal_residuals: Terms
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
            if isinstance(owned, Terms):
                return owned
            if owned is None:
                return joined([], signature)
            return traced_terms(f"{word} of '{system.name}'", owned, signature)

        limits = limit_terms(system.state_names, system.x_min, system.x_max, signature)
        constraints = traced('constraints', system.constraints)
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
            (f'{name} ', law if isinstance(law, Terms) else traced_law(title, law, signature))
            for name, law in system.laws.items()
            for title in [f"law '{name}' of '{system.name}'"]
        ]
        return cls(
            joined([('', constraints), ('', limits)], signature),
            traced('residuals', system.residuals),
            terminal,
            joined(laws, signature),
        )

    @property
    def is_plain(self) -> bool:
        """Whether nothing is added to the quadratic J and the bounds of the controls."""
        return not (self.constraints or self.residuals or self.terminal_residuals)


def trims_of(system: System, reference: Array, p: Array) -> Array:
    """The controls (..., n_u) that hold reference states (..., n_x), clipped into the bounds.

    Raises:
        ValueError: if the function of the user fails.
    """
    if system.trim == EQUILIBRIUM:
        return _equilibrium(system, reference, p)
    law = system.trim
    if not isinstance(law, Terms):
        law = traced_law(f"u_trim of '{system.name}'", law, system.signature)  # type: ignore[arg-type]
    u = np.zeros((*reference.shape[:-1], system.n_u))
    found = law.evaluate(reference, u, reference, list(p), 0.0)
    trims = np.stack([np.broadcast_to(e, u.shape[:-1]) for e in found], axis=-1)
    return np.clip(trims, system.u_min, system.u_max)


def _equilibrium(system: System, reference: Array, p: Array) -> Array:
    """The controls for which x' = f(r, u) is smallest, by Gauss-Newton steps (least squares)."""
    shape = (*reference.shape[:-1], system.n_u)
    middle = np.clip(0.0, system.u_min, system.u_max)
    rows, u = reference.reshape(-1, system.n_x), np.tile(middle, (reference[..., 0].size, 1))
    slopes = slopes_graph(system.graph)
    for _ in range(NEWTON_STEPS):
        found = slopes.evaluate([*rows.T, *u.T, *p])
        f = np.stack([np.broadcast_to(e, len(rows)) for e in found['dynamics']], axis=-1)
        B = np.stack([np.broadcast_to(e, len(rows)) for e in found['B']], axis=-1)
        B = B.reshape(len(rows), system.n_x, system.n_u)
        H = np.einsum('bij,bik->bjk', B, B)
        H += DAMPING * max(float(np.abs(H).max()), 1e-300) * np.eye(system.n_u)
        step = -np.linalg.solve(H, np.einsum('bij,bi->bj', B, f)[..., None])[..., 0]
        new = np.clip(u + step, system.u_min, system.u_max)
        moved = np.abs(new - u).max() <= NEWTON_TOLERANCE * np.abs(new).max()
        u = new
        if moved:
            break
    return np.where(np.isfinite(u), u, middle).reshape(shape)


def require_task(system: System) -> None:
    """Checks the functions of a task.

    Raises:
        ValueError: if one fails, or a constraint is violated everywhere in x0_box; the message
            names it.
    """
    stated = (system.constraints, system.residuals, system.terminal_residuals)
    limits = np.isfinite([system.x_min, system.x_max]).any()
    if not (limits or system.laws or any(words is not None for words in stated)):
        return
    constraints = system.task.constraints
    if not constraints:
        return
    rng = np.random.default_rng(0)
    x, goal = system.sample(rng, PROBES)
    p = system.sample_parameters(rng, PROBES)
    with np.errstate(all='ignore'):
        found = constraints.evaluate(x, system.trims(goal), goal, list(p.T), 0.0)
    for name, h in zip(constraints.names, found, strict=True):
        if np.all(np.asarray(h) > 0.0):
            raise ValueError(
                f"constraint '{name}' is violated everywhere in x0_box; it must be written so "
                'that it is at most 0 where the plant may be, like radius - distance'
            )
        if np.isnan(h).all():
            raise ValueError(f"constraint '{name}' is NaN everywhere in x0_box; check its formula")


def task_contract(system: System) -> dict[str, Any]:
    """What a network depends on beyond the words of version 1, where it is used, as JSON values."""
    found: dict[str, Any] = {'goal_tolerance': _with_none(system.goal_tolerance)}
    optional = {
        'angles': list(system.angles),
        'ranges': {name: list(limits) for name, limits in system.ranges.items()},
        'x_min': _with_none(system.x_min),
        'x_max': _with_none(system.x_max),
        'x0_centre': system.x0_centre.tolist(),
        'goal_centre': system.goal_centre.tolist(),
        'violation_weight': system.violation_weight,
        'obstacles': [list(obstacle) for obstacle in system.obstacles],
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
            terms = owned if isinstance(owned, Terms) else None
            terms = terms or traced_terms(f"{word} of '{system.name}'", owned, signature)
            found[word] = _terms_record(terms)
    found['laws'] = {name: _law_record(system, law) for name, law in system.laws.items()}
    if system.trim == EQUILIBRIUM:
        found['trim'] = EQUILIBRIUM
    elif system.trim is not None:
        found['trim'] = _law_record(system, system.trim)
    return {word: value for word, value in found.items() if value}


def _law_record(system: System, law: Any) -> dict[str, Any]:
    if not isinstance(law, Terms):
        law = traced_law(f"a law of '{system.name}'", law, system.signature)
    return _terms_record(law)


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
