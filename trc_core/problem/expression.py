"""Symbolic scalars: arithmetic on them writes an expression graph, and differentiates it.

An `Expression` stands where a number would. Equal subexpressions are one instruction, sums with
0 and products with 1 disappear, and NumPy's functions work on it. Inside object arrays arithmetic
does, and functions like sine; what compares (minimum, sign, <) takes single entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

import numpy as np

from trc_core.problem.graph import (
    LONGEST,
    NUMPY,
    OPERANDS,
    Algebra,
    Graph,
    Instruction,
    needed_instructions,
)

POWERS = 16  # the largest whole exponent that is written as products
UFUNCS: Mapping[str, str] = {
    **{
        function.__name__: name
        for name, function in NUMPY.items()
        if isinstance(function, np.ufunc)
    },
    'less': 'less',
    'less_equal': 'less_equal',
    'equal': 'equal',
    'float_power': 'pow',
}
"""NumPy's functions, and the operations they are."""


class Tape:
    """The instructions that a computation has written so far.

    Args:
        longest: how many it may write.
    """

    def __init__(self, longest: int = LONGEST) -> None:
        self.instructions: list[Instruction] = []
        self._places: dict[Instruction, int] = {}
        self._longest = longest

    def inputs(self, count: int) -> list[Expression]:
        """The expressions of `count` inputs, in order."""
        return [self.write('input', k) for k in range(count)]

    def constant(self, value: Any) -> Expression:
        """A number as an expression.

        Raises:
            ValueError: if it is not finite.
        """
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(f'a formula contains the constant {number}')
        return self.write('constant', number)

    def expression(self, value: Any) -> Expression:
        """A value as an expression: one it is, or the constant of a number."""
        return value if isinstance(value, Expression) else self.constant(value)

    def write(self, *instruction: Any) -> Expression:
        """The expression of an instruction, which is written unless it already stands there.

        Raises:
            OverflowError: if the tape is full.
        """
        place = self._places.get(instruction)
        if place is None:
            place = len(self.instructions)
            if place >= self._longest:
                raise OverflowError(f'more than {self._longest} instructions')
            self.instructions.append(instruction)
            self._places[instruction] = place
        return Expression(self, place)

    def graph(
        self, inputs: Mapping[str, int], outputs: Mapping[str, Sequence[Expression]]
    ) -> Graph:
        """The graph of some expressions, without the instructions that they do not need."""
        needed = self.needed(e.place for values in outputs.values() for e in values)
        moved = {old: new for new, old in enumerate(needed)}
        instructions = []
        for old in needed:
            name, *operands = self.instructions[old]
            kept = operands if name in ('input', 'constant') else [moved[k] for k in operands]
            instructions.append((name, *kept))
        places = {name: [moved[e.place] for e in values] for name, values in outputs.items()}
        return Graph(dict(inputs), instructions, places)

    def needed(self, places: Iterable[int]) -> list[int]:
        """The instructions that some stand on, in order."""
        return needed_instructions(self.instructions, places)


class UnknownValueError(TypeError):
    """A number was asked of an expression, which has none yet."""


class Expression:
    """A scalar that is not known yet: one instruction on a tape."""

    __slots__ = ('place', 'tape')
    __array_priority__ = 1000.0

    def __init__(self, tape: Tape, place: int) -> None:
        self.tape, self.place = tape, place

    @property
    def number(self) -> float | None:
        """The value of a constant; None for everything else."""
        instruction = self.tape.instructions[self.place]
        return instruction[1] if instruction[0] == 'constant' else None

    def is_number(self, value: float) -> bool:
        """Whether this is the constant `value`."""
        return self.number == value

    def __repr__(self) -> str:
        return f'<expression {self.place}: {self.tape.instructions[self.place]}>'

    def __hash__(self) -> int:
        return hash((id(self.tape), self.place))

    def __bool__(self) -> NoReturn:
        raise UnknownValueError(
            'a formula cannot branch on a value that is not known yet; '
            'write numpy.where(condition, a, b), numpy.minimum or numpy.maximum of single entries'
        )

    def __float__(self) -> float:
        if self.number is None:
            raise UnknownValueError(
                'a formula has no number yet; write numpy.sin(x), not math.sin(x)'
            )
        return self.number

    def __neg__(self) -> Any:
        return apply('neg', self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return apply('abs', self)

    def __floor__(self) -> Any:
        return apply('floor', self)

    def __ceil__(self) -> Any:
        return apply('ceil', self)

    def __add__(self, other: Any) -> Any:
        return _binary('add', self, other)

    def __radd__(self, other: Any) -> Any:
        return _binary('add', other, self)

    def __sub__(self, other: Any) -> Any:
        return _binary('sub', self, other)

    def __rsub__(self, other: Any) -> Any:
        return _binary('sub', other, self)

    def __mul__(self, other: Any) -> Any:
        return _binary('mul', self, other)

    def __rmul__(self, other: Any) -> Any:
        return _binary('mul', other, self)

    def __truediv__(self, other: Any) -> Any:
        return _binary('div', self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _binary('div', other, self)

    def __pow__(self, other: Any) -> Any:
        return _binary('pow', self, other)

    def __rpow__(self, other: Any) -> Any:
        return _binary('pow', other, self)

    def __lt__(self, other: Any) -> Any:
        return _binary('less', self, other)

    def __le__(self, other: Any) -> Any:
        return _binary('less_equal', self, other)

    def __gt__(self, other: Any) -> Any:
        return _binary('less', other, self)

    def __ge__(self, other: Any) -> Any:
        return _binary('less_equal', other, self)

    def __eq__(self, other: object) -> Any:
        return _binary('equal', self, other)

    def __ne__(self, other: object) -> Any:
        return 1.0 - _binary('equal', self, other)

    def __and__(self, other: Any) -> Any:
        return FUNCTIONS['logical_and'](self, other)

    def __or__(self, other: Any) -> Any:
        return FUNCTIONS['logical_or'](self, other)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **_: Any) -> Any:
        if method != '__call__':
            return NotImplemented
        if any(isinstance(value, np.ndarray) and value.ndim for value in inputs):
            arrays = [np.asarray(value, dtype=object) for value in inputs]
            return np.frompyfunc(partial(call, ufunc.__name__), ufunc.nin, 1)(*arrays)
        return call(ufunc.__name__, *inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function.__name__ in FUNCTIONS and not kwargs:
            return FUNCTIONS[function.__name__](*args)
        return function._implementation(*args, **kwargs)  # NumPy's own, made of its ufuncs

    def __getattr__(self, name: str) -> Any:
        if name not in KNOWN:
            raise AttributeError(f'an expression has no {name}')
        return lambda *values: call(name, self, *values)  # NumPy asks so, inside object arrays


def call(name: str, *values: Any) -> Any:
    """The expression of one of NumPy's functions, by its name.

    Raises:
        TypeError: if it has none; the message lists those that have.
    """
    if name in FUNCTIONS:
        return FUNCTIONS[name](*values)
    if name not in UFUNCS:
        raise TypeError(f'numpy.{name} has no expression; choose from {sorted(KNOWN)}')
    return apply(UFUNCS[name], *values)


def apply(name: str, *values: Any) -> Any:
    """The expression of an operation on expressions and numbers, simplified; of numbers, one."""
    tape = next((value.tape for value in values if isinstance(value, Expression)), None)
    if tape is None:
        return NUMPY[name](*values)
    operands = [tape.expression(v) for v in values]
    numbers = [operand.number for operand in operands]
    if None not in numbers:
        with np.errstate(all='ignore'):
            return tape.constant(NUMPY[name](*map(float, numbers)))  # type: ignore[arg-type]
    if name in SHORTCUTS:
        short = SHORTCUTS[name](*operands)
        if short is not None:
            return short
    places = [operand.place for operand in operands]
    if name in ('add', 'mul', 'equal', 'minimum', 'maximum'):
        places.sort()  # they commute: a + b and b + a are one instruction
    return tape.write(name, *places)


def _binary(name: str, a: Any, b: Any) -> Any:
    """An operator's expression; NotImplemented with an operand that is no number either."""
    for value in (a, b):
        if isinstance(value, Expression):
            continue
        try:
            float(value)
        except (TypeError, ValueError):
            return NotImplemented
    return apply(name, a, b)


def _add(a: Expression, b: Expression) -> Expression | None:
    if a.is_number(0.0):
        return b
    return a if b.is_number(0.0) else None


def _sub(a: Expression, b: Expression) -> Expression | None:
    if b.is_number(0.0):
        return a
    if a.place == b.place:
        return a.tape.constant(0.0)
    return apply('neg', b) if a.is_number(0.0) else None


def _mul(a: Expression, b: Expression) -> Expression | None:
    for factor, other in ((a, b), (b, a)):
        if factor.is_number(0.0):
            return factor
        if factor.is_number(1.0):
            return other
        if factor.is_number(-1.0):
            return apply('neg', other)
    return None


def _div(a: Expression, b: Expression) -> Expression | None:
    if a.is_number(0.0) or b.is_number(1.0):
        return a
    if b.number is not None:
        return apply('mul', a, 1.0 / b.number) if _is_power_of_two(b.number) else None
    return None


def _is_power_of_two(value: float) -> bool:
    return abs(math.frexp(value)[0]) == 0.5


def _neg(a: Expression) -> Expression | None:
    name, *operands = a.tape.instructions[a.place]
    return Expression(a.tape, operands[0]) if name == 'neg' else None


def _pow(a: Expression, b: Expression) -> Expression | None:
    exponent = b.number
    if exponent == 0.5:
        return apply('sqrt', a)
    if exponent is None or exponent != int(exponent) or abs(exponent) > POWERS:
        return None
    if exponent == 0.0:
        return a.tape.constant(1.0)
    product, square, left = a.tape.constant(1.0), a, abs(int(exponent))
    while left:  # by repeated squaring
        product = product * square if left & 1 else product
        left >>= 1
        square = square * square if left else square
    return product if exponent > 0 else apply('div', 1.0, product)


def _select(condition: Expression, a: Expression, b: Expression) -> Expression | None:
    if condition.number is not None:
        return a if condition.number != 0.0 else b
    return a if a.place == b.place else None


SHORTCUTS: Mapping[str, Callable[..., Expression | None]] = {
    'add': _add,
    'sub': _sub,
    'mul': _mul,
    'div': _div,
    'neg': _neg,
    'pow': _pow,
    'select': _select,
}
"""Simplifications that leave the value as it is, up to rounding; None where there is none."""


EXPRESSIONS: Algebra = {name: partial(apply, name) for name in OPERANDS}
"""The algebra in which evaluating one graph writes it into another."""


def _hypot(a: Any, b: Any) -> Any:
    return (a * a + b * b) ** 0.5


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    'where': lambda condition, a, b: apply('select', condition, a, b),
    'hypot': _hypot,
    'square': lambda a: a * a,
    'reciprocal': lambda a: 1.0 / a,
    'cbrt': lambda a: apply('sign', a) * apply('abs', a) ** (1.0 / 3.0),
    'exp2': lambda a: apply('exp', a * math.log(2.0)),
    'expm1': lambda a: apply('exp', a) - 1.0,
    'log2': lambda a: apply('log', a) / math.log(2.0),
    'log10': lambda a: apply('log', a) / math.log(10.0),
    'log1p': lambda a: apply('log', 1.0 + a),
    'deg2rad': lambda a: a * (math.pi / 180.0),
    'radians': lambda a: a * (math.pi / 180.0),
    'rad2deg': lambda a: a * (180.0 / math.pi),
    'degrees': lambda a: a * (180.0 / math.pi),
    'positive': lambda a: a,
    'fabs': lambda a: apply('abs', a),
    'fmin': lambda a, b: apply('minimum', a, b),
    'fmax': lambda a, b: apply('maximum', a, b),
    'clip': lambda a, low, high: apply('minimum', apply('maximum', a, low), high),
    'greater': lambda a, b: apply('less', b, a),
    'greater_equal': lambda a, b: apply('less_equal', b, a),
    'not_equal': lambda a, b: 1.0 - apply('equal', a, b),
    'logical_and': lambda a, b: apply('select', a, apply('select', b, 1.0, 0.0), 0.0),
    'logical_or': lambda a, b: apply('select', a, 1.0, apply('select', b, 1.0, 0.0)),
    'logical_not': lambda a: apply('equal', a, 0.0),
    'heaviside': lambda a, b: apply('select', apply('equal', a, 0.0), b, apply('less', 0.0, a)),
}
"""NumPy's functions that are made of several operations."""
KNOWN = {*FUNCTIONS, *UFUNCS}
