"""Tables and numbers on the pages of the experiments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from trc_core.lab.experiments.frame import Figures
from trc_core.lab.markdown import table

HEADINGS = ('mean J/J*', 'median', 'p95', 'max', 'success', 'mean error')


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


def score_table(corner: str, figures: Mapping[str, Figures]) -> str:
    """Table of the scores of planners, by label."""
    return table([corner, *HEADINGS], [[label, *_scores(f)] for label, f in figures.items()])


def _scores(figures: Figures) -> list[str]:
    """Cells below `HEADINGS`."""
    ratios = [ratio(figures[name]) for name in ('mean', 'median', 'p95', 'max')]
    return [*ratios, f'{figures["success"]:.1%}', number(figures['error'])]
