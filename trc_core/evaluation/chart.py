"""Charts of scores; needs Matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def excess_chart(scores: Mapping[str, Any]) -> Any:
    """A Matplotlib figure of J/J* - 1 of planners: mean and 95th percentile, on a log scale.

    Args:
        scores: the fields of `Scores`, by label.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.4 * len(scores) + 1), layout='constrained')
    axes = figure.subplots()
    for y, row in enumerate(list(scores.values())[::-1]):
        mean, p95 = (max(row[name] - 1, 1e-8) for name in ('mean', 'p95'))
        axes.plot([mean, p95], [y, y], color='#34495e', lw=1)
        axes.plot(mean, y, 'o', color='#c0392b')
    axes.set(xscale='log', xlabel='J/J* - 1: dot mean, line to p95')
    axes.set_yticks(range(len(scores)), list(scores)[::-1])
    axes.grid(axis='x', alpha=0.3)
    return figure
