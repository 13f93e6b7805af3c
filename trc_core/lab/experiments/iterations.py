"""Number of refinement cycles: error and J/J* cycle by cycle, at training and at run time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from trc_core.lab.experiments.frame import (
    Experiment,
    Figures,
    Results,
    Work,
    among,
    key,
    names,
)
from trc_core.lab.experiments.judging import Problems, judge_alone, judge_guarded
from trc_core.lab.experiments.learning import Budget, FreshStates, network, train
from trc_core.lab.experiments.page import excess, score_table, spread
from trc_core.lab.markdown import table
from trc_core.models.persistence import load_model
from trc_core.systems import get_system

CYCLES = (1, 3, 5, 7, 10, 20)
SHIPPED, TRAINED = 'shipped', 'trained'
NEARLY = 1.1  # times the excess of the best K: with this few cycles one may stop


@dataclass(frozen=True)
class Size:
    """Size of a run."""

    systems: tuple[str, ...] = ('double_integrator', 'van_der_pol', 'quadrotor_2d', 'cartpole')
    states: int = 200
    """Test problems per system."""
    trained_system: str = 'van_der_pol'
    trained_cycles: tuple[int, ...] = (1, 3, 5, 10)
    steps: int = 500
    """Optimiser steps of a training."""
    batch: int = 64
    seeds: int = 3


FULL = Size(
    systems=(*Size().systems, 'pendulum', 'cartpole_swingup'),
    trained_cycles=CYCLES,
    steps=4000,
    seeds=5,
)


def units(size: Size, seed: int) -> Mapping[str, Work]:
    """Work per shipped controller, then a training per K and seed."""
    work: dict[str, Work] = {
        key(SHIPPED, name): partial(_shipped, name, size.states) for name in size.systems
    }
    for K in size.trained_cycles:
        for s in range(seed, seed + size.seeds):
            work[key(TRAINED, K, s)] = partial(_trained, size, K, s)
    return work


def _shipped(name: str, states: int) -> Figures:
    model, checkpoint = load_model(name)
    problems = Problems.fresh(checkpoint.system, states)
    by_cycle = judge_guarded(model, problems, max(CYCLES))
    kept = {f'K = {K}': by_cycle[K] for K in (0, *CYCLES)}
    return {
        'default': model.config.cycles,
        'sweeps': model.config.sweeps,
        'excess': [figures['mean'] for figures in by_cycle],
        'errors': [figures['error'] for figures in by_cycle],
        'unsolved': problems.unsolved,
        'planners': {**problems.baselines(), **kept},
    }


def _trained(size: Size, K: int, seed: int) -> Figures:
    system = get_system(size.trained_system)
    model = network(
        system,
        'stabilised',
        seed,
        latent_dim=64,
        num_heads=0,
        hidden_dim=128,
        use_two_level=True,
        H_cycles=K,
        L_cycles=2,
        L_layers=1,
        feedback=('trajectory', 'gradient'),
    )
    spent = train(model, system, FreshStates(system, size.batch, seed), Budget(size.steps))
    problems = Problems.fresh(system, size.states)
    return {
        **spent,
        'alone': [figures['mean'] for figures in judge_alone(model, problems, max(CYCLES))],
        'guarded': [figures['mean'] for figures in judge_guarded(model, problems, max(CYCLES))],
    }


def page(results: Results) -> Iterable[str]:
    """Tables of the shipped controllers, and of trained K against run K."""
    yield '## Shipped controllers, K at run time'
    for name, figures in _of_systems(results).items():
        yield f'### {name}'
        yield score_table('', figures['planners'])
        yield _verdict(figures)
    yield '## K in training against K at run time'
    yield (
        'Mean J/J* - 1 in units of 1e-5: mean over the seeds (lowest to highest). *Alone* is the '
        'network without the LQR plan to start from and without the guard; *guarded* is how it '
        'is delivered. Every network has the same number of optimiser steps, so that those with '
        'more cycles cost more seconds.'
    )
    for kind in ('alone', 'guarded'):
        heads = [f'trained K, {kind}', 'CPU s', 'first plan', *(f'run K = {K}' for K in CYCLES)]
        yield table(heads, [_row(results, K, kind) for K in names(results, 1, TRAINED)])


def _of_systems(results: Results) -> dict[str, Figures]:
    return {name: among(results, SHIPPED, name)[0] for name in names(results, 1, SHIPPED)}


def _verdict(figures: Figures) -> str:
    best = min(range(len(figures['excess'])), key=figures['excess'].__getitem__)
    lowest = figures['excess'][best] - 1
    enough = next(
        K for K, mean in enumerate(figures['excess']) if mean - 1 <= NEARLY * max(lowest, 1e-6)
    )
    text = (
        f'Lowest mean at K = {best} of 0 to {max(CYCLES)}; K = {enough} comes within 10 % of its '
        f'excess over 1 (an excess below 1e-6 counts as 1e-6). Shipped with K = '
        f'{figures["default"]}.'
    )
    if figures['sweeps']:
        text += f' Every cycle ends with {figures["sweeps"]} box-iLQR sweep.'
    return text


def _row(results: Results, K: str, kind: str) -> list[str]:
    runs = among(results, TRAINED, K)
    cells = [spread([run['cpu_seconds'] for run in runs])]
    cells += [spread([run[kind][k] for run in runs], excess) for k in (0, *CYCLES)]
    return [K, *cells]


def draw(results: Results) -> Any:
    """Excess and error over cycles; trained K against run K."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4))
    left, middle, right = figure.subplots(1, 3)
    for name, figures in _of_systems(results).items():
        left.plot([max(r - 1, 1e-9) for r in figures['excess']], '.-', lw=1, label=name)
        middle.plot(figures['errors'], '.-', lw=1, label=name)
    for K in names(results, 1, TRAINED):
        runs = [run['alone'] for run in among(results, TRAINED, K)]
        means = [sum(r) / len(r) - 1 for r in zip(*runs, strict=True)]
        right.plot(means, '.-', lw=1, label=f'trained with K = {K}')
    left.set(title='shipped', ylabel='mean J/J* - 1', yscale='log')
    middle.set(title='shipped', ylabel='mean of sum |x_T - goal|', yscale='log')
    right.set(title='trained here, alone', ylabel='mean J/J* - 1', yscale='log')
    for axes in (left, middle, right):
        axes.set(xlabel='cycle at run time')
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.tight_layout()
    return figure


EXPERIMENT = Experiment(
    'iterations',
    'how error and cost fall from cycle to cycle, and how many cycles are worth training for',
    Size(),
    FULL,
    units,
    page,
    draw,
)
