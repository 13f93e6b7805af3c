"""`trc experiment cycles`: what a cycle of a network is worth beside sweeps, and between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from trc_core.lab.experiments import cycle_between
from trc_core.lab.experiments.cycle_between import cycle_between as between
from trc_core.lab.experiments.cycles_and_sweeps import cycles_and_sweeps, section, sentence
from trc_core.lab.experiments.frame import Experiment, Results, Work, among, key, names

BESIDE, BETWEEN = 'beside', 'between'


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    beside: tuple[str, ...] = ('quadrotor',)
    """Systems that ship, whose cycles are compared with sweeps ..."""
    states: int = 100
    """... on so many new states."""
    between: tuple[str, ...] = ('bicycle_circles',)
    """Systems that ship with a network that only proposes, for which a cycle learns ..."""
    labels: int = 3000
    """... from so many of the labels that the network was trained with ..."""
    steps: int = 1500
    """... in so many steps, to be judged ..."""
    problems: int = 200
    """... by so many of the problems of `proposals`."""


FULL = Size(('quadrotor', 'van_der_pol', 'cartpole'), 300, labels=10_000, steps=10_000)


def units(size: Size, seed: int) -> dict[str, Work]:
    """Systems with cycles beside sweeps, then those with one between them."""
    work: dict[str, Work] = {
        key(BESIDE, name): partial(cycles_and_sweeps, name, size.states, seed)
        for name in size.beside
    }
    for name in size.between:
        numbers = size.labels, size.steps, size.problems
        work[key(BETWEEN, name)] = partial(between, name, *numbers, seed)
    return work


def page(results: Results) -> Iterable[str]:
    """A table of every system, and what it says."""
    yield '## Beside sweeps'
    yield (
        'Where one start leads to the optimum, a network shortens the way: K cycles, and sweeps '
        'of box-iLQR after them, beside the same sweeps from the clipped LQR and from the best of '
        f'a ladder of LQRs. New states, {ABOUT}.'
    )
    for name in names(results, 1, BESIDE):
        (figures,) = among(results, BESIDE, name)
        yield f'### {name}'
        yield sentence(name, figures)
        yield section(figures)
    if not names(results, 1, BETWEEN):
        return
    yield '## Between sweeps, under constraints'
    yield WHAT
    for name in names(results, 1, BETWEEN):
        (figures,) = among(results, BETWEEN, name)
        yield f'### {name}'
        yield cycle_between.sentence(figures)
        yield cycle_between.section(figures)


ABOUT = 'CPU milliseconds on one core, in turns; *wrong*: J more than 2 % above J*'
WHAT = f"""\
Networks that find the way among constraints only propose; sweeps do the rest. Does a cycle of the
network between the sweeps help, if it is trained for that? The shipped network gets one, which
reads of a plan after {cycle_between.BEFORE} sweeps its controls, its states and the slope of its
merit, and all weights learn the step to the best known plan, by the loss of the first plans.
It is guarded: the step, or a quarter of it, is taken where it lowers the merit, and
sweeps go on with the multipliers that they had. {cycle_between.STARTS} proposals get
{cycle_between.TRIAL} sweeps each, with the cycle or without, and the best {cycle_between.LAST}
more. *M wrong*: the merit is more than 2 % above the best of a search and of all rows."""


def draw(results: Results) -> Any:
    """Mean J/J* over milliseconds, with cycles and without, by system."""
    from matplotlib.figure import Figure

    systems = names(results, 1, BESIDE)
    figure = Figure(figsize=(4.5 * len(systems), 4))
    for place, name in enumerate(systems):
        (figures,) = among(results, BESIDE, name)
        axes = figure.add_subplot(1, len(systems), place + 1)
        for source in dict.fromkeys(
            label.split(', ')[0].split(' + ')[0] for label in figures['rows']
        ):
            rows = [row for label, row in figures['rows'].items() if label.startswith(source)]
            axes.plot(
                [row['ms'] for row in rows],
                [row['mean'] - 1.0 for row in rows],
                'o',
                label=source,
            )
        axes.set(xlabel='CPU ms, median', ylabel='mean J/J* - 1', yscale='log', title=name)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.tight_layout()
    return figure


EXPERIMENT = Experiment(
    'cycles',
    'what a cycle of a network is worth beside sweeps, and between them under constraints',
    Size(),
    FULL,
    units,
    page,
    draw,
)
