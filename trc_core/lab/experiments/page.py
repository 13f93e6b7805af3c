"""Tables and numbers on the pages of the experiments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

HEADINGS = ('mean J/J*', 'median', 'p95', 'max', 'success', 'mean error')


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ['---'] * len(heads), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def ratio(value: float) -> str:
    """J/J* with the digits that mean something."""
    return f'{value:.6f}' if value < 1.1 else f'{value:.3f}' if value < 10 else f'{value:.3g}'


def excess(value: float) -> str:
    """J/J* - 1 in units of 1e-5."""
    return number((value - 1) * 1e5)


def number(value: float) -> str:
    """Three digits, or all that stand before the point."""
    return f'{value:.3g}' if abs(value) < 1000 else f'{value:,.0f}'


def spread(values: Sequence[float], form: Callable[[float], str] = number) -> str:
    """The mean over seeds and, behind it, the lowest and the highest."""
    mean, low, high = (form(float(f(values))) for f in (np.mean, np.min, np.max))
    return mean if low == high else f'{mean} ({low} to {high})'


def scores(figures: Mapping[str, float]) -> list[str]:
    """The cells below `HEADINGS`."""
    ratios = [ratio(figures[name]) for name in ('mean', 'median', 'p95', 'max')]
    return [*ratios, f'{figures["success"]:.1%}', number(figures['error'])]
