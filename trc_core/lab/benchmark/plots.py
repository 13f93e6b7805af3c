"""The figures as pictures; needs Matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trc_core.lab.benchmark.bars import Results
from trc_core.lab.benchmark.peers import page as peers

OURS, THEIRS = '#c0392b', '#34495e'


def draw(results: Results, folder: Path, stem: str) -> list[str]:
    """Writes `<stem>_latency.svg`, `_scaling.svg` and `_peers.svg`; returns their names.

    Raises:
        ModuleNotFoundError: if Matplotlib is not installed.
    """
    import matplotlib as mpl

    mpl.use('Agg')
    mpl.rcParams.update({'font.size': 8, 'svg.fonttype': 'none', 'svg.hashsalt': 'trc'})
    names = []
    figures = {
        'latency': _latency(results),
        'scaling': _sizes(results),
        'peers': peers.draw(results.get('peers', {})),
    }
    for kind, figure in figures.items():
        if figure is not None:
            names.append(f'{stem}_{kind}.svg')
            figure.savefig(folder / names[-1], metadata={'Date': None}, bbox_inches='tight')
    return names


def _latency(results: Results) -> Any:
    """P50 to p99 of every planner, on a log scale, with the price in cost beside it."""
    from matplotlib.figure import Figure

    systems = {
        name: result['figures']
        for name, result in results.get('latency', {}).items()
        if any('p50' in f['cold'] for f in result.get('figures', {}).values())
    }
    if not systems:
        return None
    rows, columns = (len(systems) + 1) // 2, min(2, len(systems))
    figure = Figure(figsize=(5.5 * columns, 3.2 * rows))
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places[len(systems) :]:
        axes.remove()
    for axes, (name, figures) in zip(places, systems.items(), strict=False):
        known = {label: f for label, f in figures.items() if 'p50' in f['cold']}
        order = [x[1] for x in sorted((-f['cold']['p50'], label) for label, f in known.items())]
        for y, label in enumerate(order):
            _dots(axes, y, known[label])
        axes.set(xscale='log', title=name, yticks=range(len(order)), yticklabels=order)
        axes.grid(axis='x', alpha=0.3)
        axes.margins(x=0.2)
    figure.supxlabel('us; dot: cold p50, bar: to its p99, ring: warm p50; number: mean J/J*, cold')
    figure.tight_layout()
    return figure


def _dots(axes: Any, y: int, figure: Mapping[str, Any]) -> None:
    cold, warm = figure['cold'], figure['warm']
    colour = THEIRS if figure['baseline'] else OURS
    high = cold.get('p99', cold['p50'])
    axes.plot([cold['p50'], high], [y, y], color=colour, lw=1)
    axes.plot(cold['p50'], y, 'o', color=colour, ms=4)
    if 'p50' in warm:
        axes.plot(warm['p50'], y, 'o', mfc='none', color=colour, ms=6)
    if 'ratio' in cold:
        right = max(high, warm.get('p50', 0.0))
        axes.annotate(
            f'{cold["ratio"]:.5f}', (right, y), (6, -2), textcoords='offset points', fontsize=6
        )


def _sizes(results: Results) -> Any:
    """Throughput by batch, latency by cycles and by horizon."""
    from matplotlib.figure import Figure

    batches = {
        system: lines
        for system, kinds in results.get('throughput', {}).items()
        if (lines := {k: row for k, row in kinds.items() if isinstance(row, Mapping) and row})
    }
    scaling = results.get('scaling', {})
    sizes = {key: scaling[key] for key in ('by cycles', 'by horizon') if scaling.get(key)}
    panels = len(batches) + len(sizes)
    if not panels:
        return None
    figure = Figure(figsize=(4.5 * panels, 3.6))
    places = list(figure.subplots(1, panels, squeeze=False)[0])
    for system, lines in batches.items():
        _throughput(places.pop(0), system, lines)
    for axes, (key, rows) in zip(places, sizes.items(), strict=True):
        _times(axes, key.removeprefix('by '), rows)
    figure.tight_layout()
    return figure


def _throughput(axes: Any, system: str, lines: Mapping[str, Mapping[str, float]]) -> None:
    """Colour by backend, dashes for one thread, pale where every cycle is done."""
    for label, row in lines.items():
        axes.plot(
            [int(B) for B in row],
            list(row.values()),
            marker='.',
            lw=1,
            color=OURS if label.startswith('numba') else THEIRS,
            ls='--' if '1 thread,' in label else '-',
            alpha=0.4 if label.endswith('every cycle') else 1.0,
            label=label,
        )
    axes.set(xscale='log', yscale='log', xlabel='batch', ylabel='plans/s', title=system)
    axes.legend(fontsize=5)
    axes.grid(alpha=0.3)


def _times(axes: Any, name: str, rows: Mapping[str, Any]) -> None:
    """P50 and p99 over the number that a label ends with."""
    known = {int(label.split()[-1]): f['cold'] for label, f in rows.items()}
    for percentile in ('p50', 'p99'):
        points = {size: row[percentile] for size, row in known.items() if percentile in row}
        if points:
            axes.plot(*zip(*points.items(), strict=True), marker='.', lw=1, label=percentile)
    axes.set(xlabel=name, ylabel='us', ylim=(0, None))
    axes.legend()
    axes.grid(alpha=0.3)
