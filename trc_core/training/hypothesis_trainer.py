"""Imitation with several hypotheses, for problems with many local optima, like swing-ups.

The network writes several first plans, and the one nearest to the best known plan learns from it.
The distance is the predicted loss of cost (`expansion.py`). Then cycles learn to correct the
network's own plans, which are rolled out, guarded and swept as they are in use. Under constraints,
and where problems have parameters of their own, the network only proposes: sweeps do the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from trc_core.command_line import counted, expected_time, report_errors
from trc_core.models.persistence import checkpoint_of
from trc_core.models.plan_representation import Units
from trc_core.models.search import Latents
from trc_core.models.simulation import Iterate, SystemDynamics
from trc_core.models.tiny_recursive_control import Problem
from trc_core.numerics.cost import WRONG_BASIN, is_success
from trc_core.numerics.parallel import cores
from trc_core.numerics.plan import cost_ratio
from trc_core.planner.controller import Controller
from trc_core.progress import progress_bar
from trc_core.solvers.labels import Labels
from trc_core.solvers.library import library_labels, seconds_of_labels
from trc_core.solvers.searched_labels import needs_search
from trc_core.systems import System
from trc_core.training.config import PlantConfig, parse, require, run_as_command
from trc_core.training.expansion import local_forms, plans_of
from trc_core.training.fitting import TrainingModule, fit
from trc_core.training.losses import hypothesis_loss, local_distance, robust_distance
from trc_core.whole_files import read_arrays, write_arrays

LABELS_FILE = 'labels.npz'
WORST = 1.0  # J/J* - 1 of a row counts up to here: all wrong basins are equally bad


@dataclass(frozen=True)
class HypothesisConfig(PlantConfig):
    """Settings of imitation of the best known plans, for systems with many local optima."""

    system: str = 'pendulum'
    output_dir: str = 'outputs/hypotheses'
    """Folder of labels, checkpoints and logs."""
    labels: int = 20000
    """Problems solved once, before training; kept in output_dir."""
    first_steps: int = 8000
    """Optimiser steps that train first plans only."""
    joint_steps: int = 8000
    """Optimiser steps that train first plans and cycles."""
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
    """Share of the loss that trains every hypothesis, near or not."""
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
        require(self, 'be at least 1', 'batch_size', 'window')
        require(self, 'be at least 1', 'validate_every', 'validation_states')
        require(self, 'not be negative', 'first_steps', 'joint_steps')
        require(self, 'not be negative', 'cycle_weight', 'sharpness', 'distance_weight')
        require(self, 'lie in [0, 1]', 'second_share', 'spread')
        if self.labels < 3 * self.validation_states:
            raise ValueError('labels must be at least 3 times validation_states')
        if self.joint_steps and not self.H_cycles:
            raise ValueError('without cycles (H_cycles 0) joint_steps must be 0')
        if self.joint_steps and needs_search(self.build_system()):
            raise ValueError(
                'cycles do not learn under constraints, or where parameters have ranges: use '
                '--H_cycles 0 --joint_steps 0'
            )


def cached_labels(folder: Path, system: System, count: int, seed: int) -> Labels:
    """The labels in `folder`, computed and saved if they are missing or of other settings."""
    path, digest = folder / LABELS_FILE, system.fingerprint(count, seed)
    kept = read_arrays(path, 'digest', *(field.name for field in fields(Labels)))
    if kept is not None and str(kept.pop('digest')) == digest:
        return Labels(**kept)
    seconds = seconds_of_labels(system, count, seed)
    print(expected_time(seconds, counted(count, 'label'), cores()), flush=True)
    with progress_bar(label='labels', total=count) as bar:
        labels = library_labels(system, count, seed, lambda done, _: bar.update(done - bar.n))
    write_arrays(path, digest=np.array(digest), **vars(labels))
    return labels


def split(labels: Labels, held_out: int) -> tuple[Labels, Labels]:
    """The labels without the last `held_out` ones of the box, and those."""
    kept = np.ones(len(labels.cost), dtype=np.bool_)
    kept[np.flatnonzero(labels.box)[-held_out:]] = False
    training, validation = (
        Labels(**{name: array[rows] for name, array in vars(labels).items()})
        for rows in (kept, ~kept)
    )
    return training, validation


@dataclass(frozen=True)
class LabelledProblems:
    """Problems with the best plans and quadratic forms that the loss compares with, row by row."""

    current_state: Tensor
    """(B, n_x)."""
    target_state: Tensor
    """(B, n_x)."""
    parameters: Tensor
    """(B, n_p)."""
    plan: Tensor
    """(B, T, n_u), `Units.metric` of the best plan."""
    form: Tensor
    """(B, T n_u, T n_u), M of `expansion.local_form`, mirrored like the plan, float16."""
    held: Tensor
    """(B, T, n_u), 1 or -1 where the plan is on a bound, mirrored like the plan."""

    @classmethod
    def of(cls, labels: Labels, dynamics: SystemDynamics) -> LabelledProblems:
        """Training data from labels, in the coordinates of `dynamics`."""
        x0, goal, p = map(torch.from_numpy, (labels.x0, labels.goal, labels.parameters))
        coordinates, system = dynamics.representation.coordinates, dynamics.system
        assert coordinates is not None
        units, numbers = dynamics.units(x0 - goal, goal), coordinates.numbers(system)
        v = torch.from_numpy(plans_of(system, numbers.law, labels))
        form, held = map(torch.from_numpy, local_forms(system, numbers, units.s.numpy(), labels))
        signs = units.mirrored(torch.ones_like(v))
        form.mul_(signs.half().flatten(1)[:, None])
        return cls(x0, goal, p, units.metric(v).float(), form, held * signs.float())

    def rows(self, rows: Tensor) -> LabelledProblems:
        """Some of the problems, by index (N,)."""
        return LabelledProblems(**{name: values[rows] for name, values in vars(self).items()})


class HypothesisTraining(TrainingModule):
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
        training, self.validation = split(labels, config.validation_states)
        self.problems = LabelledProblems.of(training, self.dynamics)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """First plans learn from the labels; in the later steps cycles do as well."""
        config, model, step = self.config, self.model, self.trainer.global_step
        # rows follow from the step alone, so that a resumed run is the run that was interrupted
        seed = config.seed + 1_000_003 * step + self.global_rank
        random = torch.Generator().manual_seed(seed)
        count = len(self.problems.plan)
        rows = torch.randint(count, (config.batch_size,), generator=random)
        labelled = self.problems.rows(rows)
        problem = model.problem(
            labelled.current_state,
            labelled.target_state,
            dynamics=self.dynamics,
            parameters=labelled.parameters,
        )
        latents = model.initial_latents(problem)
        plans = model.first_plans(problem, latents)
        distances = self._distances(problem.units, plans, labelled)
        loss = hypothesis_loss(distances, config.spread)
        self.log('train/nearest', distances.amin(1).mean(), prog_bar=True)
        if step >= config.first_steps:
            plan = self._near_plans(plans, distances, random)
            loss = loss + self._cycles_loss(problem, latents, plan, labelled)
        return loss

    def _distances(
        self, units: Units, plans: Sequence[Tensor], labelled: LabelledProblems
    ) -> Tensor:
        """The distance (B, H) of H plans, each (B, T, n_u), that the loss minimises."""
        metric = torch.stack([units.metric(plan) for plan in plans], 1).float()
        config, held = self.config, labelled.held
        form = labelled.form.float()
        predicted, distance = local_distance(metric, labelled.plan, form, held)
        return robust_distance(predicted, distance, config.sharpness, config.distance_weight)

    def _near_plans(
        self, plans: Sequence[Tensor], distances: Tensor, random: torch.Generator
    ) -> Tensor:
        """One plan per row (B, T, n_u): the nearest, in a share of the rows the second nearest."""
        nearest = distances.topk(2, dim=1, largest=False).indices
        second = torch.rand(len(distances), generator=random) < self.config.second_share
        chosen = torch.where(second, nearest[:, 1], nearest[:, 0])
        return torch.stack(list(plans), 1)[torch.arange(len(chosen)), chosen].detach()

    def _cycles_loss(
        self, problem: Problem, latents: Latents, plan: Tensor, labelled: LabelledProblems
    ) -> Tensor:
        """Distance of the proposal of each cycle in the window; gradients pass by the latents."""
        config, dynamics = self.config, self.dynamics
        iterate = dynamics.simulate(plan, problem.current_state, problem.target_state)
        loss = plan.new_zeros(())
        for k in range(config.window):
            change, latents = self.model.propose(problem, iterate, latents)
            distance = self._distances(problem.units, [iterate.v + change], labelled).mean()
            self.log(f'train/cycle_{k + 1}', distance)
            loss = loss + config.cycle_weight * distance
            if k + 1 < config.window:
                iterate = self._follow(iterate, change.detach(), problem)
        return loss

    def _follow(self, iterate: Iterate, change: Tensor, problem: Problem) -> Iterate:
        """The plan after a cycle that proposed a change."""
        x0, goal = problem.current_state, problem.target_state
        proposal = self.dynamics.simulate(iterate.v + change, x0, goal)
        refined = self.dynamics.guard(iterate, proposal, change, x0, goal)
        return self.dynamics.sweep(refined, goal, self.config.sweeps)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Figures of plans, as they fly, on the labels that were held out."""
        if needs_search(self.system):
            self._validate_by_merit()
            return
        x0, goal = torch.from_numpy(self.validation.x0), torch.from_numpy(self.validation.goal)
        *_, (iterate, _) = self.model.refine(x0, goal, self.dynamics)
        assert iterate.cost is not None
        ratio = cost_ratio(iterate.cost, torch.from_numpy(self.validation.cost))
        ratio = torch.nan_to_num(ratio, nan=torch.inf)
        score = (ratio - 1).clamp(max=WORST).mean()
        reached = is_success(self.system, iterate.states, goal).double().mean()
        figures = {
            'cost_ratio_median': ratio.median(),
            'cost_ratio_p95': ratio.quantile(0.95),
            'wrong_share': (ratio > WRONG_BASIN).double().mean(),
            'success': reached,
        }
        self.report(score, figures)

    def _validate_by_merit(self) -> None:
        """The score is the share of plans whose merit is wrong, and a little of the others'."""
        labels, system = self.validation, self.system
        controller = Controller(checkpoint_of(self.model, system))
        names = dict(zip(system.parameters, labels.parameters.T, strict=True))
        parameters = {name: names[name] for name in system.ranges}
        plans = controller.plan_batch(labels.x0, labels.goal, parameters=parameters)
        merit, goal = torch.from_numpy(plans.merit), torch.from_numpy(labels.goal)
        ratio = torch.nan_to_num(cost_ratio(merit, torch.from_numpy(labels.merit)), nan=torch.inf)
        wrong = (ratio > WRONG_BASIN).double().mean()
        states, violation = torch.from_numpy(plans.states), torch.from_numpy(plans.violation)
        figures = {
            'merit_ratio_median': ratio.median(),
            'merit_wrong_share': wrong,
            'violated_share': (violation > system.constraint_tolerance).double().mean(),
            'success': is_success(system, states, goal).double().mean(),
        }
        self.report(wrong + 0.1 * (ratio - 1).clamp(0, WORST).mean(), figures)


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
