"""Recursion against size: equal seconds of training for recursive, plain and text networks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median
from textwrap import shorten
from typing import Any

import torch

from trc_core.lab.experiments.baseline_networks import count_weights
from trc_core.lab.experiments.compared_networks import (
    PATIENT_TEXT,
    SIZES,
    Dataset,
    compared_networks,
    judged,
    loss_of,
    plan_once,
)
from trc_core.lab.experiments.frame import (
    Experiment,
    Figures,
    Results,
    Work,
    among,
    key,
    names,
)
from trc_core.lab.experiments.judging import Problems
from trc_core.lab.experiments.learning import Budget, fit
from trc_core.lab.experiments.memory import peak_bytes
from trc_core.lab.experiments.page import number, ratio, score_table, spread
from trc_core.lab.markdown import table
from trc_core.systems import get_system

EXPERTS, TRAINED, TIMING = 'experts', 'trained', 'timing'
SHOWN = 100  # characters of a plan
PATIENCE = 10  # times the seconds of the others


@dataclass(frozen=True)
class Task:
    """System, representation of its plans, and seconds of training of every network."""

    system: str
    representation: str
    cpu_seconds: float


@dataclass(frozen=True)
class Size:
    """Size of a run."""

    tasks: tuple[Task, ...] = (
        Task('double_integrator', 'open_loop', 10.0),
        Task('van_der_pol', 'stabilised', 6.0),
    )
    optima: int = 10_000
    """Optimal plans in the dataset."""
    states: int = 200
    """Test problems."""
    batch: int = 64
    rounds: int = 15
    """Rounds of the timing, in each of which every network plans once."""
    seeds: int = 3
    sizes: tuple[str, ...] = field(default=tuple(SIZES))


FULL = replace(
    Size(),
    tasks=(
        Task('double_integrator', 'open_loop', 600.0),
        Task('van_der_pol', 'stabilised', 600.0),
    ),
    seeds=5,
)


def units(size: Size, seed: int) -> Mapping[str, Work]:
    """Trainings per task, network and seed; then the timing, in one go per task."""
    work: dict[str, Work] = {}
    for task in size.tasks:
        work[key(EXPERTS, task.system)] = partial(_experts, task, size)
        for s in range(seed, seed + size.seeds):
            for name in compared_networks(size.sizes):
                work[key(TRAINED, task.system, name, s)] = partial(_trained, task, size, name, s)
        work[key(TIMING, task.system)] = partial(_timing, task, size)
    return work


def _experts(task: Task, size: Size) -> Figures:
    return Problems.fresh(get_system(task.system), size.states).baselines()


def _trained(task: Task, size: Size, name: str, seed: int) -> Figures:
    system = get_system(task.system)
    built = compared_networks(size.sizes)[name](system, task.representation, seed)
    dataset = Dataset.of(system, size.optima, size.batch, seed)
    loss = loss_of(built, dataset, imitates=name.endswith('imitation'))
    loss().backward()  # compiles outside the measured time
    seconds = task.cpu_seconds * (PATIENCE if name == PATIENT_TEXT else 1)
    spent = fit(built, loss, Budget(cpu_seconds=seconds))
    figures = judged(built, Problems.fresh(system, size.states))
    return {**spent, 'weights': count_weights(built), **figures}


def _timing(task: Task, size: Size) -> Figures:
    """Milliseconds of a plan from one state, interleaved, and bytes, of untrained networks."""
    system = get_system(task.system)
    torch.set_num_threads(1)
    problems = Problems.fresh(system, 1)
    planners: dict[str, Callable[[], Any]] = {}
    found: dict[str, Figures] = {}
    for name, build in compared_networks(size.sizes).items():
        built = build(system, task.representation, 0).eval()
        planners[name] = partial(plan_once, built, problems)
        planners[name]()
        found[name] = {'weights': count_weights(built) * 4, 'tensors': peak_bytes(planners[name])}
    times: dict[str, list[float]] = {name: [] for name in planners}
    for _ in range(size.rounds):
        for name, plan in planners.items():
            began = time.perf_counter()
            plan()
            times[name].append(1e3 * (time.perf_counter() - began))
    return {name: {**found[name], 'ms': median(times[name])} for name in planners}


def page(results: Results) -> Iterable[str]:
    """Page with a table per task, and what is not equal."""
    yield (
        'All networks train for the same CPU seconds on the same optimal plans, with the same '
        'optimiser, schedule and batch. Recursive and plain networks minimise J itself on the '
        'states of the dataset (the recursive ones that of every cycle); *imitation* minimises '
        'the squared distance to the optimal plan. The text transformer, the stand-in for a '
        'language model, learns to write the optimal controls as decimal text (cross-entropy per '
        'character), which is parsed back: it cannot be trained on J. Plain networks and the text '
        'transformer have as many weights as two-level small. *Network alone*: no LQR plan to '
        'start from, no guard; *guarded*: as a controller is delivered. Mean over the seeds '
        '(lowest to highest).'
    )
    for system in names(results, 1, EXPERTS):
        yield f'## {system}'
        yield score_table('', among(results, EXPERTS, system)[0])
        yield _table(results, system)
        yield from _texts(results, system)
    yield '## What is quoted, not measured'
    yield (
        'The published design compares itself with a language model of 3 B weights: about 100 ms '
        'for a plan and about 6 GB of memory, against 1-5 M weights, about a millisecond and '
        '20 MB. It gives no error, cost or training time of that model, and none can be measured '
        'here.'
    )
    yield '## What is not equal'
    yield (
        '- Equal seconds are not equal steps: a large network does a tenth of the steps of a '
        'small one, and is far from done. Text is slower still, which is why it stands there '
        'a second time, with ten times the seconds.\n'
        '- A recursive network rolls its plan out in every cycle; the plain ones do so only for '
        'the loss. Their plan costs no roll-out.\n'
        '- Times are of PyTorch on one thread, one state, interleaved, on the machine above '
        'under the load above. The compiled runtime plans 20 to 30 times as fast '
        '([benchmark](../benchmarks/benchmark.md)); the baselines were not compiled.\n'
        '- On the double integrator the clipped LQR is the optimum and needs no training: '
        'no network is better.'
    )


HEADS = (
    '',
    'weights',
    'steps',
    'mean J/J*, alone',
    'mean error, alone',
    'success, alone',
    'mean J/J*, guarded',
    'valid',
    'plan [ms]',
    'weights + tensors [MB]',
)


def _table(results: Results, system: str) -> str:
    timing = among(results, TIMING, system)[0]
    rows = []
    for name in names(results, 2, TRAINED, system):
        runs = among(results, TRAINED, system, name)
        judged = [run['alone'] for run in runs if 'alone' in run]
        guarded = [run['guarded']['mean'] for run in runs if 'guarded' in run]
        megabytes = (timing[name]['weights'] + timing[name]['tensors']) / 1e6
        rows.append(
            [
                name,
                f'{runs[0]["weights"]:,}',
                spread([run['steps'] for run in runs]),
                spread([f['mean'] for f in judged], ratio) if judged else 'no plan',
                spread([f['error'] for f in judged]) if judged else '',
                spread([f['success'] for f in judged], lambda x: f'{x:.0%}') if judged else '',
                spread(guarded, ratio) if guarded else '',
                spread([run['valid'] for run in runs], lambda x: f'{x:.0%}'),
                number(timing[name]['ms']),
                number(megabytes),
            ]
        )
    return table(HEADS, rows)


def _texts(results: Results, system: str) -> Iterable[str]:
    runs = among(results, TRAINED, system, PATIENT_TEXT)
    if runs:
        line = shorten(runs[0]['example'], SHOWN, placeholder=' ...')
        yield f'A plan that the trained text transformer writes: `{line}`'


def draw(results: Results) -> Any:
    """Excess over the time of a plan, a picture per task."""
    from matplotlib.figure import Figure

    systems = names(results, 1, EXPERTS)
    figure = Figure(figsize=(6.5 * len(systems), 4.5))
    for axes, system in zip(
        figure.subplots(1, len(systems), squeeze=False)[0], systems, strict=True
    ):
        timing = among(results, TIMING, system)[0]
        for name in names(results, 2, TRAINED, system):
            runs = among(results, TRAINED, system, name)
            means = [max(run['alone']['mean'] - 1, 1e-7) for run in runs if 'alone' in run]
            weights = f'{runs[0]["weights"] / 1e3:.0f} k'
            marker = 'o' if 'level' in name or 'latent' in name else 's'
            times = [timing[name]['ms']] * len(means)
            axes.plot(times, means, marker, ms=5, label=f'{name} ({weights})')
        axes.set(title=system, xscale='log', yscale='log', xlabel='ms a plan, PyTorch')
        axes.set_ylabel('mean J/J* - 1, network alone')
        axes.grid(alpha=0.3)
        axes.legend(fontsize=6)
    figure.tight_layout()
    return figure


EXPERIMENT = Experiment(
    'parameter-efficiency',
    'what recursion, size and text are worth, at equal seconds of training on equal data',
    Size(),
    FULL,
    units,
    page,
    draw,
)
