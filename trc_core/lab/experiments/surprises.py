"""`trc experiment surprises`: a circle that appears ahead of the car, and circles that move."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from trc_core.checkpoint import shipped_checkpoints
from trc_core.lab.experiments.frame import Experiment, Figures, Results, Work, key
from trc_core.lab.experiments.surprised_flights import (
    HIT,
    Situation,
    SweepsATick,
    Tick,
    appearing,
    as_it_flies,
    fly,
    moving,
)
from trc_core.lab.markdown import table
from trc_core.planner.controller import Controller
from trc_core.systems.bicycle_circles import bicycle_circles

SEED = 9_400_000  # of the flights; no training draws its problems from it
CONVERGED = '40 sweeps a tick'
SCENES: Mapping[str, Callable[[Controller, list[int]], Iterator[Situation]]] = {
    'a circle appears': appearing,
    'circles move': moving,
}
MARKS = 'osD^v'
TICKS = (0.2, 0.5, 1, 2, 5, 10)  # [ms]


@dataclass(frozen=True)
class Size:
    """How much is flown."""

    flights: int = 200


FULL = Size(flights=1000)


def units(size: Size, seed: int) -> dict[str, Work]:
    """Every scene."""
    return {key(name): partial(_flown, size, name, seed) for name in SCENES}


def pilots() -> dict[str, Tick]:
    """Those that fly, by the name of their row."""
    classical = Controller.classical(bicycle_circles)
    table: dict[str, Tick] = {
        '1 sweep a tick': SweepsATick(bicycle_circles, 1),
        '2 sweeps a tick': SweepsATick(bicycle_circles, 2),
        CONVERGED: SweepsATick(bicycle_circles, 40),
        'the controller without a network': as_it_flies(classical),
    }
    if bicycle_circles.name in shipped_checkpoints():
        table['the controller'] = as_it_flies(Controller.load(bicycle_circles.name))
    return table


def _flown(size: Size, name: str, seed: int) -> Figures:
    """Figures of every pilot in one scene; they take turns, situation by situation."""
    classical, rows = Controller.classical(bicycle_circles), pilots()
    classical.warm_up()
    flights: dict[str, list[Any]] = {label: [] for label in rows}
    ways = []
    for start in islice(SCENES[name](classical, [SEED, seed]), size.flights):
        ways.append(start.has_way)
        for label, tick in rows.items():
            flights[label].append(fly(tick, start))
    deepest = {label: np.array([f.deepest for f in found]) for label, found in flights.items()}
    cost = {label: np.array([f.cost for f in found]) for label, found in flights.items()}
    found = {}
    for label in rows:
        fine = (deepest[label] <= HIT) & (deepest[CONVERGED] <= HIT)
        milliseconds = 1e3 * np.concatenate([f.seconds for f in flights[label]])
        ratio = cost[label][fine].sum() / cost[CONVERGED][fine].sum() if fine.any() else None
        found[label] = {
            'hits': float(np.mean(deepest[label] > HIT)),
            'hits with a way': float(np.mean((deepest[label] > HIT)[np.array(ways)])),
            'deepest': float(1e3 * deepest[label].max()),
            'cost': ratio,
            'ms': float(milliseconds.mean()),
            'ms p50': float(np.median(milliseconds)),
            'ms p99': float(np.quantile(milliseconds, 0.99)),
        }
    return {'flights': size.flights, 'without a way': int(np.sum(~np.array(ways))), **found}


def page(results: Results) -> Iterable[str]:
    """What is flown, and a table of every scene."""
    yield (
        'A car flies 9 s among circles, with noise of 5 mm, 10 mrad, 0.02 m/s and 5 mrad a tick. '
        'In the first table one more circle of 0.3 to 0.5 m appears on its plan, 1.1 to 1.8 m '
        'ahead, while it drives at 0.6 m/s or more; all pilots fly on from the same plan and in '
        'the same noise. In the second all circles move at up to 0.15 m/s along each axis, and '
        'their velocities are known. *Hits*: flights that were more than 2 cm inside a circle. '
        '*Without a way*: sweeps from 24 starts found none at that moment, so that at most the '
        f'brakes help. *Cost*: over that of {CONVERGED}, of the flights in which neither hits. '
        'CPU milliseconds of a plan on one core.'
    )
    for name in SCENES:
        yield f'## {name[0].upper()}{name[1:]}'
        yield table(HEADINGS, [_row(label, f) for label, f in _rows(results[name]).items()])
        yield (
            f'{results[name]["flights"]} flights, {results[name]["without a way"]} of them '
            'without a way.'
        )
    yield _answer(results)


HEADINGS = ['', 'hits', 'of those with a way', 'deepest mm', 'cost', 'ms a tick', 'p50', 'p99']


def _rows(figures: Figures) -> dict[str, Figures]:
    return {label: row for label, row in figures.items() if isinstance(row, dict)}


def _row(label: str, row: Figures) -> list[str]:
    cost = '-' if row['cost'] is None else f'{row["cost"]:.4f}'
    times = [f'{row[name]:.2f}' for name in ('ms', 'ms p50', 'ms p99')]
    hits = [f'{row[name]:.1%}' for name in ('hits', 'hits with a way')]
    return [label, *hits, f'{row["deepest"]:.0f}', cost, *times]


def _answer(results: Results) -> str:
    """The sentences of the page."""
    rows = _rows(results['a circle appears'])
    ours = list(rows)[-1]
    own, other = rows[ours], rows[CONVERGED]
    return (
        f'Sweeps alone stay on the side that the plan before was on, however many they are: '
        f'{other["hits"]:.0%} hit what appears with {CONVERGED}, and {own["hits"]:.0%} with '
        f'{ours}, which tries other starts once sweeps do not help, in {own["ms"]:.2f} ms a tick '
        'on average. The price is the slowest ticks: those of the surprise.'
    )


def draw(results: Results) -> Any:
    """Hits over milliseconds a tick, with a tail to the 99th percentile."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4))
    for axes, name in zip(figure.subplots(1, 2), SCENES, strict=True):
        for (label, row), mark in zip(_rows(results[name]).items(), MARKS, strict=False):
            (line,) = axes.plot([row['ms'], row['ms p99']], [100 * row['hits']] * 2, lw=1)
            axes.plot(row['ms'], 100 * row['hits'], mark, color=line.get_color(), label=label)
        axes.set(title=name, xscale='log', xlabel='CPU ms a tick: mean, line to p99')
        axes.set(ylabel='flights with a hit [%]', ylim=(0, None))
        axes.set_xticks(TICKS, map(str, TICKS), minor=False)
        axes.set_xticks([], minor=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.tight_layout()
    return figure


EXPERIMENT = Experiment(
    'surprises',
    'how a car fares when a circle appears ahead of it, and among circles that move',
    Size(),
    FULL,
    units,
    page,
    draw,
)
