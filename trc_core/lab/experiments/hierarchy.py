"""The two levels of the reasoning: where they start and go, and how much of it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trc_core.lab.experiments.frame import Experiment, Figures, Results, Work, key
from trc_core.lab.experiments.judging import Problems
from trc_core.lab.experiments.latent_analysis import (
    EXPLAINED,
    initial_states,
    inner_changes,
    pca,
    plane_coordinates,
    probe,
    relative_steps,
)
from trc_core.lab.experiments.page import excess, number
from trc_core.lab.markdown import table
from trc_core.models.persistence import load_model
from trc_core.models.recursive_reasoning import TwoLevelReasoning
from trc_core.models.search import Latents
from trc_core.models.simulation import SystemDynamics
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.problem.system import Array

LEVELS = ('z_H', 'z_L')


@dataclass(frozen=True)
class Size:
    """Size of a run."""

    systems: tuple[str, ...] = ('double_integrator', 'van_der_pol', 'quadrotor_2d', 'cartpole')
    states: int = 200
    cycles: int = 10
    inner: int = 8
    """Updates of z_L within a cycle that are looked at, trained or not."""
    drawn: int = 300
    """Points in the picture, at most, of each system."""


FULL = Size(
    systems=(*Size().systems, 'pendulum', 'cartpole_swingup'), states=2000, cycles=20, inner=20
)


def units(size: Size, seed: int) -> Mapping[str, Work]:
    """One analysis per shipped controller; nothing is drawn at random but the test states."""
    return {key(name): partial(_analysed, name, size) for name in size.systems}


def _analysed(name: str, size: Size) -> Figures:
    model, checkpoint = load_model(name)
    problems = Problems.fresh(checkpoint.system, size.states)
    x0, goal = problems.tensors
    reasoning = model.recursive_reasoning
    assert isinstance(reasoning, TwoLevelReasoning)
    # latents cycle by cycle, and the first control of the plan at the default K
    with torch.no_grad():
        history, costs = _history(model, problems, size.cycles)
        z = {level: torch.stack([c[i] for c in history]) for i, level in enumerate(LEVELS)}
        dynamics = SystemDynamics(model.representation, problems.system)
        *_, (plan, _) = model.refine(x0, goal, dynamics)
    controls, log_cost = plan.controls[:, 0].numpy(), np.log(problems.optimum)[:, None]
    last = {level: z[level][model.config.cycles].numpy() for level in LEVELS}
    H_init, L_init = (z.numpy(force=True) for z in (reasoning.H_init, reasoning.L_init))
    return {
        'latent_dim': model.config.latent_dim,
        'initial': initial_states(H_init, L_init),
        'norms': {level: z[level].norm(dim=-1).mean(1).tolist() for level in LEVELS},
        'steps': {level: relative_steps(z[level]) for level in LEVELS},
        'pca': {level: pca(z[level][1:].flatten(0, 1).numpy()) for level in LEVELS},
        'probe': {
            level: {
                'first control': probe(last[level], controls),
                'log J': probe(last[level], log_cost),
            }
            for level in LEVELS
        },
        # convergence within a cycle, and the worth of memory
        'inner': _inner_convergence(model, problems, size),
        'trained inner': model.config.L_cycles,
        'forgetful': _forgetful(model, problems, size.cycles),
        'excess': [float(np.mean(cost / problems.optimum)) for cost in costs],
        'drawn': plane_coordinates(z['z_H'].numpy(), size.drawn),
    }


def _history(
    model: TinyRecursiveControl, problems: Problems, cycles: int
) -> tuple[list[Latents], list[Array]]:
    """(z_H, z_L) at the start and after every cycle, and J (N,) of the plans."""
    dynamics = SystemDynamics(model.representation, problems.system)
    x0, goal = problems.tensors
    latents, costs = [], []
    for plan, z in model.refine(x0, goal, dynamics, cycles=cycles):
        assert plan.cost is not None
        latents.append(z)
        costs.append(plan.cost.numpy())
    return latents, costs


def _inner_convergence(
    model: TinyRecursiveControl, problems: Problems, size: Size
) -> list[list[float]]:
    """Relative change of z_L by each update within cycles 1 to 3, more updates than trained.

    What a cycle sees is held fixed: z_H, the problem and the plan's consequences.
    """
    seen: list[tuple[Latents, Tensor, Tensor]] = []
    reasoning = model.recursive_reasoning
    assert isinstance(reasoning, TwoLevelReasoning)
    hook = reasoning.register_forward_pre_hook(lambda module, given: seen.append(given))
    dynamics = SystemDynamics(model.representation, problems.system)
    x0, goal = problems.tensors
    with torch.no_grad():
        try:
            for _ in model.refine(x0, goal, dynamics, cycles=3):
                pass
        finally:
            hook.remove()
        return [
            inner_changes(reasoning, latents, z_initial, context, size.inner)
            for latents, z_initial, context in seen[-3:]
        ]


def _forgetful(
    model: TinyRecursiveControl, problems: Problems, cycles: int
) -> dict[str, list[float]]:
    """Mean J/J* by cycle if latents are put back to their initial values before every cycle."""
    dynamics = SystemDynamics(model.representation, problems.system)
    x0, goal = problems.tensors
    found: dict[str, list[float]] = {}
    for label, forgotten in (('z_H', {0}), ('z_L', {1}), ('both', {0, 1})):
        with torch.no_grad():
            problem = model.problem(x0, goal, dynamics=dynamics)
            fresh = model.initial_latents(problem)
            (plan, latents), *_ = model.refine(x0, goal, dynamics, cycles=0)
            ratios = []
            for _ in range(cycles):
                latents = tuple(fresh[i] if i in forgotten else z for i, z in enumerate(latents))
                plan, latents = model.cycle(problem, plan, latents, dynamics)
                assert plan.cost is not None
                ratios.append(float(np.mean(plan.cost.numpy() / problems.optimum)))
        found[label] = ratios
    return found


def page(results: Results) -> Iterable[str]:
    """A section per analysis, controllers across."""
    yield (
        'The shipped controllers plan on states that were not used in training, with the guard. '
        'The tables show the latents after every cycle, as a forward hook on '
        '`recursive_reasoning` sees them, as means over the states.'
    )
    first = next(iter(results.values()))
    K = len(first['norms']['z_H']) - 1
    shown = [k for k in (0, 1, 2, 3, 5, 10, 20) if k <= K]
    yield '## Learned initial states'
    yield _table(results, {label: ('initial', label) for label in first['initial']})
    yield 'The angle is in degrees; in high dimensions random vectors are near 90 apart.'
    yield '## Evolution of z_H and z_L'
    yield from _evolution(results, shown)
    yield '## Principal components'
    yield from _components(results, K)
    yield '## What can be read from a latent'
    yield from _readings(results)
    yield '## Convergence within the L cycles'
    yield from _inner_page(results, len(first['inner'][0]))
    yield '## What memory is worth'
    yield (
        'Mean J/J* - 1 in units of 1e-5 when latents are put back to their initial values before '
        'every cycle, so that only the plan is carried.'
    )
    yield _memory(results, [k for k in shown if k])


def _evolution(results: Results, shown: list[int]) -> Iterable[str]:
    yield '*Step*: |z(k) - z(k - 1)| / |z(k)|.'
    norms = {f'norm of {z}, cycle {k}': ('norms', z, k) for z in LEVELS for k in shown}
    steps = {f'step of {z}, cycle {k}': ('steps', z, k - 1) for z in LEVELS for k in shown[1:]}
    yield _table(results, norms | steps)


def _components(results: Results, cycles: int) -> Iterable[str]:
    yield (
        f'The latents of all cycles (1 to {cycles}) and states together. *Dimensions* hold '
        f'{EXPLAINED:.0%} of the variance; the participation ratio is (sum of variances)^2 / sum '
        f'of squared variances.'
    )
    parts: dict[str, tuple[Any, ...]] = {
        'share of component 1': ('shares', 0),
        'share of component 2': ('shares', 1),
        'dimensions': ('dimensions',),
        'participation ratio': ('participation',),
    }
    rows: dict[str, tuple[Any, ...]] = {'latent_dim': ('latent_dim',)}
    for z in LEVELS:
        rows |= {f'{z}: {label}': ('pca', z, *path) for label, path in parts.items()}
    yield _table(results, rows)


def _readings(results: Results) -> Iterable[str]:
    yield (
        'R^2 of a linear reading (ridge regression on half of the states, judged on the other '
        'half) after the default number of cycles.'
    )
    asked = ('first control', 'log J')
    yield _table(results, {f'{a}, from {z}': ('probe', z, a) for z in LEVELS for a in asked})


def _inner_page(results: Results, updates: int) -> Iterable[str]:
    yield (
        'Relative change of z_L by the i-th update within a cycle, all else held fixed; '
        'trained with the number of updates in the first row. A geometric fall is a fixed point.'
    )
    rows: dict[str, tuple[Any, ...]] = {'updates in training': ('trained inner',)}
    for c in (0, 2):
        rows |= {f'cycle {c + 1}, update {i + 1}': ('inner', c, i) for i in range(updates)}
    yield _table(results, rows)


def _table(results: Results, rows: Mapping[str, tuple[Any, ...]]) -> str:
    """Table with a row per path into the figures, a column per controller."""
    return table(
        ['', *results],
        [
            [label, *(number(_at(f, path)) for f in results.values())]
            for label, path in rows.items()
        ],
    )


def _at(figures: Any, path: tuple[Any, ...]) -> float:
    for step in path:
        figures = figures[step]
    return float(figures)


def _memory(results: Results, cycles: list[int]) -> str:
    rows = [
        [f'carried, K = {k}', *(excess(f['excess'][k]) for f in results.values())] for k in cycles
    ]
    for label in ('z_H', 'z_L', 'both'):
        rows += [
            [
                f'{label} forgotten, K = {k}',
                *(excess(f['forgetful'][label][k - 1]) for f in results.values()),
            ]
            for k in cycles
        ]
    return table(['', *results], rows)


def draw(results: Results) -> Any:
    """Norms, steps, components, and latents of cycles 1 to 3 in the plane."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7))
    (norms, steps, shares), planes = figure.subplots(2, 3)
    # above: by cycle, from cycle 0 for norms and from 1 for steps; and by component
    for name, f in results.items():
        for axes, kind, begin in ((norms, 'norms', 0), (steps, 'steps', 1)):
            cycles = range(begin, begin + len(f[kind]['z_H']))
            (line,) = axes.plot(cycles, f[kind]['z_H'], '.-', lw=1, label=name)
            axes.plot(cycles, f[kind]['z_L'], '.--', lw=1, color=line.get_color())
        held = np.cumsum(f['pca']['z_H']['shares'])
        shares.plot(range(1, len(held) + 1), held, '.-', lw=1, label=name)
    norms.set(title='norm of z_H (solid), z_L (dashed)', xlabel='cycle')
    steps.set(title='relative step of z_H, z_L', xlabel='cycle', yscale='log')
    shares.set(title='share of the variance of z_H', xlabel='components', ylim=(0, 1.02))
    norms.legend(fontsize=7)
    # below: latents in the plane of their first two components
    for axes, (name, f) in zip(planes, list(results.items())[-3:], strict=False):
        for cycle, points in enumerate(f['drawn'], start=1):
            axes.plot(*zip(*points, strict=True), '.', ms=2, label=f'cycle {cycle}')
        axes.set(title=f'{name}: z_H, components 1 and 2')
        axes.legend(fontsize=7)
    figure.tight_layout()
    return figure


EXPERIMENT = Experiment(
    'hierarchy',
    'what z_H and z_L start from, where they go, and how much of it is needed',
    Size(),
    FULL,
    units,
    page,
    draw,
)
