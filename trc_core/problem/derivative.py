"""Exact slopes of expressions, by forward accumulation.

At a kink the slope is that of one side, and 0 where the one of either side is infinite, as that of
a square root at 0: |v| v of a drag has the slope 0 at rest.

Source: Griewank and Walther, Evaluating Derivatives (2008), chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trc_core.problem.expression import Expression, apply

Partials = tuple[Any, ...]


def jacobian(
    outputs: Sequence[Expression], inputs: Sequence[Expression]
) -> list[list[Expression]]:
    """Slopes of outputs by inputs, (outputs, inputs); those that are always zero are constants.

    Args:
        outputs: expressions of one tape.
        inputs: what to differentiate by: any expressions of that tape that the outputs stand on.
    """
    tape = inputs[0].tape
    zero, one = tape.constant(0.0), tape.constant(1.0)
    column = {e.place: c for c, e in enumerate(inputs)}
    tangents: dict[int, dict[int, Expression]] = {}
    for place in tape.needed(e.place for e in outputs):
        if place in column:
            tangents[place] = {column[place]: one}
            continue
        name, *operands = tape.instructions[place]
        tangents[place] = {}
        if name in ('input', 'constant') or not any(tangents[k] for k in operands):
            continue
        values = [Expression(tape, k) for k in operands]
        if name == 'select':
            first, second = (tangents[k] for k in operands[1:])
            tangents[place] = _selected(values[0], first, second, zero)
            continue
        partials = PARTIALS[name](Expression(tape, place), *values)
        tangents[place] = _chained(partials, [tangents[k] for k in operands], zero)
    return [[tangents[e.place].get(c, zero) for c in range(len(inputs))] for e in outputs]


def gradient(output: Expression, inputs: Sequence[Expression]) -> list[Expression]:
    """Slopes of one output by inputs, by reverse accumulation: its cost is that of few outputs.

    Args:
        output: an expression.
        inputs: what to differentiate by: inputs of its tape.
    """
    tape = output.tape
    zero = tape.constant(0.0)
    adjoint: dict[int, Expression] = {output.place: tape.constant(1.0)}
    for place in reversed(tape.needed([output.place])):
        above = adjoint.get(place)
        name, *operands = tape.instructions[place]
        if above is None or name in ('input', 'constant'):
            continue
        values = [Expression(tape, k) for k in operands]
        if name == 'select':
            first = apply('select', values[0], above, zero)
            parts = [zero, first, apply('select', values[0], zero, above)]
        else:
            parts = [
                above * partial for partial in PARTIALS[name](Expression(tape, place), *values)
            ]
        for k, part in zip(operands, parts, strict=True):
            if not part.is_number(0.0):
                adjoint[k] = adjoint.get(k, zero) + part
    return [adjoint.get(e.place, zero) for e in inputs]


def _chained(
    partials: Partials, tangents: Sequence[Mapping[int, Expression]], zero: Expression
) -> dict[int, Expression]:
    """The chain rule: the sum of partial times tangent over the operands, without its zeros."""
    total: dict[int, Expression] = {}
    for partial, tangent in zip(partials, tangents, strict=True):
        for column, slope in tangent.items():
            total[column] = total.get(column, zero) + slope * partial
    return {column: e for column, e in total.items() if not e.is_number(0.0)}


def _selected(
    condition: Expression,
    first: Mapping[int, Expression],
    second: Mapping[int, Expression],
    zero: Expression,
) -> dict[int, Expression]:
    """The slopes of the branch that holds: those of the other one need not be numbers."""
    return {
        column: apply('select', condition, first.get(column, zero), second.get(column, zero))
        for column in sorted({*first, *second})
    }


def _inverse(a: Expression) -> Expression:
    """1 / a, and 0 where a is 0, without a division by 0 on the way."""
    is_zero = apply('equal', a, 0.0)
    return (1.0 - is_zero) / (a + is_zero)


def _power(y: Expression, a: Expression, b: Expression) -> Partials:
    below_one = b * y * _inverse(a)  # infinite at a = 0
    if b.number is not None:
        return below_one if 0.0 < b.number < 1.0 else b * a ** (b - 1.0), 0.0
    above_one = b * a ** apply('maximum', b - 1.0, 0.0)
    by_exponent = y * apply('log', apply('select', apply('less', 0.0, a), a, 1.0))
    return apply('select', apply('less', b, 1.0), below_one, above_one), by_exponent


def _smaller(y: Expression, a: Expression, b: Expression) -> Partials:
    first = apply('less_equal', a, b)
    return first, 1.0 - first


def _larger(y: Expression, a: Expression, b: Expression) -> Partials:
    first = apply('less_equal', b, a)
    return first, 1.0 - first


def _angle(y: Expression, a: Expression, b: Expression) -> Partials:
    inverse = _inverse(a * a + b * b)
    return b * inverse, -a * inverse


def _step(*_: Expression) -> Partials:
    return (0.0, 0.0)


PARTIALS: Mapping[str, Callable[..., Partials]] = {
    'add': lambda y, a, b: (1.0, 1.0),
    'sub': lambda y, a, b: (1.0, -1.0),
    'mul': lambda y, a, b: (b, a),
    'div': lambda y, a, b: (1.0 / b, -y / b),
    'pow': _power,
    'atan2': _angle,
    'minimum': _smaller,
    'maximum': _larger,
    'less': _step,
    'less_equal': _step,
    'equal': _step,
    'neg': lambda y, a: (-1.0,),
    'abs': lambda y, a: (apply('sign', a),),
    'sign': lambda y, a: (0.0,),
    'floor': lambda y, a: (0.0,),
    'ceil': lambda y, a: (0.0,),
    'sqrt': lambda y, a: (0.5 * _inverse(y),),
    'exp': lambda y, a: (y,),
    'log': lambda y, a: (1.0 / a,),
    'sin': lambda y, a: (apply('cos', a),),
    'cos': lambda y, a: (-apply('sin', a),),
    'tan': lambda y, a: (1.0 + y * y,),
    'asin': lambda y, a: (_inverse((1.0 - a * a) ** 0.5),),
    'acos': lambda y, a: (-_inverse((1.0 - a * a) ** 0.5),),
    'atan': lambda y, a: (1.0 / (1.0 + a * a),),
    'sinh': lambda y, a: (apply('cosh', a),),
    'cosh': lambda y, a: (apply('sinh', a),),
    'tanh': lambda y, a: (1.0 - y * y,),
    'asinh': lambda y, a: (1.0 / (a * a + 1.0) ** 0.5,),
    'acosh': lambda y, a: (_inverse((a - 1.0) ** 0.5 * (a + 1.0) ** 0.5),),
    'atanh': lambda y, a: (1.0 / (1.0 - a * a),),
}
"""Slopes of every operation but `select` by its operands, given its result y."""
