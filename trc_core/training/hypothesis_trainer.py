"""Imitation with several hypotheses: where a problem has many local optima, as swing-ups do.

The network writes several first plans. The one nearest to the best known plan learns from it,
near meaning cheap: the distance is the predicted loss of cost (`expansion.py`). Then cycles learn
to correct the network's own plans, rolled out, guarded and swept as they will be in use.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from trc_core.command_line import report_errors
from trc_core.models.plan_representation import Units
from trc_core.models.search import Latents
from trc_core.models.simulation import Iterate, SystemDynamics
from trc_core.models.tiny_recursive_control import Problem
from trc_core.numerics.cost import WRONG_BASIN, is_success
from trc_core.solvers.library import Labels, library_labels
from trc_core.systems import System
from trc_core.training.config import PlantConfig, parse, require, run_as_command
from trc_core.training.expansion import local_forms
from trc_core.training.fitting import Fitting, fit
from trc_core.training.losses import hypothesis_loss, local_distance, robust_distance

LABELS_FILE = 'labels.npz'
WORST = 1.0  # J/J* - 1 of a row counts up to here: one lost basin is as bad as another


@dataclass(frozen=True)
class HypothesisConfig(PlantConfig):
    """How a controller is taught by the best plans of a system with many local optima."""

    system: str = 'pendulum'
    output_dir: str = 'outputs/hypotheses'
    """Where labels, checkpoints and logs go."""
    labels: int = 20000
    """Problems solved once, before training; kept in output_dir."""
    first_steps: int = 8000
    """Optimiser steps that teach first plans only."""
    joint_steps: int = 8000
    """Optimiser steps that teach first plans and cycles."""
    batch_size: int = 128
    """Problems per optimiser step."""
    window: int = 2
    """Cycles per joint step, on one plan of each row."""
    second_share: float = 0.25
    """Share of rows whose second nearest plan is refined, so that cycles also see worse ones."""
    cycle_weight: float = 0.5
    """Weight of each cycle's loss; that of the first plans is 1."""
    sharpness: float = 20.0
    """The loss of a plan is log(1 + sharpness q), q the predicted (J - J*) / J*, plus ..."""
    distance_weight: float = 0.3
    """... this times the mean square of its distance."""
    spread: float = 0.02
    """Share of the loss that teaches every hypothesis, near or not."""
    validate_every: int = 2000
    """Optimiser steps between two validations."""
    validation_states: int = 256
    """Labels of the training box kept for validation."""
    representation: str = 'gated'
    feedback: Sequence[str] = ('trajectory',)
    feedback_stride: int = 3
    hidden_dim: int = 104
    plans: int = 12
    first_cycles: int = 2
    beam: Sequence[int] = (13, 4, 3, 2, 2, 1)
    sweeps: int = 1
    H_cycles: int = 5
    learning_rate: float = 2e-3
    ema_decay: float = 0.998

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, 'be at least 2', 'plans')
        counts = 'batch_size', 'window', 'validate_every', 'validation_states'
        require(self, 'be at least 1', *counts)
        weights = 'cycle_weight', 'sharpness', 'distance_weight'
        require(self, 'not be negative', 'first_steps', 'joint_steps', *weights)
        require(self, 'lie in [0, 1]', 'second_share', 'spread')
        if self.labels < 3 * self.validation_states:
            raise ValueError('labels must be at least 3 times validation_states')


def cached_labels(folder: Path, system: System, count: int, seed: int) -> Labels:
    """The labels in `folder`; made now if they are not there, or are of something else."""
    path, digest = folder / LABELS_FILE, labels_digest(system, count, seed)
    if path.exists():
        with np.load(path) as arrays:
            if str(arrays['digest']) == digest:
                return Labels(**{field.name: arrays[field.name] for field in fields(Labels)})
    labels = library_labels(system, count, seed, _show_progress)
    temporary = path.with_name(f'labels.{os.getpid()}.npz')
    np.savez(temporary, digest=np.array(digest), **vars(labels))
    temporary.replace(path)
    return labels


def labels_digest(system: System, count: int, seed: int) -> str:
    """What labels depend on, in a word."""
    made_of = [system.contract(), system.graph.digest, count, seed]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]


def _show_progress(done: int, count: int) -> None:
    print(f'labels: {done} of {count}', flush=True)


def split(labels: Labels, held_out: int) -> tuple[Labels, Labels]:
    """All labels but the last `held_out` ones of the box, and those."""
    kept = np.ones(len(labels.cost), dtype=np.bool_)
    kept[np.flatnonzero(labels.box)[-held_out:]] = False
    training, validation = (
        Labels(**{name: array[rows] for name, array in vars(labels).items()})
        for rows in (kept, ~kept)
    )
    return training, validation


@dataclass(frozen=True)
class Lessons:
    """Problems and their best plans, as the loss wants them; row b is one problem."""

    current_state: Tensor
    """(B, n_x)."""
    target_state: Tensor
    """(B, n_x)."""
    plan: Tensor
    """(B, T, n_u), `Units.metric` of the best plan."""
    form: Tensor
    """(B, T n_u, T n_u), M of `expansion.local_form`, float32."""
    held: Tensor
    """(B, T, n_u), 1 or -1 where the plan is on a bound, turned as the plan is."""

    @classmethod
    def of(cls, labels: Labels, dynamics: SystemDynamics) -> Lessons:
        """What labels teach about the plans of `dynamics`."""
        arrays = labels.x0, labels.goal, labels.states, labels.controls
        x0, goal, states, u = (torch.from_numpy(array) for array in arrays)
        coordinates = dynamics.representation.coordinates
        assert coordinates is not None
        units = dynamics.units(x0 - goal)
        v = dynamics.sweep(Iterate(u, u, states), goal, sweeps=0).v  # re-projected, no more
        numbers = coordinates.numbers(dynamics.system)
        form, held = local_forms(dynamics.system, numbers, units.s.numpy(), labels)
        sign = torch.from_numpy(held).double()
        turned = sign if units.side is None else sign * units.side
        return cls(x0, goal, units.metric(v).float(), torch.from_numpy(form), turned.float())

    def rows(self, rows: Tensor) -> Lessons:
        """Some of the lessons, by index (N,)."""
        return Lessons(*(getattr(self, field.name)[rows] for field in fields(self)))


class HypothesisTraining(Fitting):
    """Lightning module of the imitation stage with several hypotheses."""

    def __init__(self, config: HypothesisConfig) -> None:
        system = config.build_system()
        super().__init__(config, config.build_network(system), system)
        self.config: HypothesisConfig = config
        self.model.initial_generator.output.reset_parameters()  # hypotheses begin apart

    def on_fit_start(self) -> None:
        config = self.config
        self.dynamics = SystemDynamics(self.model.representation, self.system)
        folder = Path(config.output_dir)
        labels = cached_labels(folder, self.system, config.labels, config.seed)
        training, validation = split(labels, config.validation_states)
        self.lessons = Lessons.of(training, self.dynamics)
        self.validation = torch.from_numpy(validation.x0), torch.from_numpy(validation.goal)
        self.optimum = torch.from_numpy(validation.cost)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """First plans learn from the labels; in the later steps cycles do as well."""
        config, model, step = self.config, self.model, self.trainer.global_step
        # rows follow from the step alone, so that a resumed run is the run that was interrupted
        seed = config.seed + 1_000_003 * step + self.global_rank
        random = torch.Generator().manual_seed(seed)
        lessons = self.lessons
        rows = torch.randint(len(lessons.plan), (config.batch_size,), generator=random)
        lessons = lessons.rows(rows)
        problem = model.problem(lessons.current_state, lessons.target_state)
        latents = model.initial_latents(problem)
        plans = model.first_plans(problem, latents)
        distances = self._distances(problem.units, plans, lessons)
        loss = hypothesis_loss(distances, config.spread)
        self.log('train/nearest', distances.amin(1).mean(), prog_bar=True)
        if step >= config.first_steps:
            plan = self._near_plans(plans, distances, random)
            loss = loss + self._cycles_loss(problem, latents, plan, lessons)
        return loss

    def _distances(self, units: Units, plans: Sequence[Tensor], lessons: Lessons) -> Tensor:
        """What the loss takes for the distance (B, H) of H plans, each (B, T, n_u)."""
        metric = torch.stack([units.metric(plan) for plan in plans], 1).float()
        config, held = self.config, lessons.held
        predicted, distance = local_distance(metric, lessons.plan, lessons.form, held)
        return robust_distance(predicted, distance, config.sharpness, config.distance_weight)

    def _near_plans(
        self, plans: Sequence[Tensor], distances: Tensor, random: torch.Generator
    ) -> Tensor:
        """One plan a row (B, T, n_u): the nearest, in a share of the rows the second nearest."""
        nearest = distances.topk(2, dim=1, largest=False).indices
        second = torch.rand(len(distances), generator=random) < self.config.second_share
        chosen = torch.where(second, nearest[:, 1], nearest[:, 0])
        return torch.stack(list(plans), 1)[torch.arange(len(chosen)), chosen].detach()

    def _cycles_loss(
        self, problem: Problem, latents: Latents, plan: Tensor, lessons: Lessons
    ) -> Tensor:
        """Distance of what each cycle of the window proposes; gradients pass by the latents."""
        config, dynamics = self.config, self.dynamics
        states = problem.current_state, problem.target_state
        iterate = dynamics.simulate(plan, *states)
        loss = plan.new_zeros(())
        for k in range(config.window):
            change, latents = self.model.propose(problem, iterate, latents)
            distance = self._distances(problem.units, [iterate.v + change], lessons).mean()
            self.log(f'train/cycle_{k + 1}', distance)
            loss = loss + config.cycle_weight * distance
            if k + 1 < config.window:
                iterate = self._follow(iterate, change.detach(), problem)
        return loss

    def _follow(self, iterate: Iterate, change: Tensor, problem: Problem) -> Iterate:
        """The plan that a cycle leaves behind once its change was proposed."""
        states = problem.current_state, problem.target_state
        proposal = self.dynamics.simulate(iterate.v + change, *states)
        refined = self.dynamics.guard(iterate, proposal, change, *states)
        return self.dynamics.sweep(refined, problem.target_state, self.config.sweeps)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Figures of the default number of cycles on the labels that were held out."""
        *_, (iterate, _) = self.model.refine(*self.validation, self.dynamics)
        assert iterate.cost is not None
        ratio = torch.nan_to_num(iterate.cost / self.optimum, nan=torch.inf)
        score = (ratio - 1).clamp(max=WORST).mean()
        reached = is_success(iterate.states, self.validation[1]).double().mean()
        figures = {
            'cost_ratio_median': ratio.median(),
            'cost_ratio_p95': ratio.quantile(0.95),
            'wrong_share': (ratio > WRONG_BASIN).double().mean(),
            'success': reached,
        }
        self.report(score, figures)


def train(config: HypothesisConfig, command: str) -> None:
    """Runs the stage; `best_model.safetensors` in the output folder is its result."""
    pl.seed_everything(config.seed, verbose=False)
    steps = range(config.first_steps + config.joint_steps)
    fit(HypothesisTraining(config), config, steps, epochs=1, command=command)


def main(argv: Sequence[str] | None = None) -> None:
    """`python -m trc_core.training.hypothesis_trainer`: imitation with several hypotheses."""
    program = 'python -m trc_core.training.hypothesis_trainer'
    with report_errors(program):
        train(parse(HypothesisConfig, program, argv), run_as_command(program, argv))


if __name__ == '__main__':
    main()
