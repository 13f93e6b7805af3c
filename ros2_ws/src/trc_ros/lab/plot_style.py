"""Colours, style and axis labels of the figures."""

from __future__ import annotations

INK, PAPER, GRID = '#22303c', '#ffffff', '#e6eaee'
STATE, PREDICTED, CONTROL = '#7fb2f5', '#e8590c', '#0f9d76'
GOAL, BOUND = '#c2255c', '#8a97a3'
PROPOSED = '#c9b8e8'
STYLE = {
    'axes.edgecolor': BOUND,
    'axes.facecolor': PAPER,
    'axes.grid': True,
    'axes.labelcolor': INK,
    'axes.spines.right': False,
    'axes.spines.top': False,
    'figure.facecolor': PAPER,
    'font.size': 10,
    'grid.color': GRID,
    'legend.frameon': False,
    'text.color': INK,
    'xtick.color': INK,
    'ytick.color': INK,
}


def label(name: str, unit: str) -> str:
    """A name and its unit, as axes carry them."""
    words = name.replace('_', ' ')
    return words if unit == '1' else f'{words} [{unit.replace("^2", "²")}]'
