"""Expression graphs: formulas as a list of scalar instructions.

A graph is data, not code. Its operations are those of a table, its operands are earlier
instructions, and both are checked when a graph is read, so that one from a stranger's checkpoint
can be wrong but can do no harm. `evaluate` reads a graph in any algebra that names the
operations: numbers, arrays, tensors, CasADi expressions, or the expressions of `expression.py`.

    x0, x1 = 0.3, 2.0      graph of [x1, 9.81 sin(x0)]:   0  input 0
                                                          1  input 1
                                                          2  sin 0
                                                          3  constant 9.81
                                                          4  mul 3 2           outputs: 1, 4
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

LONGEST = 1_000_000  # instructions of a graph; a seven-joint arm needs 8000
Instruction = tuple[Any, ...]  # (operation, operands...)
Algebra = Mapping[str, Callable[..., Any]]

OPERANDS: Mapping[str, int] = {
    **dict.fromkeys(('neg', 'abs', 'sign', 'floor', 'ceil', 'sqrt', 'exp', 'log'), 1),
    **dict.fromkeys(('sin', 'cos', 'tan', 'asin', 'acos', 'atan'), 1),
    **dict.fromkeys(('sinh', 'cosh', 'tanh', 'asinh', 'acosh', 'atanh'), 1),
    **dict.fromkeys(('add', 'sub', 'mul', 'div', 'pow', 'atan2', 'minimum', 'maximum'), 2),
    **dict.fromkeys(('less', 'less_equal', 'equal'), 2),  # 1 where it holds, else 0
    'select': 3,  # condition, value where it is not 0, value where it is
}
"""How many operands each operation takes."""

NUMPY: Algebra = {
    'neg': np.negative,
    'abs': np.abs,
    'sign': np.sign,
    'floor': np.floor,
    'ceil': np.ceil,
    'sqrt': np.sqrt,
    'exp': np.exp,
    'log': np.log,
    'sin': np.sin,
    'cos': np.cos,
    'tan': np.tan,
    'asin': np.arcsin,
    'acos': np.arccos,
    'atan': np.arctan,
    'sinh': np.sinh,
    'cosh': np.cosh,
    'tanh': np.tanh,
    'asinh': np.arcsinh,
    'acosh': np.arccosh,
    'atanh': np.arctanh,
    'add': np.add,
    'sub': np.subtract,
    'mul': np.multiply,
    'div': np.divide,
    'pow': np.power,
    'atan2': np.arctan2,
    'minimum': np.minimum,
    'maximum': np.maximum,
    'less': lambda a, b: np.less(a, b) * 1.0,
    'less_equal': lambda a, b: np.less_equal(a, b) * 1.0,
    'equal': lambda a, b: np.equal(a, b) * 1.0,
    'select': lambda condition, a, b: np.where(np.not_equal(condition, 0.0), a, b),
}
"""Numbers and arrays."""


def needed_instructions(instructions: Sequence[Instruction], places: Iterable[int]) -> list[int]:
    """The places of the instructions that those at some places stand on, these too, in order."""
    pending, seen = list(places), set()
    while pending:
        place = pending.pop()
        if place in seen:
            continue
        seen.add(place)
        name, *operands = instructions[place]
        if name not in ('input', 'constant'):
            pending.extend(operands)
    return sorted(seen)


@dataclass(frozen=True, eq=False)
class Graph:
    """A list of scalar instructions with named inputs and outputs.

    Args:
        inputs: name and length of every input vector, in order: `{'x': 2, 'u': 1, 'p': 1}`.
        instructions: `('input', k)` for entry k of the inputs laid end to end,
            `('constant', value)`, or an operation and the places of its operands.
        outputs: the places of the results, by name.

    Raises:
        ValueError: if an operation is unknown, an operand is no earlier instruction, a constant
            is not finite, or there are too many instructions; one line names the place.
    """

    inputs: Mapping[str, int]
    instructions: Sequence[Instruction]
    outputs: Mapping[str, Sequence[int]]

    def __post_init__(self) -> None:
        if len(self.instructions) > LONGEST:
            raise ValueError(
                f'graph has {len(self.instructions)} instructions; at most {LONGEST} are read'
            )
        for name, length in self.inputs.items():
            if not _is_index(length, LONGEST):
                raise ValueError(f"graph input '{name}' has the length {length!r}")
        size = sum(self.inputs.values())
        for place, instruction in enumerate(self.instructions):
            problem = _problem(instruction, place, size)
            if problem:
                raise ValueError(f'graph instruction {place} {problem}')
        for name, places in self.outputs.items():
            for place in places:
                if not _is_index(place, len(self.instructions)):
                    raise ValueError(
                        f"graph output '{name}' is {place!r}, which is no instruction"
                    )

    def evaluate(self, values: Sequence[Any], algebra: Algebra = NUMPY) -> dict[str, list[Any]]:
        """The outputs at the inputs laid end to end, in the algebra that their values belong to.

        Raises:
            ValueError: if the number of values is not that of the inputs.
        """
        if len(values) != sum(self.inputs.values()):
            raise ValueError(f'graph takes {dict(self.inputs)} inputs, got {len(values)} values')
        found: list[Any] = []
        with np.errstate(divide='ignore', invalid='ignore'):  # also of branches that do not hold
            for name, *operands in self.instructions:
                if name == 'input':
                    found.append(values[operands[0]])
                elif name == 'constant':
                    found.append(operands[0])
                else:
                    found.append(algebra[name](*[found[k] for k in operands]))
        return {name: [found[k] for k in places] for name, places in self.outputs.items()}

    def entries_read(self, name: str) -> frozenset[int]:
        """The entries of an input vector that some instruction reads."""
        first = 0
        for key, length in self.inputs.items():
            if key == name:
                break
            first += length
        read = {k for operation, k, *_ in self.instructions if operation == 'input'}
        return frozenset(k - first for k in read if first <= k < first + length)

    def record(self) -> dict[str, Any]:
        """The graph as JSON values."""
        return {
            'inputs': dict(self.inputs),
            'instructions': [list(instruction) for instruction in self.instructions],
            'outputs': {name: list(places) for name, places in self.outputs.items()},
        }

    @classmethod
    def from_record(cls, record: Any) -> Graph:
        """The inverse of `record`; trusts nothing.

        Raises:
            ValueError: if the record is no graph; one line names the place.
        """
        parts = ('inputs', 'instructions', 'outputs')
        kinds = (dict, list, dict)
        if not isinstance(record, Mapping) or set(record) != set(parts):
            raise ValueError(f'a graph has the parts {list(parts)}')
        for part, kind in zip(parts, kinds, strict=True):
            if not isinstance(record[part], kind):
                raise ValueError(f"'{part}' of a graph is a {kind.__name__}")
        for name, places in record['outputs'].items():
            if not isinstance(places, list):
                raise ValueError(f"graph output '{name}' is {places!r}, expected a list")
        instructions = [_instruction(entry) for entry in record['instructions']]
        return cls(record['inputs'], instructions, record['outputs'])

    @cached_property
    def digest(self) -> str:
        """A hash of the whole graph, also of the order of its inputs and outputs."""
        return hashlib.sha256(json.dumps(self.record()).encode()).hexdigest()


def _instruction(entry: Any) -> Instruction:
    if not isinstance(entry, list):
        raise ValueError(f'graph instruction {entry!r} is not a list')
    return tuple(entry)


def _problem(instruction: Instruction, place: int, inputs: int) -> str:
    """What is wrong with an instruction; empty if nothing is."""
    if not instruction or not isinstance(instruction[0], str):
        return f'is {instruction!r}, expected an operation and its operands'
    name, *operands = instruction
    expected = OPERANDS.get(name, 1 if name in ('input', 'constant') else None)
    if expected is None:
        return f"has the unknown operation '{name}'"
    if len(operands) != expected:
        return f"'{name}' has {len(operands)} operands, expected {expected}"
    if name == 'constant':
        return '' if _is_finite(operands[0]) else f'is the constant {operands[0]!r:.30}'
    count = inputs if name == 'input' else place
    wrong = [k for k in operands if not _is_index(k, count)]
    what = 'input' if name == 'input' else 'operand'
    return f"'{name}' has the {what} {wrong[0]!r:.30}, expected 0 to {count - 1}" if wrong else ''


def _is_finite(value: Any) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every double
        return False


def _is_index(value: Any, count: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < count
