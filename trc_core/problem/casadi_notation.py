"""CasADi's scalar expressions as instructions of a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import casadi as ca

from trc_core.problem.expression import EXPRESSIONS, FUNCTIONS, Expression


def converted(
    terms: Sequence[Any], symbols: Sequence[Any], arguments: Sequence[Expression]
) -> list[Any]:
    """Every CasADi term as an expression or a number.

    Raises:
        ValueError: if a term holds another symbol or an operation that graphs do not have.
    """
    outputs = ca.vertcat(*[ca.SX(term) for term in terms])
    strange = {str(s) for s in ca.symvar(outputs)} - {str(s) for s in symbols}
    if strange:
        raise ValueError(f'uses unknown symbols {sorted(strange)}; declare them in parameters')
    function = ca.Function('terms', [ca.vertcat(*symbols)], [ca.densify(outputs)])
    work: list[Any] = [0.0] * function.sz_w()
    found: list[Any] = [0.0] * len(terms)
    for k in range(function.n_instructions()):
        operation = function.instruction_id(k)
        reads, writes = function.instruction_input(k), function.instruction_output(k)
        if operation == ca.OP_OUTPUT:
            found[writes[1]] = work[reads[0]]
        elif operation == ca.OP_INPUT:
            work[writes[0]] = arguments[reads[1]]
        elif operation == ca.OP_CONST:
            work[writes[0]] = function.instruction_constant(k)
        else:
            work[writes[0]] = _operation(operation, [work[place] for place in reads])
    return found


def _operation(operation: int, values: list[Any]) -> Any:
    if operation not in OPERATIONS:
        raise ValueError(f'uses the CasADi operation {operation}, which graphs do not have')
    return OPERATIONS[operation](*values)


OPERATIONS: Mapping[int, Callable[..., Any]] = {
    ca.OP_ASSIGN: lambda a: a,
    ca.OP_SQ: lambda a: a * a,
    ca.OP_TWICE: lambda a: 2.0 * a,
    ca.OP_INV: lambda a: 1.0 / a,
    ca.OP_CONSTPOW: lambda a, b: a**b,
    ca.OP_HYPOT: FUNCTIONS['hypot'],
    ca.OP_LOG1P: FUNCTIONS['log1p'],
    ca.OP_EXPM1: FUNCTIONS['expm1'],
    ca.OP_NE: FUNCTIONS['not_equal'],
    ca.OP_NOT: FUNCTIONS['logical_not'],
    ca.OP_AND: FUNCTIONS['logical_and'],
    ca.OP_OR: FUNCTIONS['logical_or'],
    ca.OP_IF_ELSE_ZERO: lambda condition, a: EXPRESSIONS['select'](condition, a, 0.0),
    **{
        getattr(ca, f'OP_{theirs}'): EXPRESSIONS[ours]
        for theirs, ours in {
            'ADD': 'add',
            'SUB': 'sub',
            'MUL': 'mul',
            'DIV': 'div',
            'POW': 'pow',
            'NEG': 'neg',
            'FABS': 'abs',
            'SIGN': 'sign',
            'FLOOR': 'floor',
            'CEIL': 'ceil',
            'SQRT': 'sqrt',
            'EXP': 'exp',
            'LOG': 'log',
            'SIN': 'sin',
            'COS': 'cos',
            'TAN': 'tan',
            'ASIN': 'asin',
            'ACOS': 'acos',
            'ATAN': 'atan',
            'ATAN2': 'atan2',
            'SINH': 'sinh',
            'COSH': 'cosh',
            'TANH': 'tanh',
            'ASINH': 'asinh',
            'ACOSH': 'acosh',
            'ATANH': 'atanh',
            'FMIN': 'minimum',
            'FMAX': 'maximum',
            'LT': 'less',
            'LE': 'less_equal',
            'EQ': 'equal',
        }.items()
    },
}
"""CasADi's operations, and what they are in a graph."""
