"""Ablation: one part changed at a time; levels, gradients, feedback, initial states, H and L."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn

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
from trc_core.lab.experiments.learning import (
    Budget,
    FreshStates,
    Supervision,
    every_cycle,
    every_cycle_detached,
    last_cycle,
    last_cycle_truncated,
    network,
    train,
)
from trc_core.lab.experiments.memory import peak_bytes
from trc_core.lab.experiments.page import excess, number, ratio, score_table, spread
from trc_core.lab.markdown import table
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.systems import System, get_system

EXPERTS, VARIANT, GUIDE, MEMORY = 'experts', 'variant', 'guide', 'memory'
RUN_ON = 10  # cycles at run time, beyond those of the training
MEGABYTE = 1e6


@dataclass(frozen=True)
class Variant:
    """Difference of a network and its training from the base."""

    choices: Mapping[str, Any] = field(default_factory=dict)
    """`TRCConfig` fields."""
    supervise: Supervision = every_cycle
    representation: str = 'stabilised'


SMALL: Mapping[str, Any] = {
    'latent_dim': 64,
    'hidden_dim': 128,
    'num_heads': 0,
    'use_two_level': True,
    'H_cycles': 3,
    'L_cycles': 4,
    'L_layers': 2,
    'feedback': ('trajectory',),
}
SINGLE = {
    'use_two_level': False,
    'num_outer_cycles': 3,
    'num_inner_cycles': 4,
    'num_reasoning_blocks': 2,
}
GRID = ((2, 3), (4, 6), (5, 3), (2, 8))
VARIANTS = {
    'base: two levels, H = 3, L = 4': Variant(),
    'single latent, equal cycles': Variant(SINGLE),
    'single latent, equal updates': Variant({**SINGLE, 'num_inner_cycles': 5}),
    'gradients cut between cycles': Variant(supervise=every_cycle_detached),
    'loss on the last cycle only': Variant(supervise=last_cycle),
    'loss on the last cycle, truncated': Variant(supervise=last_cycle_truncated),
    'feedback: none': Variant({'feedback': ()}),
    'feedback: terminal': Variant({'feedback': ('terminal',)}),
    'feedback: gradient': Variant({'feedback': ('gradient',)}),
    'feedback: trajectory and gradient': Variant({'feedback': ('trajectory', 'gradient')}),
    'fixed initial states': Variant({'learnable_inits': False}),
    **{f'H = {H}, L = {L}': Variant({'H_cycles': H, 'L_cycles': L}) for H, L in GRID},
    'open-loop plans': Variant(representation='open_loop'),
}
MEDIUM = {**SMALL, 'latent_dim': 128, 'hidden_dim': 256, 'num_heads': 4}
GUIDES = {
    'single-latent': Variant(
        {**MEDIUM, **SINGLE, 'num_inner_cycles': 3, 'num_reasoning_blocks': 3}
    ),
    'two-level': Variant(MEDIUM),
    'two-level, truncated': Variant(
        {**MEDIUM, 'use_gradient_truncation': True}, supervise=last_cycle_truncated
    ),
}


@dataclass(frozen=True)
class Size:
    """Size of a run."""

    system: str = 'van_der_pol'
    states: int = 200
    """Test problems."""
    steps: int = 400
    """Optimiser steps of a small network."""
    medium_steps: int = 200
    """Optimiser steps of the medium networks in the comparison with the published estimates."""
    batch: int = 64
    seeds: int = 3


FULL = replace(Size(), steps=4000, medium_steps=4000, seeds=5)


def units(size: Size, seed: int) -> Mapping[str, Work]:
    """A training per variant and seed."""
    work: dict[str, Work] = {key(EXPERTS): partial(_experts, size)}
    work |= {key(MEMORY, name): partial(_memory, size, v) for name, v in GUIDES.items()}
    for s in range(seed, seed + size.seeds):
        for name, variant in VARIANTS.items():
            work[key(VARIANT, name, s)] = partial(_trained, size, variant, size.steps, s)
        for name, variant in GUIDES.items():
            work[key(GUIDE, name, s)] = partial(_trained, size, variant, size.medium_steps, s)
    return work


def _experts(size: Size) -> Figures:
    return Problems.fresh(get_system(size.system), size.states).baselines()


def _build(system: System, variant: Variant, seed: int) -> TinyRecursiveControl:
    return network(system, variant.representation, seed, **{**SMALL, **variant.choices})


def _trained(size: Size, variant: Variant, steps: int, seed: int) -> Figures:
    system = get_system(size.system)
    model = _build(system, variant, seed)
    draw = FreshStates(system, size.batch, seed)
    spent = train(model, system, draw, Budget(steps), variant.supervise)
    problems = Problems.fresh(system, size.states)
    K = model.config.cycles
    alone = judge_alone(model, problems, max(K, RUN_ON))
    return {
        **spent,
        'weights': model.get_parameter_count()['total'],
        'first': alone[0]['mean'],
        'alone': alone[K]['mean'],
        'p95': alone[K]['p95'],
        'success': alone[K]['success'],
        'run on': alone[RUN_ON]['mean'],
        'guarded': judge_guarded(model, problems, K)[K]['mean'],
    }


def _memory(size: Size, variant: Variant) -> Figures:
    """Bytes of tensors of a training step (loss on the output alone) and of a plan for a state."""
    system = get_system(size.system)
    model = _build(system, variant, 0)
    x0, goal = FreshStates(system, size.batch, 0)()

    def step() -> None:
        output = model(x0, goal, dynamics_fn=system)
        nn.functional.mse_loss(output['plan'], torch.zeros_like(output['plan'])).backward()

    def plan() -> None:
        with torch.no_grad():
            model(x0[:1], goal[:1], dynamics_fn=system)

    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return {
        'weights': weights,
        'training': peak_bytes(step),
        'inference': peak_bytes(plan),
    }


def page(results: Results) -> Iterable[str]:
    """The experts, the variants, and the comparison of the medium networks."""
    yield (
        'Small networks (latent 64, hidden 128, two blocks; attention over one token is a linear '
        'map and is left out), trained on the cost of the plans that they make alone: their own '
        'first plan, every step taken as proposed. The same steps, batches, seeds and optimiser '
        'for all.'
    )
    yield score_table('', among(results, EXPERTS)[0])
    yield '## Variants'
    yield (
        'Mean J/J* - 1 in units of 1e-5 on fresh states: mean over the seeds (lowest to highest). '
        f'*K* is the number of cycles of the training; *K = {RUN_ON}* runs on beyond it. '
        '*Guarded* is how a controller is delivered: the LQR among the starts, no step that '
        'raises J.'
    )
    heads = ['', 'weights', 'CPU s', 'first plan', 'K', f'K = {RUN_ON}', 'success', 'K, guarded']
    yield table(
        heads,
        [[name, *_row(among(results, VARIANT, name))] for name in names(results, 1, VARIANT)],
    )
    yield '## Single-latent and two-level, medium size'
    yield (
        'The published design estimates these figures; here they are measured. Training memory '
        'is the peak of the tensors of one training step on 64 states, with the loss on the '
        'output alone as in the published design, and without the weights. Inference memory is '
        'the same for a plan of one state. Accuracy is that of the network alone at its K, after '
        'the same number of steps. The ratio to the first column stands in brackets, and the '
        'estimate in the last column.'
    )
    yield _guides_table(results)


def _row(runs: list[Figures]) -> list[str]:
    cells = [f'{runs[0]["weights"]:,}', spread([run['cpu_seconds'] for run in runs])]
    cells += [spread([run[name] for run in runs], excess) for name in ('first', 'alone', 'run on')]
    cells.append(spread([run['success'] for run in runs], lambda value: f'{value:.1%}'))
    return [*cells, spread([run['guarded'] for run in runs], excess)]


def _guides_table(results: Results) -> str:
    runs = [among(results, GUIDE, name) for name in GUIDES]
    memory = [among(results, MEMORY, name)[0] for name in GUIDES]
    seconds = [sum(run['cpu_seconds'] / run['steps'] for run in r) / len(r) for r in runs]
    weights = [r[0]['weights'] for r in runs]
    kinds = ('training', 'inference')
    bytes_of = {kind: [m[kind] / MEGABYTE for m in memory] for kind in kinds}
    return table(
        ['', *GUIDES, 'published estimate'],
        [
            ['parameters', *_compared(weights), '530 k; 600 k'],
            ['training time, CPU ms a step', *_compared([1e3 * s for s in seconds]), '1.2x'],
            ['memory in training [MB]', *_compared(bytes_of['training']), '0.5x truncated'],
            ['memory in inference [MB]', *_compared(bytes_of['inference']), '1.1x'],
            [
                'accuracy, mean J/J*',
                *(spread([run['alone'] for run in r], ratio) for r in runs),
                'good; ?',
            ],
            [
                'the same, first plan',
                *(spread([run['first'] for run in r], ratio) for r in runs),
                '',
            ],
        ],
    )


def _compared(values: list[float]) -> list[str]:
    return [f'{number(value)} ({value / values[0]:.2f}x)' for value in values]


def draw(results: Results) -> Any:
    """Figure with a dot per seed and a row per variant."""
    from matplotlib.figure import Figure

    shown = list(reversed(names(results, 1, VARIANT)))
    figure = Figure(figsize=(10, 6))
    axes = figure.subplots()
    for marker, kind, label in (
        ('o', 'first', 'first plan'),
        ('s', 'alone', 'K of the training'),
        ('x', 'guarded', 'K, guarded'),
    ):
        points = [
            (run[kind] - 1, y) for y, v in enumerate(shown) for run in among(results, VARIANT, v)
        ]
        axes.plot(*zip(*points, strict=True), marker, ms=4, mfc='none', label=label)
    lqr = among(results, EXPERTS)[0]
    for style, (label, figures) in zip((':', '--', '-.', '-'), lqr.items(), strict=False):
        if figures['mean'] - 1 > 1e-7:
            axes.axvline(figures['mean'] - 1, color='grey', ls=style, lw=1, label=label)
    axes.set(xscale='log', xlabel='mean J/J* - 1', yticks=range(len(shown)), yticklabels=shown)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.tight_layout()
    return figure


EXPERIMENT = Experiment(
    'ablation',
    'what each part of the model and of its training is worth',
    Size(),
    FULL,
    units,
    page,
    draw,
)
