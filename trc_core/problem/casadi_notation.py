"""CasADi's scalar expressions as instructions of a graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import casadi as ca

from trc_core.problem.expression import EXPRESSIONS, FUNCTIONS, Expression, Tape
from trc_core.problem.graph import Graph

OP_CALL = getattr(ca, 'OP_CALL', None)  # expressions of older versions have none


class Vector(ca.SX):
    """A column of symbols, as CasADi's functions take it, that can also be unpacked."""

    def __iter__(self) -> Iterator[Any]:
        return iter(ca.vertsplit(self))

    def __len__(self) -> int:
        return int(self.numel())

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return Vector(found) if isinstance(key, slice) else found


def scalars(value: Any) -> list[Any]:
    """The entries of a scalar, a vector or a list of those, as a list.

    Raises:
        ValueError: if there is a matrix.
    """
    if isinstance(value, (list, tuple)):
        return [entry for part in value for entry in scalars(part)]
    if not isinstance(value, (ca.SX, ca.DM)):
        return [value]
    if min(value.shape) > 1:
        raise ValueError(f'returns a matrix of {value.shape[0]} by {value.shape[1]}')
    return list(ca.vertsplit(ca.vec(ca.densify(value))))


def graph_of_function(function: Any, places: Mapping[str, int], output: int, name: str) -> Graph:
    """The graph of one output of a `casadi.Function`: inputs x, u, p.

    Args:
        function: what to copy; it is expanded.
        places: of x, u and, where there is one, p among its inputs.
        output: place of the output.
        name: of the output in the graph.

    Raises:
        ValueError: if the function cannot be expanded.
    """
    sizes = {role: function.numel_in(places[role]) if role in places else 0 for role in 'xup'}
    tape = Tape()
    arguments = tape.inputs(sum(sizes.values()))
    values = [ca.SX(*function.size_in(place)) for place in range(function.n_in())]
    symbols: list[Any] = []
    for role, place in sorted(places.items(), key=lambda item: 'xup'.index(item[0])):
        entries = [ca.SX.sym(f'{role}{k}') for k in range(sizes[role])]
        values[place] = ca.reshape(ca.vertcat(*entries), *function.size_in(place))
        symbols += entries
    try:
        terms = scalars(function.call(values)[output])
    except RuntimeError as error:
        raise ValueError(unexpanded(error) or ' '.join(str(error).split())) from error
    found = converted(terms, symbols, arguments)
    return tape.graph(sizes, {name: [tape.expression(e) for e in found]})


def unexpanded(error: BaseException) -> str:
    """A line about an operation of CasADi's that has no expression; empty for other errors."""
    named = re.search(r"eval_sx'? not defined for (\w+)", str(error))
    return f'cannot be expanded: {named[1]} {INSTEAD}' if named else ''


def _unexpanded_call(function: Any) -> str:
    """A line about a function that remains a call in expressions."""
    if 'xf' in function.name_out():
        return f"cannot be expanded: '{function.name()}' is an integrator; give the ODE itself"
    return f"cannot be expanded: '{function.name()}' ({function.class_name()}) {INSTEAD}"


INSTEAD = "has no expression; write it with CasADi's operations"


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
        if operation == OP_CALL:
            raise ValueError(_unexpanded_call(function.find_functions()[0]))
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
