"""Recursion against size: equal seconds of training for recursive, plain and text networks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trc_core.evaluation.experiments.frame import (
    Experiment,
    Figures,
    Results,
    Work,
    among,
    key,
    names,
)
from trc_core.evaluation.experiments.judging import Problems, alone, judge_guarded
from trc_core.evaluation.experiments.learning import (
    WEIGHTS,
    Budget,
    StoredStates,
    every_cycle,
    fit,
    network,
)
from trc_core.evaluation.experiments.memory import peak_bytes
from trc_core.evaluation.experiments.page import HEADINGS, number, ratio, scores, spread, table
from trc_core.evaluation.experiments.rivals import (
    PlainNetwork,
    count_weights,
    matching_width,
    plain_network,
)
from trc_core.evaluation.experiments.text_model import (
    TextModel,
    encode,
    parse,
    plan_text,
    prompt,
)
from trc_core.evaluation.reference import keep
from trc_core.models.simulation import Iterate, SystemDynamics
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.solvers import ilqr
from trc_core.systems import System, get_system
from trc_core.systems.base import Array
from trc_core.training.losses import cost_loss
from trc_core.training.supervised_trainer import expert_plan

EXPERTS, TRAINED, TIMING = 'experts', 'trained', 'timing'
DATASET_SEED = 5_000_000
TEXT, PATIENT_TEXT = 'text transformer', 'text transformer, ten times as long'
PATIENCE = 10  # times the seconds of everybody else
SIZES: Mapping[str, Mapping[str, Any]] = {
    'small': {'latent_dim': 64, 'hidden_dim': 128, 'num_heads': 2},
    'medium': {'latent_dim': 128, 'hidden_dim': 256, 'num_heads': 4},
    'large': {'latent_dim': 256, 'hidden_dim': 512, 'num_heads': 8},
}
BLOCKS = {'small': 2, 'medium': 3, 'large': 4}
LEVELS: Mapping[str, Mapping[str, int]] = {
    'small': {'L_layers': 2, 'L_cycles': 4},
    'medium': {'L_layers': 2, 'L_cycles': 4},
    'large': {'L_layers': 3, 'L_cycles': 6},
}
FEEDBACK = ('trajectory',)


@dataclass(frozen=True)
class Task:
    """A system, how plans are written down there, and how long everybody trains."""

    system: str
    representation: str
    cpu_seconds: float
    text: bool
    """Whether the text model takes part; it takes part where plans are short."""


@dataclass(frozen=True)
class Size:
    """How much is done."""

    tasks: tuple[Task, ...] = (
        Task('double_integrator', 'open_loop', 15.0, text=True),
        Task('van_der_pol', 'stabilised', 6.0, text=False),
    )
    optima: int = 10_000
    """Optimal plans in the dataset."""
    states: int = 200
    """Test problems."""
    batch: int = 64
    rounds: int = 15
    """Of the timing, in which everybody plans once."""
    seeds: int = 3
    sizes: tuple[str, ...] = field(default=tuple(SIZES))


FULL = replace(
    Size(),
    tasks=(
        Task('double_integrator', 'open_loop', 600.0, text=True),
        Task('van_der_pol', 'stabilised', 600.0, text=True),
    ),
    seeds=5,
)
Build = Callable[[System, str, int], nn.Module]


def units(size: Size, seed: int) -> Mapping[str, Work]:
    """A training per task, contestant and seed; then the timing, in one go per task."""
    work: dict[str, Work] = {}
    for task in size.tasks:
        work[key(EXPERTS, task.system)] = partial(_experts, task, size)
        for s in range(seed, seed + size.seeds):
            for name in contestants(task, size):
                work[key(TRAINED, task.system, name, s)] = partial(_trained, task, size, name, s)
        work[key(TIMING, task.system)] = partial(_timing, task, size)
    return work


def contestants(task: Task, size: Size) -> dict[str, Build]:
    """Who takes part, and how a fresh one is made."""
    table: dict[str, Build] = {}
    for name in size.sizes:
        table[f'single-latent {name}'] = partial(_single, name)
    for name in size.sizes:
        table[f'two-level {name}'] = partial(_two_level, name)
    table['plain perceptron'] = partial(_plain, 'perceptron')
    table['plain transformer'] = partial(_plain, 'transformer')
    table['plain transformer, imitation'] = partial(_plain, 'transformer')
    if task.text:
        table[TEXT] = table[PATIENT_TEXT] = _text
    return table


def _single(name: str, system: System, representation: str, seed: int) -> nn.Module:
    blocks = {'num_reasoning_blocks': BLOCKS[name]}
    return network(system, representation, seed, **SIZES[name], **blocks, feedback=FEEDBACK)


def _two_level(name: str, system: System, representation: str, seed: int) -> nn.Module:
    choices: dict[str, Any] = {**SIZES[name], **LEVELS[name], 'feedback': FEEDBACK}
    return network(system, representation, seed, use_two_level=True, **choices)


def _weights(system: System, representation: str) -> int:
    """Of the two-level small network, to which the plain ones are matched."""
    return count_weights(_two_level('small', system, representation, 0))


def _plain(kind: str, system: System, representation: str, seed: int) -> nn.Module:
    weights = _weights(system, representation)
    torch.manual_seed(seed)
    return plain_network(system, representation, kind, weights)


def _text(system: System, representation: str, seed: int) -> nn.Module:
    weights = _weights(system, representation)
    torch.manual_seed(seed)
    return TextModel(system, matching_width(partial(TextModel, system), weights))


@dataclass(frozen=True)
class Dataset:
    """Optimal plans; everybody draws from the same ones."""

    system: System
    draw: StoredStates
    states: Tensor
    """(N, T + 1, n_x)."""
    controls: Tensor
    """(N, T, n_u)."""

    @classmethod
    def of(cls, system: System, size: Size, seed: int) -> Dataset:
        """By converged iLQR, which finds the optimum of these systems; computed once and kept."""
        x0, goal = system.sample(np.random.default_rng(DATASET_SEED), size.optima)

        def optima() -> dict[str, Array]:
            plans = ilqr.solve_batch(system, x0, goal)
            return {'states': plans.states, 'controls': plans.controls}

        kept = keep(system, 'dataset', [size.optima, DATASET_SEED], optima)
        states, controls = (torch.from_numpy(kept[name]) for name in ('states', 'controls'))
        return cls(system, StoredStates(x0, goal, size.batch, seed), states, controls)

    def batch(self) -> dict[str, Tensor]:
        """The next rows, under the names of a `TrajectoryDataset`."""
        rows = self.draw.rows()
        return {
            'current_state': self.draw.x0[rows],
            'target_state': self.draw.goal[rows],
            'states': self.states[rows],
            'controls': self.controls[rows],
        }


def _experts(task: Task, size: Size) -> Figures:
    return Problems.fresh(get_system(task.system), size.states).experts()


def _trained(task: Task, size: Size, name: str, seed: int) -> Figures:
    system = get_system(task.system)
    built = contestants(task, size)[name](system, task.representation, seed)
    dataset = Dataset.of(system, size, seed)
    loss = _loss(built, dataset, imitates=name.endswith('imitation'))
    loss().backward()  # compiles outside the measured time
    seconds = task.cpu_seconds * (PATIENCE if name == PATIENT_TEXT else 1)
    spent = fit(built, loss, Budget(cpu_seconds=seconds))
    judged = _judged(built, Problems.fresh(system, size.states))
    return {**spent, 'weights': count_weights(built), **judged}


def _loss(built: nn.Module, dataset: Dataset, imitates: bool) -> Callable[[], Tensor]:
    """What a contestant minimises on the dataset."""
    if isinstance(built, TextModel):
        return _text_loss(built, dataset)
    draw, system = dataset.draw, dataset.system
    dynamics = SystemDynamics(built.representation, system)  # type: ignore[arg-type]
    if isinstance(built, TinyRecursiveControl):
        return lambda: every_cycle(built, dynamics, *draw())
    assert isinstance(built, PlainNetwork)
    if imitates:
        return lambda: _imitation(built, dataset)

    def cost() -> Tensor:
        x0, goal = draw()
        v, units = built(x0, goal)
        return cost_loss(units, dynamics.simulate(v, x0, goal), WEIGHTS)

    return cost


def _imitation(built: PlainNetwork, dataset: Dataset) -> Tensor:
    """Squared distance to the optimal plan, in the metric of the representation."""
    batch = dataset.batch()
    v, units = built(batch['current_state'], batch['target_state'])
    return units.metric(v - expert_plan(built.representation, batch)).square().mean()


def _text_loss(built: TextModel, dataset: Dataset) -> Callable[[], Tensor]:
    """Cross-entropy of the optimal plans, written down."""
    x0, goal = dataset.draw.x0.numpy(), dataset.draw.goal.numpy()
    controls = dataset.controls.numpy()
    prompts = [prompt(a, b) for a, b in zip(x0, goal, strict=True)]
    lines = [encode(p + plan_text(u)) for p, u in zip(prompts, controls, strict=True)]
    tokens = torch.stack(lines)
    return lambda: built.loss(tokens[dataset.draw.rows()], len(prompts[0]))


def _judged(built: nn.Module, problems: Problems) -> Figures:
    """Figures of the network alone, of it or the LQR where that is better, and how valid."""
    if isinstance(built, TextModel):
        return _judged_text(built, problems)
    with torch.no_grad():
        plan = _plan(built, problems)
    found = {'alone': problems.judge_iterate(plan), 'valid': 1.0, 'clipped': 0.0}
    if isinstance(built, TinyRecursiveControl):
        found['guarded'] = judge_guarded(built, problems, built.config.cycles)[-1]
    return found


def _plan(built: nn.Module, problems: Problems) -> Iterate:
    x0, goal = problems.tensors
    dynamics = SystemDynamics(built.representation, problems.system)  # type: ignore[arg-type]
    if isinstance(built, TinyRecursiveControl):
        *_, (plan, _) = alone(built, dynamics, x0, goal, built.config.cycles)
        return plan
    return dynamics.simulate(built(x0, goal)[0], x0, goal)


def _judged_text(built: TextModel, problems: Problems) -> Figures:
    """Figures over the lines that can be parsed; how many can, and how many leave the bounds."""
    system = problems.system
    lines = built.write(problems.x0, problems.goal)
    found = [parse(line, system.horizon, system.n_u) for line in lines]
    rows = [i for i, controls in enumerate(found) if controls is not None]
    figures: Figures = {'valid': len(rows) / len(found), 'example': lines[0].strip()}
    if not rows:
        return figures
    written = np.stack([found[i] for i in rows if found[i] is not None])  # type: ignore[misc]
    beyond = ((written < system.u_min) | (written > system.u_max)).any((1, 2))
    some = replace(
        problems, x0=problems.x0[rows], goal=problems.goal[rows], optimum=problems.optimum[rows]
    )
    states, cost = _flown(system, np.clip(written, system.u_min, system.u_max), some)
    return {**figures, 'alone': some.judge(states, cost), 'clipped': float(beyond.mean())}


def _flown(system: System, controls: Any, problems: Problems) -> tuple[Any, Any]:
    """Trajectories and J of controls (N, T, n_u)."""
    from trc_core.models.plan_representation import open_loop

    dynamics = SystemDynamics(open_loop(system), system)
    plans = dynamics.simulate(torch.from_numpy(controls - system.u_trim), *problems.tensors)
    assert plans.states is not None and plans.cost is not None
    return plans.states.numpy(), plans.cost.numpy()


def _timing(task: Task, size: Size) -> Figures:
    """Milliseconds of a plan from one state, interleaved, and bytes, of untrained networks."""
    system = get_system(task.system)
    torch.set_num_threads(1)
    problems = Problems.fresh(system, 1)
    planners: dict[str, Callable[[], Any]] = {}
    found: dict[str, Figures] = {}
    for name, build in contestants(task, size).items():
        built = build(system, task.representation, 0).eval()
        planners[name] = partial(_plan_once, built, problems)
        planners[name]()
        found[name] = {'weights': count_weights(built) * 4, 'tensors': peak_bytes(planners[name])}
    times: dict[str, list[float]] = {name: [] for name in planners}
    for _ in range(size.rounds):
        for name, plan in planners.items():
            began = time.perf_counter()
            plan()
            times[name].append(1e3 * (time.perf_counter() - began))
    return {name: {**found[name], 'ms': median(times[name])} for name in planners}


def _plan_once(built: nn.Module, problems: Problems) -> None:
    """What flying it would take: the plan, and nothing but the plan."""
    if isinstance(built, TextModel):
        built.write(problems.x0, problems.goal, longest=built.plan_length)
        return
    with torch.no_grad():
        _plan(built, problems)


def page(results: Results) -> Iterable[str]:
    """A table per task, and what is not equal."""
    yield (
        'Everybody trains for the same CPU seconds on the same optimal plans, with the same '
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
        experts = among(results, EXPERTS, system)[0]
        yield table(['', *HEADINGS], [[k, *scores(f)] for k, f in experts.items()])
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
        '([benchmark](../benchmarks/benchmark.md)); the rivals were not compiled.\n'
        '- On the double integrator the clipped LQR is the optimum and needs no training: '
        'everybody loses to it.'
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
        yield f'A plan as the text transformer writes it in the end: `{runs[0]["example"]}`'


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
