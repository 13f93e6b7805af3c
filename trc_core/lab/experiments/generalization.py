"""Beyond the training box: further away, other horizons, plants that differ from the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from trc_core.evaluation.closed_loop import (
    PerturbedPlant,
    Tick,
    fly_all,
    tick_planners,
)
from trc_core.evaluation.problems import TEST_SEED, fresh_problems
from trc_core.lab.experiments.frame import (
    Experiment,
    Figures,
    Results,
    Work,
    among,
    key,
    names,
)
from trc_core.lab.experiments.judging import (
    Problems,
    judge_alone,
    judge_guarded,
)
from trc_core.lab.experiments.learning import Budget, FreshStates, network, train
from trc_core.lab.experiments.oracle_mpc import OracleMpc
from trc_core.lab.experiments.page import excess, ratio, score_table, spread
from trc_core.lab.markdown import table
from trc_core.models.persistence import load_model, model_of
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.planner.controller import Controller
from trc_core.systems import get_system

FAR, TIME, HORIZON, KNOWN, UNKNOWN = (
    'larger deviations',
    'time_remaining',
    'other horizons',
    'perturbed dynamics, known',
    'perturbed dynamics, unknown',
)
SHELLS = ((0.0, 1.0), (1.0, 1.25), (1.25, 1.5), (1.5, 2.0))
FRACTIONS = (1.0, 0.75, 0.5, 0.25)
KNOWS = 'MPC that knows the plant'


@dataclass(frozen=True)
class Size:
    """Size of a run."""

    systems: tuple[str, ...] = ('double_integrator', 'van_der_pol', 'quadrotor_2d', 'cartpole')
    states: int = 100
    """Test problems of each condition."""
    horizon_system: str = 'van_der_pol'
    horizon_factors: tuple[float, ...] = (0.5, 0.75, 1.0, 1.5, 2.0)
    steps: int = 400
    """Optimiser steps of the network with a latent per control step."""
    batch: int = 16
    seeds: int = 3
    mu: tuple[float, ...] = (0.5, 0.7, 1.0, 1.3, 1.5)
    flown: tuple[str, ...] = ('van_der_pol', 'quadrotor_2d', 'cartpole')
    errors: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2)
    """Shares by which parameters are larger, and the input gain smaller, than the model's."""
    flights: int = 10


FULL = replace(Size(), states=300, steps=4000, batch=64, seeds=5, flights=50)


def units(size: Size, seed: int) -> Mapping[str, Work]:
    """Every condition of every system."""
    work: dict[str, Work] = {}
    for name in size.systems:
        for low, high in SHELLS:
            work[key(FAR, name, f'{low:g} to {high:g}')] = partial(
                _far, name, low, high, size.states
            )
        work[key(TIME, name)] = partial(_time, name, size.states)
    for s in range(seed, seed + size.seeds):
        work[key(HORIZON, s)] = partial(_horizons, size, s)
    for mu in size.mu:
        work[key(KNOWN, f'mu = {mu:g}')] = partial(_known, mu, size.states)
    for name in size.flown:
        for error in size.errors:
            flown = partial(_unknown, name, error, size.flights)
            work[key(UNKNOWN, name, f'{error:.0%}')] = flown
    return work


def _far(name: str, low: float, high: float, states: int) -> Figures:
    """Initial states outside the box that the network was trained on."""
    model, checkpoint = load_model(name)
    system = checkpoint.system
    _, goal = fresh_problems(system, states)
    rng = np.random.default_rng(TEST_SEED + 1)
    inside = rng.uniform(-1, 1, (states, system.n_x))
    place = inside / np.abs(inside).max(1, keepdims=True)  # on the surface of the box
    x0 = place * rng.uniform(low, high, (states, 1)) * system.x0_box
    problems = Problems.of(system, x0, goal)
    return {'unsolved': problems.unsolved, 'planners': _planners(model, problems)}


def _planners(model: TinyRecursiveControl, problems: Problems) -> dict[str, Figures]:
    by_cycle = judge_guarded(model, problems, 10)
    kept = {f'trc, K = {K}': by_cycle[K] for K in (1, 3, 10)}
    return {**problems.baselines(), **kept}


def _time(name: str, states: int) -> Figures:
    """Scores at smaller values of the input `time_remaining`."""
    model, checkpoint = load_model(name)
    problems = Problems.fresh(checkpoint.system, states)
    found = {}
    for fraction in FRACTIONS:
        remaining = torch.full((len(problems.x0),), fraction, dtype=torch.float64)
        found[f'{fraction:g}'] = judge_guarded(model, problems, model.config.cycles, remaining)[-1]
    return {'planners': {**problems.baselines(), **found}}


def _horizons(size: Size, seed: int) -> Figures:
    """Training at the system's horizon, and its weights at shorter and longer ones."""
    system = get_system(size.horizon_system)
    choices: dict[str, Any] = {
        'tokens': 'horizon',
        'latent_dim': 32,
        'hidden_dim': 64,
        'num_heads': 2,
        'use_two_level': True,
        'H_cycles': 2,
        'L_cycles': 1,
        'L_layers': 1,
        'feedback': ('trajectory', 'gradient'),
    }
    model = network(system, 'stabilised', seed, **choices)
    spent = train(model, system, FreshStates(system, size.batch, seed), Budget(size.steps))
    learned = {n: w for n, w in model.state_dict().items() if not n.startswith('representation.')}
    found = {}
    for factor in size.horizon_factors:
        other = replace(system, horizon=round(factor * system.horizon))
        twin = network(other, 'stabilised', seed, **choices)
        twin.load_state_dict(learned, strict=False)
        problems = Problems.fresh(other, size.states)
        found[str(other.horizon)] = {
            **problems.baselines(),
            'network alone': judge_alone(twin.eval(), problems, 2)[-1],
            'trc, K = 2': judge_guarded(twin.eval(), problems, 2)[-1],
        }
    return {**spent, 'trained at': system.horizon, 'horizons': found}


def _known(mu: float, states: int) -> Figures:
    """Scores on a plant whose parameter differs and is known."""
    system = get_system('van_der_pol').with_parameters(mu=mu)
    problems = Problems.fresh(system, states)
    found = problems.baselines()
    for label, name in (('trained at mu = 1', 'van_der_pol'), ('told mu', 'van_der_pol_mu')):
        checkpoint = load_model(name)[1].with_parameters({'mu': mu})
        by_cycle = judge_guarded(model_of(checkpoint), problems, 10)
        found |= {f'trc {label}, K = {K}': by_cycle[K] for K in (1, 3, 10)}
    return {'planners': found}


def _unknown(name: str, error: float, flights: int) -> Figures:
    """Closed-loop costs on a plant of which only the first planner has the model."""
    controller = Controller.load(name)
    model = controller.system
    plant = PerturbedPlant.with_error(model, error)
    x0, goal = fresh_problems(model, flights)
    planners: dict[str, Callable[[], Tick]] = {
        KNOWS: lambda: OracleMpc(model, plant),
        **tick_planners(controller),
    }
    found = {label: fly_all(p, model, plant, x0, goal) for label, p in planners.items()}
    best = found[KNOWS].cost
    return {
        'planners': {
            label: {
                'mean': float(np.mean(flown.cost / best)),
                'median': float(np.median(flown.cost / best)),
                'max': float(np.max(flown.cost / best)),
                'fallen': int(flown.fallen.sum()),
                'not held': int((~flown.held).sum()),
            }
            for label, flown in found.items()
        }
    }


def page(results: Results) -> Iterable[str]:
    """Page with a section per kind of distance from the training."""
    yield f'## {FAR.capitalize()}'
    yield (
        'Initial states lie on the surface of the training box, scaled by the factor in the '
        'heading (0 to 1 is inside). The table shows the mean J/J* and the success.'
    )
    for name in names(results, 1, FAR):
        yield _conditions(results, FAR, name)
    yield f'## {TIME}'
    yield (
        'The input `time_remaining` was 1 throughout the training, so that its weights were never '
        'asked for anything else. Told another fraction, on the same problems, at the default K:'
    )
    for name in names(results, 1, TIME):
        found = among(results, TIME, name)[0]['planners']
        yield score_table(name, {_told(label): f for label, f in found.items()})
    yield f'## {HORIZON.capitalize()}'
    yield from _horizon_page(among(results, HORIZON))
    yield f'## {KNOWN.capitalize()}'
    yield (
        'van_der_pol with another mu. Every planner has the true model: it rolls plans out with '
        'it. *Trained at mu = 1* has never seen another; *told mu* was trained on 0.5 to 1.5.'
    )
    yield _conditions(results, KNOWN)
    yield f'## {UNKNOWN.capitalize()}'
    yield (
        'Every parameter of the plant is larger, and its input gain smaller, by a share that no '
        'planner but the first knows. Two horizons of closed loop; cost over that of the first: '
        'mean (max), and how many fell, if any. *Learning* estimates the parameters in flight.'
    )
    for name in names(results, 1, UNKNOWN):
        yield _flown(results, name)


def _told(label: str) -> str:
    return f'trc, told {label}' if label in {f'{f:g}' for f in FRACTIONS} else label


def _conditions(results: Results, *parts: str) -> str:
    """Planners down, conditions across."""
    columns = names(results, len(parts), *parts)
    found = [among(results, *parts, column)[0]['planners'] for column in columns]
    rows = [
        [label, *(f'{ratio(f[label]["mean"])}, {f[label]["success"]:.0%}' for f in found)]
        for label in found[0]
    ]
    return table([parts[-1] if len(parts) > 1 else '', *columns], rows)


def _horizon_page(runs: list[Figures]) -> Iterable[str]:
    seconds = spread([run['cpu_seconds'] for run in runs])
    yield (
        'A shipped controller has one latent for its plan, and so one horizon. With a latent '
        f'per control step (`tokens: horizon`) the weights fit every horizon. These were trained '
        f'at T = {runs[0]["trained at"]} for {seconds} CPU s, and used unchanged at the others. '
        'Mean J/J* - 1 in units of 1e-5, over the seeds (lowest to highest).'
    )
    horizons = list(runs[0]['horizons'])
    rows = [
        [
            label,
            *(
                spread([run['horizons'][T][label]['mean'] for run in runs], excess)
                for T in horizons
            ),
        ]
        for label in runs[0]['horizons'][horizons[0]]
    ]
    yield table(['', *(f'T = {T}' for T in horizons)], rows)


def _flown(results: Results, name: str) -> str:
    columns = names(results, 2, UNKNOWN, name)
    found = [among(results, UNKNOWN, name, column)[0]['planners'] for column in columns]
    rows = [[label, *(_flight(f[label]) for f in found)] for label in found[0]]
    return table([name, *(f'off by {column}' for column in columns)], rows)


def _flight(figures: Figures) -> str:
    counts = {'fell': figures['fallen'], 'not held': figures.get('not held')}  # newer than others
    lost = ''.join(f', {count} {what}' for what, count in counts.items() if count)
    return f'{ratio(figures["mean"])} ({ratio(figures["max"])}){lost}'


def draw(results: Results) -> Any:
    """Excess over the distance, over mu, and over the error of the model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7))
    places = figure.subplots(2, 3).ravel()
    panels: list[tuple[tuple[str, ...], str]]
    panels = [((FAR, name), f'{name}: x_0 in the shell') for name in names(results, 1, FAR)]
    panels = [*panels[-3:], ((KNOWN,), 'van_der_pol: mu known')]
    flown = names(results, 1, UNKNOWN)
    panels += [((UNKNOWN, name), f'{name}: model off by, unknown') for name in flown[:2]]
    for axes, (parts, title) in zip(places, panels, strict=False):
        columns = names(results, len(parts), *parts)
        found = [among(results, *parts, column)[0]['planners'] for column in columns]
        for label in found[0]:
            means = [max(f[label]['mean'] - 1, 1e-8) for f in found]
            ours = label.startswith('trc')
            axes.plot(columns, means, '.-' if ours else '.--', lw=1, label=label)
        axes.set(title=title, yscale='log', ylabel='mean cost over the best - 1')
        axes.grid(alpha=0.3)
        axes.legend(fontsize=6)
    for axes in places[len(panels) :]:
        axes.remove()
    figure.tight_layout()
    return figure


EXPERIMENT = Experiment(
    'generalization',
    'what is left of the optimum outside the training box, at other horizons and on other plants',
    Size(),
    FULL,
    units,
    page,
    draw,
)
