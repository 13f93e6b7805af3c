"""Directions in space, and lists of words that give one to each of several things."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

TRANSLATIONS = ('x', 'y', 'z')
ROTATIONS = ('roll', 'pitch', 'yaw')
"""Rotations about x, y and z."""
DIRECTIONS = TRANSLATIONS + ROTATIONS


def require_axes(
    parameter: str, axes: Sequence[str], names: Sequence[str], choices: Iterable[str]
) -> None:
    """Checks a list of axes, one for each name.

    Args:
        parameter: the list's own name.
        axes: one word for each of `names`.
        names: of what has an axis.
        choices: the words that there are.

    Raises:
        ValueError: if a word is unknown, or there are more or fewer than names.
    """
    known = list(choices)
    unknown = sorted(set(axes) - set(known))
    if unknown:
        raise ValueError(f'{parameter} has {unknown}; choose from {known}')
    if len(axes) != len(names):
        raise ValueError(f'{parameter} is {list(axes)}; give one axis for each of {list(names)}')
