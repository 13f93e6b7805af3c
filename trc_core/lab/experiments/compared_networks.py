"""Networks of which recursion is compared with size: how they learn, and how they plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trc_core.evaluation.reference import keep
from trc_core.lab.experiments.baseline_networks import (
    PlainNetwork,
    count_weights,
    matching_width,
    plain_network,
)
from trc_core.lab.experiments.frame import Figures
from trc_core.lab.experiments.judging import Problems, alone, judge_guarded
from trc_core.lab.experiments.learning import WEIGHTS, StoredStates, every_cycle, network
from trc_core.lab.experiments.text_model import (
    TextModel,
    encode,
    parse,
    plan_text,
    prompt,
)
from trc_core.models.plan_representation import open_loop
from trc_core.models.simulation import Iterate, SystemDynamics
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.problem.system import Array
from trc_core.solvers import ilqr
from trc_core.systems import System
from trc_core.training.losses import cost_loss
from trc_core.training.supervised_trainer import expert_plan

DATASET_SEED = 5_000_000
TEXT, PATIENT_TEXT = 'text transformer', 'text transformer, ten times as long'
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
Build = Callable[[System, str, int], nn.Module]


def compared_networks(sizes: Sequence[str]) -> dict[str, Build]:
    """Makers of fresh networks by name: the baselines, and recursive ones in these sizes."""
    table: dict[str, Build] = {}
    for name in sizes:
        table[f'single-latent {name}'] = partial(_single, name)
    for name in sizes:
        table[f'two-level {name}'] = partial(_two_level, name)
    table['plain perceptron'] = partial(_plain, 'perceptron')
    table['plain transformer'] = partial(_plain, 'transformer')
    table['plain transformer, imitation'] = partial(_plain, 'transformer')
    table[TEXT] = table[PATIENT_TEXT] = _text
    return table


def _single(name: str, system: System, representation: str, seed: int) -> nn.Module:
    blocks = {'num_reasoning_blocks': BLOCKS[name]}
    return network(system, representation, seed, **SIZES[name], **blocks, feedback=FEEDBACK)


def _two_level(name: str, system: System, representation: str, seed: int) -> nn.Module:
    choices: dict[str, Any] = {**SIZES[name], **LEVELS[name], 'feedback': FEEDBACK}
    return network(system, representation, seed, use_two_level=True, **choices)


def _weights(system: System, representation: str) -> int:
    """Number of weights of two-level small, to which the plain networks are matched."""
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
    """Optimal plans, the same for every network."""

    system: System
    draw: StoredStates
    states: Tensor
    """(N, T + 1, n_x)."""
    controls: Tensor
    """(N, T, n_u)."""

    @classmethod
    def of(cls, system: System, optima: int, batch: int, seed: int) -> Dataset:
        """Optima by converged iLQR, which finds them for these systems; computed once and kept.

        Args:
            system: whose plans they are.
            optima: number of plans.
            batch: of them in a step of training.
            seed: of the order in which they are drawn.
        """
        x0, goal = system.sample(np.random.default_rng(DATASET_SEED), optima)

        def solved() -> dict[str, Array]:
            plans = ilqr.solve_batch(system, x0, goal)
            return {'states': plans.states, 'controls': plans.controls}

        kept = keep(system, 'dataset', [optima, DATASET_SEED], solved)
        states, controls = (torch.from_numpy(kept[name]) for name in ('states', 'controls'))
        return cls(system, StoredStates(x0, goal, batch, seed), states, controls)

    def batch(self) -> dict[str, Tensor]:
        """The next rows, under the names of a `TrajectoryDataset`."""
        rows = self.draw.rows()
        return {
            'current_state': self.draw.x0[rows],
            'target_state': self.draw.goal[rows],
            'states': self.states[rows],
            'controls': self.controls[rows],
        }


def loss_of(built: nn.Module, dataset: Dataset, imitates: bool) -> Callable[[], Tensor]:
    """The loss that a network minimises on the dataset."""
    if isinstance(built, TextModel):
        return _text_loss(built, dataset)
    draw, system = dataset.draw, dataset.system
    dynamics = SystemDynamics(built.representation, system)  # type: ignore[arg-type]
    if isinstance(built, TinyRecursiveControl):
        return lambda: every_cycle(built, dynamics, draw())
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


def judged(built: nn.Module, problems: Problems) -> Figures:
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
        *_, (plan, _) = alone(built, dynamics, (x0, goal), built.config.cycles)
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
    dynamics = SystemDynamics(open_loop(system), system)
    x0, goal = problems.tensors
    plans = dynamics.simulate(torch.from_numpy(controls - system.u_trim), x0, goal)
    assert plans.states is not None and plans.cost is not None
    return plans.states.numpy(), plans.cost.numpy()


def plan_once(built: nn.Module, problems: Problems) -> None:
    """Makes a plan and nothing else, as flying it would take."""
    if isinstance(built, TextModel):
        built.write(problems.x0, problems.goal, longest=built.plan_length)
        return
    with torch.no_grad():
        _plan(built, problems)
