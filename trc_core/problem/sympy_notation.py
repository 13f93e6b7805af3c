"""SymPy expressions as instructions of a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import sympy as sp

from trc_core.problem.expression import EXPRESSIONS, FUNCTIONS, Expression, apply


def converted(terms: Sequence[Any], symbols: Mapping[Any, Expression]) -> list[Any]:
    """Every SymPy term as an expression or a number; shared parts are converted once.

    Raises:
        ValueError: if a term holds a symbol that is not among `symbols`, a complex number, or a
            function that graphs do not have.
    """
    strange = {str(s) for term in terms for s in term.free_symbols} - {str(s) for s in symbols}
    if strange:
        raise ValueError(f'uses unknown symbols {sorted(strange)}; declare them in parameters')
    known: dict[Any, Any] = dict(symbols)
    return [_converted(term, known) for term in terms]


def _converted(term: Any, known: dict[Any, Any]) -> Any:
    if term not in known:
        known[term] = _number(term) if term.is_number else _operation(term, known)
    return known[term]


def _number(term: Any) -> float:
    value = complex(term)
    if value.imag != 0.0:
        raise ValueError(f'contains {term}, which is not real')
    return value.real


def _operation(term: Any, known: dict[Any, Any]) -> Any:
    if isinstance(term, sp.Piecewise):
        return _piecewise(term, known)
    kind = type(term).__name__
    if kind not in OPERATIONS:
        raise ValueError(f'uses {kind}, which has no operation; choose from {sorted(OPERATIONS)}')
    return OPERATIONS[kind](*[_converted(argument, known) for argument in term.args])


def _piecewise(term: Any, known: dict[Any, Any]) -> Any:
    *cases, (last, _) = term.args
    value = _converted(last, known)
    for case, condition in reversed(cases):
        value = apply('select', _converted(condition, known), _converted(case, known), value)
    return value


def _folded(name: str) -> Callable[..., Any]:
    return lambda *values: reduce(EXPRESSIONS[name], values)


OPERATIONS: Mapping[str, Callable[..., Any]] = {
    'Add': _folded('add'),
    'Mul': _folded('mul'),
    'Pow': EXPRESSIONS['pow'],
    'Max': _folded('maximum'),
    'Min': _folded('minimum'),
    'And': _folded('minimum'),
    'Or': _folded('maximum'),
    'Abs': EXPRESSIONS['abs'],
    'atan2': EXPRESSIONS['atan2'],
    'StrictLessThan': EXPRESSIONS['less'],
    'LessThan': EXPRESSIONS['less_equal'],
    'StrictGreaterThan': lambda a, b: apply('less', b, a),
    'GreaterThan': lambda a, b: apply('less_equal', b, a),
    'Equality': EXPRESSIONS['equal'],
    'Unequality': lambda a, b: 1.0 - apply('equal', a, b),
    'Not': lambda a: 1.0 - a,
    'BooleanTrue': lambda: 1.0,
    'BooleanFalse': lambda: 0.0,
    'Heaviside': FUNCTIONS['heaviside'],
    'ceiling': EXPRESSIONS['ceil'],
    **{
        name: EXPRESSIONS[name]
        for name in (
            *('sin', 'cos', 'tan', 'asin', 'acos', 'atan', 'sinh', 'cosh', 'tanh', 'asinh'),
            *('acosh', 'atanh', 'exp', 'log', 'sign', 'floor'),
        )
    },
}
"""SymPy's classes, and what they are in a graph."""
