"""What a function of the task returns: terms by name, in whatever notation it is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from trc_core.problem.trace import NotationError

LONGEST_NAME = 64  # letters


def named_terms(found: Any) -> list[tuple[str, Any]]:
    """The returned terms with their names; those of a sequence are named by their place.

    Raises:
        NotationError: if they are no single expressions, or a name cannot stand; the message says
            what to write.
    """
    if found is None or isinstance(found, (str, set, frozenset)):
        raise NotationError(f"returns {found!r:.60}; write return {{'name': expression}}")
    labelled: list[tuple[str, Any]] = []
    if isinstance(found, Mapping):
        for name, value in found.items():
            entries = _entries(f"'{name}'", value)
            if isinstance(entries, list):
                labelled += [(f'{name}_{i + 1}', term) for i, term in enumerate(entries)]
            else:
                labelled.append((str(name), entries))
    else:
        entries = _entries('the whole', found)
        terms = entries if isinstance(entries, list) else [entries]
        labelled = [(str(i + 1), term) for i, term in enumerate(terms)]
    if not labelled:
        raise NotationError("returns nothing; write return {'name': expression}")
    names = [name for name, _ in labelled]
    for name, term in labelled:
        if names.count(name) > 1:
            raise NotationError(f"returns '{name}' twice; give each a name of its own")
        _require_name(name)
        _require_scalar(name, term)
    return labelled


def _require_name(name: str) -> None:
    """Raises a NotationError unless a name can stand in a message or a table."""
    if not (name.isprintable() and 1 <= len(name) <= LONGEST_NAME):
        raise NotationError(
            f'returns the name {name!r:.60}; write 1 to {LONGEST_NAME} printable letters'
        )


def _entries(what: str, value: Any) -> Any:
    """The entries of a list or a vector of any notation, as a list; a single expression as it is.

    Raises:
        NotationError: if it is a matrix.
    """
    shape = getattr(value, 'shape', None)
    if isinstance(shape, tuple):
        if sum(length != 1 for length in shape) > 1:
            size = ' by '.join(map(str, shape))
            raise NotationError(f'returns a matrix of {size} as {what}; write a list')
        if isinstance(value, np.ndarray):
            return [*value.ravel()] if shape else value.item()
        if all(length == 1 for length in shape):  # scalars of CasADi have a shape, too
            return value[0]
        return [value[i] for i in range(max(shape))]
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        return value
    return list(value)


def _require_scalar(name: str, term: Any) -> None:
    """Raises a NotationError for what is clearly no expression, where the name is known."""
    shape = getattr(term, 'shape', ())
    is_vector = isinstance(shape, tuple) and any(length != 1 for length in shape)
    if term is None or isinstance(term, (str, list, tuple, Mapping)) or is_vector:
        raise NotationError(f"returns {term!r:.60} as '{name}'; write one expression")
    if isinstance(term, float) and not math.isfinite(term):
        raise NotationError(f"returns {term} as '{name}'; write a finite expression")
