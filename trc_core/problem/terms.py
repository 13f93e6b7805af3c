"""Terms of a task: constraints, residuals and control laws, traced to expression graphs.

All are functions of the same arguments, so that kernels call them alike: the state x, the control
u, the reference state r (named `goal` where users write), the parameters p, and the time t [s]
since the plan began.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trc_core.problem.derivative import jacobian
from trc_core.problem.expression import EXPRESSIONS, Tape
from trc_core.problem.graph import NUMPY, Algebra, Graph
from trc_core.problem.returned import named_terms
from trc_core.problem.trace import NotationError, Request, Signature, traced_graph

ARGUMENTS = ('x', 'u', 'goal', 'time')
TIME, TIME_TO_GO = 'time', 'time_to_go'  # what t is called: since the plan began, or until it ends
OUTPUT = 'terms'
EQUILIBRIUM = 'equilibrium'  # a trim that solves f = 0
EMPTY = inspect.Parameter.empty
BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, eq=False)
class Terms:
    """Named scalar functions of (x, u, r, p, t)."""

    names: tuple[str, ...]
    graph: Graph
    """Inputs x, u, r, p, t; one output `terms`, in the order of the names."""

    def __len__(self) -> int:
        return len(self.names)

    def evaluate(
        self, x: Any, u: Any, r: Any, p: Sequence[Any], t: Any, algebra: Algebra = NUMPY
    ) -> list[Any]:
        """The value of every term, in an algebra.

        Args:
            x: states, the last axis indexed by coordinate: (..., n_x).
            u: controls (..., n_u).
            r: reference states (..., n_x).
            p: parameters, n_p of them.
            t: seconds since the plan began.
            algebra: of the values.
        """
        split = (_coordinates(values) for values in (x, u, r))
        values = [value for part in split for value in part]
        return self.graph.evaluate([*values, *p, t], algebra)[OUTPUT]

    @cached_property
    def slopes(self) -> Graph:
        """The terms with their slopes: outputs `terms`, `by_x` (n n_x) and `by_u` (n n_u)."""
        inputs = self.graph.inputs
        tape = Tape()
        arguments = tape.inputs(sum(inputs.values()))
        found = self.graph.evaluate(arguments, EXPRESSIONS)[OUTPUT]
        values = [tape.expression(e) for e in found]
        n_x, n_u = inputs['x'], inputs['u']
        rows = jacobian(values, arguments[: n_x + n_u])
        by_x = [e for row in rows for e in row[:n_x]]
        by_u = [e for row in rows for e in row[n_x:]]
        return tape.graph(inputs, {OUTPUT: values, 'by_x': by_x, 'by_u': by_u})

    def uses(self, name: str) -> bool:
        """Whether any term reads one of the inputs 'x', 'u', 'r', 'p' and 't'."""
        return bool(self.graph.entries_read(name))

    @cached_property
    def uses_control(self) -> NDArray[np.bool_]:
        """Whether each term depends on the control (n,)."""
        graph, n_u = self.slopes, self.graph.inputs['u']
        is_zero = [graph.instructions[k] == ('constant', 0.0) for k in graph.outputs['by_u']]
        rows = np.array(is_zero, dtype=np.bool_).reshape(len(self), n_u)
        return np.asarray(~np.all(rows, axis=1))


def _coordinates(values: Any) -> list[Any]:
    """The coordinates of rows (..., n), of arrays and tensors alike; a list is taken as it is."""
    if isinstance(values, list):
        return values
    return [values[..., i] for i in range(values.shape[-1])]


def term_inputs(signature: Signature) -> dict[str, int]:
    """The inputs of every graph of terms, and their lengths."""
    n_x, n_u, names = signature
    return {'x': n_x, 'u': n_u, 'r': n_x, 'p': len(names), 't': 1}


def terms_from_graph(graph: Graph, names: Sequence[str], signature: Signature) -> Terms:
    """Terms read from a file.

    Raises:
        ValueError: if the graph has other inputs or outputs than such terms.
    """
    inputs, count = term_inputs(signature), len(names)
    if list(graph.inputs.items()) != list(inputs.items()):
        raise ValueError(f'takes {dict(graph.inputs)}, expected {inputs}')
    outputs = {name: len(places) for name, places in graph.outputs.items()}
    if outputs != {OUTPUT: count}:
        raise ValueError(f'gives {outputs}, expected { ({OUTPUT: count}) }')
    return Terms(tuple(names), graph)


@lru_cache(maxsize=256)
def traced_terms(
    title: str, formula: Callable[..., Any], signature: Signature, clock: str = TIME
) -> Terms:
    """The terms that a user wrote as a function of some of x, u, goal, time and the parameters.

    Args:
        title: what it is, for messages, like "constraints of 'car'".
        formula: returns a mapping of names to expressions, or a sequence of expressions.
        signature: the sizes and names of its arguments.
        clock: what t is called.

    Raises:
        ValueError: if it takes other arguments, fails, or returns anything else; the message
            says what to write.
    """
    names: list[str] = []

    def call(values: Sequence[Any]) -> list[Any]:
        found = formula(**_arguments(formula, signature, values, clock))
        terms = named_terms(found)
        names[:] = [name for name, _ in terms]
        return [term for _, term in terms]

    request = Request(title, formula, call, _symbols(signature))
    graph = traced_graph(request, term_inputs(signature), OUTPUT)
    return Terms(tuple(names), graph)


def terms_of(
    title: str,
    owned: Any,
    signature: Signature,
    trace: Callable[[str, Callable[..., Any], Signature], Terms] = traced_terms,
) -> Terms:
    """What a system owns as terms: those of a formula are traced, those of a file stand."""
    return owned if isinstance(owned, Terms) else trace(title, owned, signature)


def traced_law(
    title: str, law: Callable[..., Any], signature: Signature, clock: str = TIME
) -> Terms:
    """A control law that a user wrote: one term for every control, named by its place.

    `clock` is what t is called: in plans of a free duration `time_to_go`, until the plan ends.

    Raises:
        ValueError: as `traced_terms`, also if it depends on u or returns another number of
            controls.
    """
    terms = traced_terms(title, law, signature, clock)
    require_law(title, terms, signature)
    return terms


def require_law(title: str, terms: Terms, signature: Signature) -> None:
    """Raises a ValueError unless terms are a control for every control."""
    if len(terms) != signature.n_u:
        raise ValueError(f'{title} returns {len(terms)} controls, expected {signature.n_u}')
    if terms.uses('u'):
        raise ValueError(f'{title} depends on u, which it gives; write a function of x and goal')


@lru_cache(maxsize=256)
def traced_trim(title: str, trim: Callable[..., Any], signature: Signature) -> Terms:
    """The control that holds a goal, which a user wrote as a function of it.

    Raises:
        ValueError: as `traced_law`, also if it depends on anything but goal and parameters.
    """
    terms = traced_law(title, trim, signature)
    require_trim(title, terms)
    return terms


def require_trim(title: str, terms: Terms) -> None:
    """Raises a ValueError unless terms depend on nothing but goal and parameters."""
    for name, word in (('x', 'x'), ('t', 'time')):
        if terms.uses(name):
            raise ValueError(f'{title} depends on {word}; write it with goal and the parameters')


def joined(parts: Sequence[tuple[str, Terms]], signature: Signature) -> Terms:
    """Several terms as one graph; the names of a part stand behind its prefix."""
    inputs = term_inputs(signature)
    tape = Tape()
    arguments = tape.inputs(sum(inputs.values()))
    names, values = [], []
    for prefix, terms in parts:
        found = terms.graph.evaluate(arguments, EXPRESSIONS)[OUTPUT]
        values += [tape.expression(e) for e in found]
        names += [f'{prefix}{name}' for name in terms.names]
    return Terms(tuple(names), tape.graph(inputs, {OUTPUT: values}))


def limit_terms(
    names: Sequence[str], low: NDArray[np.float64], high: NDArray[np.float64], signature: Signature
) -> Terms:
    """The limits of states as terms <= 0: `speed_max`: speed - high, `speed_min`: low - speed."""
    inputs = term_inputs(signature)
    tape = Tape()
    x = tape.inputs(sum(inputs.values()))
    labelled = []
    for i, name in enumerate(names):
        if np.isfinite(high[i]):
            labelled.append((f'{name}_max', x[i] - float(high[i])))
        if np.isfinite(low[i]):
            labelled.append((f'{name}_min', float(low[i]) - x[i]))
    graph = tape.graph(inputs, {OUTPUT: [term for _, term in labelled]})
    return Terms(tuple(name for name, _ in labelled), graph)


def _symbols(signature: Signature) -> tuple[str, ...]:
    n_x, n_u, names = signature
    parts = (('x', n_x), ('u', n_u), ('goal', n_x))
    return (*(f'{name}{i}' for name, n in parts for i in range(n)), *names, 'time')


def _arguments(
    formula: Callable[..., Any], signature: Signature, values: Sequence[Any], clock: str
) -> dict[str, Any]:
    """Those of the arguments that a formula takes, by name."""
    n_x, n_u, names = signature
    states, controls = values[:n_x], values[n_x : n_x + n_u]
    goal = values[n_x + n_u : 2 * n_x + n_u]
    offered = {'x': states, 'u': controls, 'goal': goal, clock: values[-1]}
    offered.update(zip(names, values[2 * n_x + n_u : -1], strict=True))
    taken = _parameters_of(formula)
    unknown = [
        name
        for name, parameter in taken.items()
        if parameter.kind in BY_POSITION
        or (parameter.kind in BY_NAME and parameter.default is EMPTY and name not in offered)
    ]
    if unknown:
        raise NotationError(f'take {unknown}; write some of {list(offered)}, by name')
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in taken.values()):
        return offered
    return {name: offered[name] for name in taken if name in offered}


def _parameters_of(formula: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(formula).parameters
    except (TypeError, ValueError):
        raise NotationError('take arguments that cannot be read; write a def') from None
