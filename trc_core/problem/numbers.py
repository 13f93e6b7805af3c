"""Numbers that users write, checked; a mistake names the field and what to write there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def checked_whole(key: str, value: Any, most: float = math.inf) -> int:
    """A whole number of at least 1."""
    number = checked_number(key, value)
    if not number.is_integer() or not 1 <= number <= most:
        limits = 'at least 1' if most == math.inf else f'1 to {most:g}'
        raise ValueError(f'{key} is {number:g}; write a whole number of steps, {limits}')
    return int(number)


def checked_number(key: str, value: Any) -> float:
    """A finite number."""
    return float(checked_array(key, value, ()))


def checked_array(
    key: str, value: ArrayLike, *shapes: tuple[int, ...], finite: bool = True
) -> NDArray[np.float64]:
    """An array of one of some shapes; it is a copy."""
    try:
        array = np.array(value, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f'{key} is {value!r}; write numbers') from None
    if array.shape not in shapes:
        expected = ' or '.join(map(str, shapes))
        raise ValueError(f'{key} has shape {array.shape}, expected {expected}')
    if finite and not np.isfinite(array).all():
        raise ValueError(f'{key} is {array.tolist()}; only finite numbers make sense')
    return array
