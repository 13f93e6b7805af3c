"""Latency and memory as a picture; needs Matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trc_ros.lab.loop_benchmark.bars import LATENCY_US, Figures, latency_us

PARTS = {'state': 'state_us', 'command': 'command_us', 'with wait': 'reaction_us'}


def draw(cases: Mapping[str, Figures], path: Path) -> None:
    """Writes the p50 and p99 of every part of the way, and the memory over time."""
    figure = Figure(figsize=(9, 3.2), layout='constrained')
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for x, figures in enumerate(cases.values()):
        parts = {name: figures[key] for name, key in PARTS.items() if figures[key]['count']}
        parts['without wait'] = latency_us(figures)
        for shift, (name, values) in enumerate(parts.items()):
            place = x + 0.15 * (shift - 1.5)
            if values:
                left.plot([place, place], [values['p50'], values['p99']], color=f'C{shift}')
                label = name if x == 0 else None
                left.plot(place, values['p50'], 'o', ms=4, color=f'C{shift}', label=label)
    for percentile, limit in LATENCY_US.items():
        left.axhline(limit, color='grey', lw=0.8, ls='--')
        left.annotate(percentile, (0.0, limit), xycoords=('axes fraction', 'data'), fontsize=7)
    left.set(yscale='log', ylabel='us (dot: p50, line: to p99)')
    left.set_xticks(range(len(cases)), [name.replace(':', '\n') for name in cases], fontsize=7)
    left.legend(fontsize=7)
    for name, figures in cases.items():
        times, memory = zip(*figures['memory_mb'], strict=True)
        right.plot(times, [value - memory[0] for value in memory], label=name)
    right.set(xlabel='s', ylabel='memory since the start, MB')
    right.legend(fontsize=7)
    figure.savefig(path, dpi=120)
