"""Tracing: a formula written with NumPy's, SymPy's or CasADi's functions becomes a graph."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trc_core.problem.discretise import NEXT_STATE, RATE, output_of
from trc_core.problem.expression import EXPRESSIONS, Expression, Tape, UnknownValueError
from trc_core.problem.graph import Graph

Formula = Callable[..., Sequence[Any]]
Terms = list[Any]
OURS = tuple(
    Path(__file__).with_name(name)
    for name in ('trace.py', 'terms.py', 'returned.py', 'robot_dynamics.py')
)


class GraphFormula:
    """A formula that is a graph already: `dynamics` of a system that was read from a file."""

    def __init__(
        self, graph: Graph, slopes: Graph | None = None, timed: Graph | None = None
    ) -> None:
        self.graph = graph
        self.slopes_graph = slopes
        self.timed_graph = timed

    def __call__(self, x: Sequence[Any], u: Sequence[Any], **parameters: Any) -> list[Any]:
        """Its output, in the algebra of what it is given."""
        inputs = [*x, *u, *parameters.values()]
        return self.graph.evaluate(inputs, EXPRESSIONS)[output_of(self.graph)]


class Signature(NamedTuple):
    """The arguments of dynamics."""

    n_x: int
    n_u: int
    parameters: tuple[str, ...]


class Request(NamedTuple):
    """A formula to trace."""

    title: str
    """Its name in messages, like "dynamics of 'car'"."""
    formula: Formula
    """What the user wrote."""
    call: Callable[[Sequence[Any]], Any]
    """Calls it with one value for every symbol; returns its terms."""
    symbols: tuple[str, ...]
    terms: int | None = None
    """How many terms it must return; None: as many as it likes."""


@lru_cache(maxsize=256)
def dynamics_graph(
    name: str, dynamics: Formula, signature: Signature, output: str = RATE
) -> Graph:
    """The graph of the dynamics of a system: inputs x, u, p; one output.

    Raises:
        ValueError: if the dynamics fail, return anything but one expression per state, or use a
            symbol that is neither a state, a control nor a parameter; the message says which.
    """
    if isinstance(dynamics, GraphFormula) and output_of(dynamics.graph) == output:
        return dynamics.graph
    n_x, n_u, names = signature

    def call(values: Sequence[Any]) -> Any:
        parameters = dict(zip(names, values[n_x + n_u :], strict=True))
        return dynamics(values[:n_x], values[n_x : n_x + n_u], **parameters)

    states, controls = (f'x{i}' for i in range(n_x)), (f'u{i}' for i in range(n_u))
    symbols = (*states, *controls, *names)
    request = Request(f"dynamics of '{name}'", dynamics, call, symbols, n_x)
    inputs = {'x': n_x, 'u': n_u, 'p': len(names)}
    return traced_graph(request, inputs, output)


@lru_cache(maxsize=256)
def timed_graph(name: str, dynamics: Formula, signature: Signature) -> Graph | None:
    """The graph of a discrete plant's step over any time: inputs x, u, p, dt; one output.

    It is None where the dynamics do not take `dt`, and are the step over one time only.

    Raises:
        ValueError: as `dynamics_graph`.
    """
    if isinstance(dynamics, GraphFormula):
        return dynamics.timed_graph
    if 'dt' in signature.parameters or 'dt' not in _argument_names(dynamics):
        return None
    n_x, n_u, names = signature

    def call(values: Sequence[Any]) -> Any:
        *own, dt = values
        parameters = dict(zip(names, own[n_x + n_u :], strict=True))
        return dynamics(own[:n_x], own[n_x : n_x + n_u], dt=dt, **parameters)

    states, controls = (f'x{i}' for i in range(n_x)), (f'u{i}' for i in range(n_u))
    request = Request(
        f"dynamics of '{name}'", dynamics, call, (*states, *controls, *names, 'dt'), n_x
    )
    return traced_graph(request, {'x': n_x, 'u': n_u, 'p': len(names), 'dt': 1}, NEXT_STATE)


def _argument_names(formula: Formula) -> list[str]:
    """The names of a formula's arguments, those of `**` left out; none where they are hidden."""
    try:
        return list(inspect.signature(formula).parameters)
    except (TypeError, ValueError):
        return []


@lru_cache(maxsize=256)
def stated_slopes(
    name: str, dynamics: Formula, signature: Signature, output: str = RATE
) -> Graph | None:
    """The graph of the slopes that dynamics state themselves; None where they do not.

    Dynamics state them by a method `slopes(x, u, **parameters)`, which returns what they do
    (n_x,) and its slopes A (n_x, n_x) and B (n_x, n_u), in the algebra of what it is given.

    Raises:
        ValueError: if it fails or returns other sizes.
    """
    if isinstance(dynamics, GraphFormula):
        return dynamics.slopes_graph
    formula = getattr(dynamics, 'slopes', None)
    if formula is None:
        return None
    n_x, n_u, names = signature
    sizes = {output: n_x, 'A': n_x * n_x, 'B': n_x * n_u}
    tape = Tape()
    values = tape.inputs(n_x + n_u + len(names))
    parameters = dict(zip(names, values[n_x + n_u :], strict=True))
    try:
        found = formula(values[:n_x], values[n_x : n_x + n_u], **parameters)
        flat = [np.array(part, dtype=object).ravel() for part in found]
        parts = dict(zip(sizes, flat, strict=True))
        outputs = {key: [tape.expression(e) for e in part] for key, part in parts.items()}
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ValueError(f"slopes of '{name}' fail: {' '.join(str(error).split())}") from error
    if {key: len(entries) for key, entries in outputs.items()} != sizes:
        raise ValueError(
            f"slopes of '{name}' return other sizes than {output} ({n_x},), A ({n_x}, {n_x}), "
            f'B ({n_x}, {n_u})'
        )
    return tape.graph({'x': n_x, 'u': n_u, 'p': len(names)}, outputs)


def traced_graph(request: Request, inputs: Mapping[str, int], output: str) -> Graph:
    """The graph of a formula, with one output.

    Raises:
        ValueError: if the formula fails, or returns something else than expressions of its
            symbols; the message begins with the title of the request.
    """
    tape = Tape()
    arguments = tape.inputs(sum(inputs.values()))
    try:
        terms = _traced(request, arguments)
        expressions = [tape.expression(e) for e in terms]
    except NotationError as failure:
        raise ValueError(f'{request.title} {failure}') from failure.__cause__
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ValueError(f'{request.title}: {error}') from error
    return tape.graph(inputs, {output: expressions})


class NotationError(Exception):
    """A notation in which the formula does not work."""


def _traced(request: Request, arguments: list[Expression]) -> Terms:
    """The terms, in the first notation in which the formula works."""
    failures = {}
    for notation in NOTATIONS:
        if notation == 'numpy' or notation in sys.modules:  # imported by whoever wrote with it
            try:
                return NOTATIONS[notation](request, arguments)
            except NotationError as failure:
                if _asks_for_a_number(failure.__cause__):
                    raise
                failures[notation] = failure
    used = _modules_of(failures['numpy'].__cause__) - {'numpy'}
    named = [name for name in failures if _refers_to(request.formula, name)]
    written = [*used.intersection(failures), *named]
    raise failures[written[0] if written else 'numpy']


def _asks_for_a_number(error: BaseException | None) -> bool:
    """Whether a formula itself took an expression for a number, no library that it calls.

    Other notations would not fail there: SymPy finds that x0 == 0 is false, CasADi that the
    value of x0 is NaN.
    """
    if not isinstance(error, UnknownValueError):
        return False
    return not _modules_of(error) & {'sympy', 'casadi'}


def _modules_of(error: BaseException | None) -> set[str]:
    """The libraries in which an error has come about, by their first names."""
    frames = traceback.walk_tb(None if error is None else error.__traceback__)
    return {str(frame.f_globals.get('__name__', '')).split('.')[0] for frame, _ in frames}


def _run(request: Request, notation: str, values: Sequence[Any]) -> Any:
    """The result of a formula; whatever it raises becomes one line."""
    try:
        return request.call(values)
    except NotationError:
        raise
    except (Exception, SystemExit) as error:
        # whatever a user's formula raises is his message; ours says where
        own = [
            entry
            for entry in traceback.extract_tb(error.__traceback__)
            if Path(entry.filename) not in OURS
        ]
        where = f' in line {own[0].lineno}' if own else ''
        raise NotationError(
            f'fail on {notation} symbols{where}: '
            f'{type(error).__name__}: {" ".join(str(error).split())}'
        ) from error


def _require_terms(terms: Any, count: int | None, kinds: tuple[type, ...]) -> Terms:
    """The terms as a list, as many as were asked for."""
    expected = 'expressions' if count is None else f'{count} expressions'
    try:
        found = list(terms)
    except TypeError:
        raise NotationError(f'returns {terms!r}, expected {expected}') from None
    if count is not None and len(found) != count:
        raise NotationError(f'returns {len(found)} expressions, expected {count}')
    for term in found:
        if not isinstance(term, kinds) and not _is_number(term):
            raise NotationError(f'returns {term}, which is no number')
    return found


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _from_numpy(request: Request, arguments: list[Expression]) -> Terms:
    found = _run(request, 'NumPy', arguments)
    return _require_terms(found, request.terms, (Expression,))


def _from_sympy(request: Request, arguments: list[Expression]) -> Terms:
    import sympy as sp

    from trc_core.problem.sympy_notation import converted

    symbols = [sp.Symbol(name, real=True) for name in request.symbols]
    terms = _require_terms(_run(request, 'SymPy', symbols), request.terms, (sp.Expr,))
    try:
        return converted(
            [sp.sympify(e) for e in terms], dict(zip(symbols, arguments, strict=True))
        )
    except ValueError as error:
        raise NotationError(str(error)) from error


def _from_casadi(request: Request, arguments: list[Expression]) -> Terms:
    import casadi as ca

    from trc_core.problem.casadi_notation import Vector, converted, scalars, unexpanded

    symbols = [ca.SX.sym(f's{i}') for i in range(len(arguments))]
    vector: Any = Vector(ca.vertcat(*symbols))
    try:
        found = _run(request, 'CasADi', vector)
    except NotationError as failure:
        if unexpanded(failure):
            raise NotationError(unexpanded(failure)) from failure.__cause__
        try:
            found = _run(request, 'CasADi', symbols)  # for what takes lists, like casadi.vcat
        except NotationError:
            raise failure from failure.__cause__
    try:
        terms = _require_terms(scalars(found), request.terms, (ca.SX, ca.DM))
        return converted(terms, symbols, arguments)
    except (RuntimeError, ValueError) as error:
        raise NotationError(' '.join(str(error).split())) from error


NOTATIONS: Mapping[str, Callable[[Request, list[Expression]], Terms]] = {
    'numpy': _from_numpy,
    'sympy': _from_sympy,
    'casadi': _from_casadi,
}


def _refers_to(formula: Formula, library: str) -> bool:
    """Whether a formula's code names a library or what was imported from it."""
    code = getattr(formula, '__code__', None)
    if code is None:
        return False
    values = [getattr(formula, '__globals__', {}).get(name) for name in code.co_names]
    origins = [getattr(v, '__module__', None) or getattr(v, '__name__', '') for v in values]
    return library in code.co_names or any(str(o).split('.')[0] == library for o in origins)
