"""Forms of values in a record: how they are written as JSON, and checked when they are read back.

Records come from files, which may hold anything: every number, shape and choice is compared with
its form before anything is computed, because compiled code checks no sizes. Numbers come back to
the last bit.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np

from trc_core.problem.system import Array

Sizes = Mapping[str, int]
"""Lengths of axes by name, like {'n_x': 4}."""


class Form(Protocol):
    """Form of one value."""

    def written(self, value: Any) -> Any:
        """The value as JSON."""

    def read(self, value: Any, sizes: Sizes) -> Any:
        """The value of its JSON.

        Raises:
            ValueError: if it has another form; the message says what was expected.
        """


@dataclass(frozen=True)
class Scalar:
    """A number, a text or a truth value."""

    kind: type

    def written(self, value: Any) -> Any:
        """The value as JSON."""
        return self.kind(value)

    def read(self, value: Any, sizes: Sizes) -> Any:
        """The value; whole numbers count as numbers."""
        if self.kind is float and type(value) is int:
            value = float(value)
        if type(value) is not self.kind:
            raise ValueError(f'{_shown(value)} where a {self.kind.__name__} was expected')
        return value


@dataclass(frozen=True)
class Choice:
    """A member of an enumeration."""

    kind: type[Enum]

    def written(self, value: Any) -> Any:
        """Its value."""
        return value.value

    def read(self, value: Any, sizes: Sizes) -> Any:
        """The member of this value."""
        return self.kind(value)


@dataclass(frozen=True)
class Vector:
    """A short array (n,), as a list that a person can read."""

    axis: str

    def written(self, value: Any) -> Any:
        """The list of its numbers."""
        return value.tolist()

    def read(self, value: Any, sizes: Sizes) -> Array:
        """The array."""
        n = sizes[self.axis]
        fits = isinstance(value, list) and len(value) == n
        if not fits or not all(type(v) in (int, float) for v in value):
            raise ValueError(f'{_shown(value)} where {n} numbers were expected')
        return np.array(value, dtype=np.float64)


@dataclass(frozen=True)
class Block:
    """An array, its numbers as text in base64."""

    axes: tuple[str, ...]

    def written(self, value: Any) -> Any:
        """Shape and numbers."""
        numbers = np.ascontiguousarray(value, dtype='<f8')
        data = base64.b64encode(numbers.tobytes()).decode()
        return {'shape': list(numbers.shape), 'numbers': data}

    def read(self, value: Any, sizes: Sizes) -> Array:
        """The array."""
        shape = tuple(sizes[axis] for axis in self.axes)
        entries = _entries(value, ('shape', 'numbers'))
        if entries['shape'] != list(shape):
            raise ValueError(f'an array of shape {_shown(entries["shape"])}, expected {shape}')
        try:
            data = base64.b64decode(entries['numbers'], validate=True)
        except (TypeError, ValueError, binascii.Error) as error:
            raise ValueError(f'numbers that are not base64: {error}') from error
        if len(data) != 8 * int(np.prod(shape)):
            raise ValueError(f'{len(data)} bytes of numbers for an array of shape {shape}')
        return np.frombuffer(data, dtype='<f8').astype(np.float64).reshape(shape)


@dataclass(frozen=True)
class Maybe:
    """A value that may be missing."""

    form: Form

    def written(self, value: Any) -> Any:
        """The value, or null."""
        return None if value is None else self.form.written(value)

    def read(self, value: Any, sizes: Sizes) -> Any:
        """The value, or None."""
        return None if value is None else self.form.read(value, sizes)


@dataclass(frozen=True)
class Each:
    """Any number of values."""

    form: Form

    def written(self, value: Any) -> Any:
        """The list of them."""
        return [self.form.written(item) for item in value]

    def read(self, value: Any, sizes: Sizes) -> tuple[Any, ...]:
        """All of them."""
        if not isinstance(value, list):
            raise ValueError(f'{_shown(value)} where a list was expected')
        return tuple(self.form.read(item, sizes) for item in value)


@dataclass(frozen=True)
class Row:
    """A tuple of values, each of its own form."""

    forms: tuple[Form, ...]

    def written(self, value: Any) -> Any:
        """The list of them."""
        return [form.written(item) for form, item in zip(self.forms, value, strict=True)]

    def read(self, value: Any, sizes: Sizes) -> tuple[Any, ...]:
        """All of them."""
        if not isinstance(value, list) or len(value) != len(self.forms):
            raise ValueError(f'{_shown(value)} where {len(self.forms)} values were expected')
        return tuple(f.read(item, sizes) for f, item in zip(self.forms, value, strict=True))


@dataclass(frozen=True)
class Named:
    """Numbers by name."""

    def written(self, value: Any) -> Any:
        """The mapping."""
        return {name: float(number) for name, number in value.items()}

    def read(self, value: Any, sizes: Sizes) -> dict[str, float]:
        """The mapping."""
        if not isinstance(value, dict):
            raise ValueError(f'{_shown(value)} where numbers by name were expected')
        return {name: Scalar(float).read(number, sizes) for name, number in value.items()}


@dataclass(frozen=True)
class Fields:
    """An object of a class, by some of its fields; all others have their defaults."""

    kind: type
    forms: Mapping[str, Form]

    def written(self, value: Any) -> Any:
        """Its fields by name."""
        return {name: form.written(getattr(value, name)) for name, form in self.forms.items()}

    def read(self, value: Any, sizes: Sizes) -> Any:
        """The object."""
        return self.kind(**self.entries(value, sizes))

    def entries(self, value: Any, sizes: Sizes) -> dict[str, Any]:
        """The fields by name, read."""
        given, found = _entries(value, tuple(self.forms)), {}
        for name, form in self.forms.items():
            try:
                found[name] = form.read(given[name], sizes)
            except ValueError as error:
                raise ValueError(f'{name}: {error}') from None
        return found


def _entries(value: Any, names: Sequence[str]) -> dict[str, Any]:
    """A mapping with exactly these keys."""
    if not isinstance(value, dict) or set(value) != set(names):
        raise ValueError(f'{_shown(value)} where the entries {list(names)} were expected')
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
