"""What the two levels do: where they start, where they go, and how much of it is needed."""

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
from trc_core.lab.experiments.page import excess, number, table
from trc_core.models.persistence import load_model
from trc_core.models.recursive_reasoning import INITIAL_STATE_SCALE, TwoLevelReasoning
from trc_core.models.search import Latents
from trc_core.models.simulation import SystemDynamics
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.problem.system import Array

COMPONENTS = 8
EXPLAINED = 0.95
RIDGE = 1e-3  # of the linear probes, relative to the mean variance of a latent
LEVELS = ('z_H', 'z_L')


@dataclass(frozen=True)
class Size:
    """How much is done."""

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
    reasoning = model.recursive_reasoning
    assert isinstance(reasoning, TwoLevelReasoning)
    with torch.no_grad():
        history, costs = _history(model, problems, size.cycles)
        z = {level: torch.stack([c[i] for c in history]) for i, level in enumerate(LEVELS)}
        first = problems.tensors
        dynamics = SystemDynamics(model.representation, problems.system)
        *_, (plan, _) = model.refine(*first, dynamics)
    controls = plan.controls[:, 0].numpy()
    return {
        'latent_dim': model.config.latent_dim,
        'initial': initial_states(
            *(z.numpy(force=True) for z in (reasoning.H_init, reasoning.L_init))
        ),
        'norms': {level: z[level].norm(dim=-1).mean(1).tolist() for level in LEVELS},
        'steps': {level: _steps(z[level]) for level in LEVELS},
        'pca': {level: pca(z[level][1:].flatten(0, 1).numpy()) for level in LEVELS},
        'probe': {
            level: {
                'first control': probe(z[level][model.config.cycles].numpy(), controls),
                'log J': probe(
                    z[level][model.config.cycles].numpy(), np.log(problems.optimum)[:, None]
                ),
            }
            for level in LEVELS
        },
        'inner': _inner_convergence(model, problems, size),
        'trained inner': model.config.L_cycles,
        'forgetful': _forgetful(model, problems, size.cycles),
        'excess': [float(np.mean(cost / problems.optimum)) for cost in costs],
        'drawn': _drawn(z['z_H'].numpy(), size.drawn),
    }


def _history(
    model: TinyRecursiveControl, problems: Problems, cycles: int
) -> tuple[list[Latents], list[Array]]:
    """(z_H, z_L) at the start and after every cycle, and J (N,) of the plans."""
    dynamics = SystemDynamics(model.representation, problems.system)
    latents, costs = [], []
    for plan, z in model.refine(*problems.tensors, dynamics, cycles=cycles):
        assert plan.cost is not None
        latents.append(z)
        costs.append(plan.cost.numpy())
    return latents, costs


def initial_states(H: Array, L: Array) -> Figures:
    """Norms of H_init and L_init (latent_dim,), and the angle between them [degrees]."""
    cosine = float(H @ L / (np.linalg.norm(H) * np.linalg.norm(L)))
    return {
        'H_init norm': float(np.linalg.norm(H)),
        'L_init norm': float(np.linalg.norm(L)),
        'untrained norm': float(INITIAL_STATE_SCALE * np.sqrt(len(H))),
        'cosine': cosine,
        'angle': float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))),
    }


def _steps(z: Tensor) -> list[float]:
    """How far a latent (K + 1, N, latent_dim) moves in each cycle, relative to its norm."""
    moved = (z[1:] - z[:-1]).norm(dim=-1) / z[1:].norm(dim=-1)
    return [float(value) for value in moved.mean(1)]


def pca(z: Array) -> Figures:
    """Principal components of points (M, latent_dim).

    Returns:
        `shares` of the variance, largest first; `dimensions`, how many hold `EXPLAINED` of it;
        `participation`, (sum of variances)^2 / sum of their squares: a dimension that needs no
        threshold.
    """
    variances = np.linalg.svd(z - z.mean(0), compute_uv=False) ** 2
    shares = variances / variances.sum()
    return {
        'shares': shares[:COMPONENTS].tolist(),
        'dimensions': int(np.searchsorted(np.cumsum(shares), EXPLAINED) + 1),
        'participation': float(1 / np.square(shares).sum()),
    }


def probe(z: Array, target: Array) -> float:
    """R^2 of a linear reading of `target` (N, k) from latents (N, latent_dim), held out.

    Ridge regression on the even rows, judged on the odd ones.
    """
    known, asked = z[::2], z[1::2]
    centre, mean = known.mean(0), target[::2].mean(0)
    X = known - centre
    strength = RIDGE * len(X) * X.var(0).mean()
    weights = np.linalg.solve(X.T @ X + strength * np.eye(X.shape[1]), X.T @ (target[::2] - mean))
    missed = np.square(target[1::2] - mean - (asked - centre) @ weights).sum()
    return float(1 - missed / np.square(target[1::2] - target[1::2].mean(0)).sum())


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
    with torch.no_grad():
        try:
            for _ in model.refine(*problems.tensors, dynamics, cycles=3):
                pass
        finally:
            hook.remove()
        return [inner_changes(reasoning, *given, count=size.inner) for given in seen[-3:]]


def inner_changes(
    reasoning: TwoLevelReasoning, latents: Latents, z_initial: Tensor, context: Tensor, count: int
) -> list[float]:
    """|new - old| / |new| of z_L, update by update, mean over the rows."""
    z_H, z_L = latents
    changes = []
    for _ in range(count):
        new = reasoning.L_level(z_L, z_H + z_initial + context)
        changes.append(float(((new - z_L).norm(dim=-1) / new.norm(dim=-1)).mean()))
        z_L = new
    return changes


def _forgetful(
    model: TinyRecursiveControl, problems: Problems, cycles: int
) -> dict[str, list[float]]:
    """Mean J/J* by cycle if latents are put back to their initial values before every cycle."""
    dynamics = SystemDynamics(model.representation, problems.system)
    found: dict[str, list[float]] = {}
    for label, forgotten in (('z_H', {0}), ('z_L', {1}), ('both', {0, 1})):
        with torch.no_grad():
            problem = model.problem(*problems.tensors, dynamics=dynamics)
            fresh = model.initial_latents(problem)
            (plan, latents), *_ = model.refine(*problems.tensors, dynamics, cycles=0)
            ratios = []
            for _ in range(cycles):
                latents = tuple(fresh[i] if i in forgotten else z for i, z in enumerate(latents))
                plan, latents = model.cycle(problem, plan, latents, dynamics)
                assert plan.cost is not None
                ratios.append(float(np.mean(plan.cost.numpy() / problems.optimum)))
        found[label] = ratios
    return found


def _drawn(z: Array, count: int) -> list[list[list[float]]]:
    """The first two principal coordinates of some latents (K + 1, N, latent_dim), by cycle."""
    cycles = z[1:4]
    points = cycles.reshape(-1, z.shape[-1])
    _, _, axes = np.linalg.svd(points - points.mean(0), full_matrices=False)
    rows = cycles[:, : max(1, count // len(cycles))] - points.mean(0)
    return [[[round(float(c), 3) for c in p @ axes[:2].T] for p in cycle] for cycle in rows]


def page(results: Results) -> Iterable[str]:
    """A section per analysis, controllers across."""
    yield (
        'The controllers that ship, on states that nobody trained on, in the guarded refinement '
        'that flies; latents after every cycle, as a forward hook on `recursive_reasoning` sees '
        'them. Means over the states.'
    )
    yield '## Learned initial states'
    first = next(iter(results.values()))
    yield _table(results, {label: ('initial', label) for label in first['initial']})
    yield 'The angle is in degrees; in high dimensions random vectors are near 90 apart.'
    yield '## Evolution of z_H and z_L'
    yield '*Step*: |z(k) - z(k - 1)| / |z(k)|.'
    K = len(first['norms']['z_H']) - 1
    shown = [k for k in (0, 1, 2, 3, 5, 10, 20) if k <= K]
    yield _table(
        results,
        {f'norm of {z}, cycle {k}': ('norms', z, k) for z in LEVELS for k in shown}
        | {f'step of {z}, cycle {k}': ('steps', z, k - 1) for z in LEVELS for k in shown[1:]},
    )
    yield '## Principal components'
    yield (
        f'Of the latents of all cycles (1 to {K}) and states together. *Dimensions* hold '
        f'{EXPLAINED:.0%} of the variance; the participation ratio is (sum of variances)^2 / sum '
        f'of squared variances.'
    )
    parts: dict[str, tuple[Any, ...]] = {
        'share of component 1': ('shares', 0),
        'share of component 2': ('shares', 1),
    }
    parts |= {'dimensions': ('dimensions',), 'participation ratio': ('participation',)}
    yield _table(
        results,
        {'latent_dim': ('latent_dim',)}
        | {f'{z}: {label}': ('pca', z, *path) for z in LEVELS for label, path in parts.items()},
    )
    yield '## What can be read from a latent'
    yield (
        'R^2 of a linear reading (ridge regression on half of the states, judged on the other '
        'half) after the default number of cycles.'
    )
    asked = ('first control', 'log J')
    yield _table(results, {f'{a}, from {z}': ('probe', z, a) for z in LEVELS for a in asked})
    yield '## Convergence within the L cycles'
    yield (
        'Relative change of z_L by the i-th update within a cycle, all else held fixed; '
        'trained with the number of updates in the first row. A geometric fall is a fixed point.'
    )
    inner = len(first['inner'][0])
    yield _table(
        results,
        {'updates in training': ('trained inner',)}
        | {
            f'cycle {c + 1}, update {i + 1}': ('inner', c, i) for c in (0, 2) for i in range(inner)
        },
    )
    yield '## What memory is worth'
    yield (
        'Mean J/J* - 1 in units of 1e-5 when latents are put back to their initial values before '
        'every cycle, so that only the plan is carried.'
    )
    yield _memory(results, [k for k in shown if k])


def _table(results: Results, rows: Mapping[str, tuple[Any, ...]]) -> str:
    """A row per path into the figures, a column per controller."""
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
    for name, f in results.items():
        for axes, kind in ((norms, 'norms'), (steps, 'steps')):
            begin = 0 if kind == 'norms' else 1
            (line,) = axes.plot(
                range(begin, begin + len(f[kind]['z_H'])), f[kind]['z_H'], '.-', lw=1, label=name
            )
            axes.plot(
                range(begin, begin + len(f[kind]['z_L'])),
                f[kind]['z_L'],
                '.--',
                lw=1,
                color=line.get_color(),
            )
        held = np.cumsum(f['pca']['z_H']['shares'])
        shares.plot(range(1, len(held) + 1), held, '.-', lw=1, label=name)
    norms.set(title='norm of z_H (solid), z_L (dashed)', xlabel='cycle')
    steps.set(title='relative step of z_H, z_L', xlabel='cycle', yscale='log')
    shares.set(title='share of the variance of z_H', xlabel='components', ylim=(0, 1.02))
    norms.legend(fontsize=7)
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
