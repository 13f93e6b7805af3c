"""Training of a powered descent: imitation of solved problems, then the Lagrangian of every cycle.

A plan is the 40 numbers of `numerics/descent.py`. Least fuel alone would crash and the way down
has no other gradient, so that what cycles lower is the Lagrangian with the prices of the solved
plan and its barrier, L(plan) - L(solved plan) >= 0 near it, and penalties of errors at the end.
Where a constraint decides how a plan looks, plans change faster from one state to the next: more
problems are solved there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from trc_core.command_line import report_errors
from trc_core.compile.kernels import compiled
from trc_core.models.descent import PUSH, DescentDynamics, DescentRepresentation
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.network_config import TRCConfig
from trc_core.numerics.descent import NUMBERS, PRICES, Descent, unfold
from trc_core.numerics.free_time.flights import Solver
from trc_core.numerics.free_time.timed import DT
from trc_core.numerics.representation import DESCENT, Coordinates
from trc_core.planner.descent import MARGIN, PROPOSED
from trc_core.problem.system import Array, System
from trc_core.progress import progress_bar
from trc_core.solvers.descents import Descents, descents_nearby, solved_descents
from trc_core.training.config import PlantConfig, parse, require, run_as_command
from trc_core.training.descent_numbers import coordinates_of, numbers_of
from trc_core.training.fitting import TrainingModule, fit
from trc_core.whole_files import read_arrays, write_arrays

LABELS_FILE = 'labels.npz'
NEAR = 0.3  # distance of a number, in its spread, up to which its loss is a square
WORST = 1.2  # ratio of fuel that counts for a plan that does not land
HARD = 0.15  # share of the problems, those with the highest prices of constraints


@dataclass(frozen=True)
class DescentConfig(PlantConfig):
    """Settings of the training of a powered descent."""

    system: str = 'rocket_landing'
    output_dir: str = 'outputs/descent'
    """Folder of labels, checkpoints and logs."""
    labels: int = 16000
    """Problems solved once, before training; kept in output_dir."""
    hard_labels: int = 8000
    """More of them, near those where constraints have the highest prices."""
    first_steps: int = 4000
    """Optimiser steps in which first plans imitate the numbers of the solved ones."""
    joint_steps: int = 9000
    """Optimiser steps in which first plans and cycles lower the Lagrangian."""
    batch_size: int = 128
    """Problems per optimiser step."""
    fuel_scale: float = 1.0
    """Excess of the Lagrangian [kg] above which it counts by its logarithm."""
    imitation_weight: float = 0.1
    """Weight of imitation beside the Lagrangian."""
    validate_every: int = 1000
    """Optimiser steps between two validations."""
    validation_states: int = 400
    """Labels kept for validation."""
    validation_sweeps: int = 5
    """Sweeps on the plans that a validation scores."""
    representation: str = DESCENT
    feedback: Sequence[str] = ('terminal', 'gradient')
    latent_dim: int = 96
    learning_rate: float = 1.5e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, 'be at least 1', 'batch_size', 'validate_every', 'validation_states')
        require(self, 'be at least 1', 'first_steps', 'joint_steps', 'validation_sweeps')
        require(self, 'be positive', 'fuel_scale')
        require(self, 'not be negative', 'imitation_weight', 'hard_labels')
        if self.labels < 3 * self.validation_states:
            raise ValueError('labels must be at least 3 times validation_states')

    def coordinates(self) -> Coordinates:
        return Coordinates(self.representation, ())

    def build_network(self, system: System) -> TinyRecursiveControl:
        """A fresh model, whose plan is the numbers of a descent."""
        known = {f.name for f in fields(TRCConfig)}
        choices = {f.name: getattr(self, f.name) for f in fields(self) if f.name in known}
        config = TRCConfig(
            state_dim=system.n_x,
            control_dim=1,
            control_horizon=NUMBERS,
            control_bounds=1.0,
            **choices,
        )
        representation: Any = DescentRepresentation(Descent.blank(system))
        return TinyRecursiveControl(config, representation)


@dataclass(frozen=True)
class Lesson:
    """Solved problems as tensors, row by row."""

    x0: Tensor
    """(B, n_x), inside the frame."""
    o: Tensor
    """(B, NUMBERS), the dimensionless numbers of the solved plans."""
    prices: Tensor
    """(B, 6)."""
    forces: Tensor
    """(B, T + 1, n_h), multipliers of the constraints at 0, whose slope at the solved plans is
    that of the barrier."""
    optimum: Tensor
    """(B,) Lagrangian of the solved plans, with the barrier [kg]."""
    cost: Tensor
    """(B,) cost of the solved plans [kg]."""

    @classmethod
    def of(cls, labels: Descents, numbers: Array, dynamics: DescentDynamics) -> Lesson:
        """Labels, whose numbers (B, NUMBERS) have dimensions, in the coordinates of a descent."""
        descent, holds = dynamics.descent, dynamics.plant.holds
        o = (numbers - descent.centre) / descent.spread
        forces = labels.forces + PUSH * labels.slacks
        pushed = 0.5 * (labels.forces**2 - forces**2)[:, holds].sum(1) / PUSH
        barrier = dynamics.barrier(torch.from_numpy(o)).numpy()
        arrays = labels.x0, o, labels.prices, forces, labels.cost + pushed + barrier, labels.cost
        return cls(*map(torch.from_numpy, arrays))

    def rows(self, rows: Tensor) -> Lesson:
        """Some of the problems, by index (N,)."""
        return Lesson(**{name: values[rows] for name, values in vars(self).items()})


class DescentTraining(TrainingModule):
    """Lightning module of the stage."""

    def __init__(self, config: DescentConfig) -> None:
        system = config.build_system()
        super().__init__(config, config.build_network(system), system)
        self.config: DescentConfig = config
        self.model.initial_generator.output.reset_parameters()
        assert self.model.newton_weight is not None
        torch.nn.init.zeros_(self.model.newton_weight)  # prices climb where numbers fall

    def on_fit_start(self) -> None:
        config, representation = self.config, self._representation()
        labels = cached_descents(Path(config.output_dir), self.system, config)
        numbers = numbers_of(self.system, labels)
        representation.learn(coordinates_of(self.system, labels, numbers))
        self.dynamics = DescentDynamics(representation, self.system)
        lesson = Lesson.of(labels, numbers, self.dynamics)
        held_out = torch.arange(len(lesson.x0)) < config.validation_states
        self.lesson, self.validation = lesson.rows(~held_out), lesson.rows(held_out)
        self.solver, self._unfold = Solver(self.system), compiled(unfold)

    def _representation(self) -> Any:
        """The learned numbers of the coordinates, a `DescentRepresentation`."""
        return self.model.representation

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """First plans and the plans of every cycle learn alike."""
        config, step = self.config, self.trainer.global_step
        # rows follow from the step alone, so that a resumed run is the run that was interrupted
        random = torch.Generator().manual_seed(config.seed + 1_000_003 * step + self.global_rank)
        rows = torch.randint(len(self.lesson.x0), (config.batch_size,), generator=random)
        lesson = self.lesson.rows(rows)
        if step < config.first_steps:
            loss = self._distance(next(self._plans(lesson)), lesson).sum(-1).mean()
        else:
            loss = torch.stack([self._loss(plan, lesson) for plan in self._plans(lesson)]).sum()
        self.log('train/loss', loss, prog_bar=True)
        return loss

    def _plans(self, lesson: Lesson) -> Iterator[Tensor]:
        """The first plans (B, NUMBERS, 1), and those after every cycle."""
        model, goal = self.model, torch.zeros_like(lesson.x0)
        problem = model.problem(lesson.x0, goal, dynamics=self.dynamics)
        latents = model.initial_latents(problem)
        (plan,) = model.first_plans(problem, latents)
        yield plan
        for _ in range(model.config.cycles):
            seen = self.dynamics.simulate(plan.detach(), lesson.x0, goal)
            change, latents = model.propose(problem, seen, latents)
            plan = seen.v + change
            yield plan

    def _distance(self, plan: Tensor, lesson: Lesson) -> Tensor:
        """The distance of every number (B, NUMBERS) of plans from the solved ones."""
        o = plan[..., 0]
        return smooth_l1_loss(o, lesson.o.to(o), reduction='none', beta=NEAR)

    def _loss(self, plan: Tensor, lesson: Lesson) -> Tensor:
        """The loss of plans (B, NUMBERS, 1): the excess of the Lagrangian, and some imitation."""
        config, distance, o = self.config, self._distance(plan, lesson), plan[..., 0]
        value = self.dynamics.lagrangian(o, lesson.x0, lesson.prices, lesson.forces)
        value = value + self.dynamics.barrier(o)
        excess = (value - lesson.optimum).clamp(min=0.0)
        gap = torch.log1p(excess / config.fuel_scale).mean()
        imitation = distance.sum(-1).mean() + distance[:, PRICES:].sum(-1).mean()
        return gap + config.imitation_weight * imitation

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Plans after a few sweeps, on labels that were held out."""
        *_, plans = self._plans(self.validation)
        o, x0 = plans[..., 0].double().numpy(), self.validation.x0.numpy()
        ends = np.array([self._swept(state, own) for state, own in zip(x0, o, strict=True)])
        place, speed = (np.linalg.norm(ends[:, axes], axis=1) for axes in (slice(3), slice(3, 6)))
        near = self.system.goal_tolerance
        landed = (place <= near[:3].min()) & (speed <= near[3:6].min())
        spent, least = x0[:, 6] - ends[:, 6], x0[:, 6] + self.validation.cost.numpy()
        ratio = np.where(landed, spent / least, WORST)
        figures = {
            'landed': landed.mean(),
            'place_median': np.median(place),
            'speed_median': np.median(speed),
            'fuel_ratio': ratio[landed].mean() if landed.any() else WORST,
        }
        metrics = {name: torch.tensor(value) for name, value in figures.items()}
        self.report(torch.tensor(np.minimum(ratio, WORST).mean()), metrics)

    def _swept(self, x0: Array, o: Array) -> Array:
        """The last state (7,) of a plan after some sweeps."""
        descent, solver = self.dynamics.descent, self.solver
        flight = solver.room()
        flight.x[0] = x0
        flight.numbers[DT] = self._unfold(descent, o, flight.u) / self.system.horizon
        sweeps, plant = self.config.validation_sweeps, self.dynamics.plant
        flight, _ = solver.refine(plant, flight, sweeps, PROPOSED, MARGIN)
        return flight.x[-1]


def cached_descents(folder: Path, system: System, config: DescentConfig) -> Descents:
    """The labels in `folder`, computed and saved if they are missing or of other settings.

    The first ones are drawn from the boxes. Hard ones, behind them, begin near none of those that
    validation keeps.
    """
    path = folder / LABELS_FILE
    settings = config.labels, config.hard_labels, config.validation_states, config.seed
    digest = system.fingerprint(*settings)
    kept = read_arrays(path, 'digest', *(field.name for field in fields(Descents)))
    if kept is not None and str(kept.pop('digest')) == digest:
        return Descents(**kept)
    with progress_bar(label='labels', total=config.labels + config.hard_labels) as bar:
        labels = solved_descents(
            system, config.labels, config.seed, lambda done: bar.update(done - bar.n)
        )
        learned = labels.rows(slice(config.validation_states, None))
        dearest = np.argsort(-learned.forces.sum((1, 2)))[: round(HARD * len(learned.x0))]
        if config.hard_labels > 0:
            nearby = descents_nearby(
                system,
                learned.rows(dearest),
                config.hard_labels,
                config.seed + 1,
                lambda done: bar.update(config.labels + done - bar.n),
            )
            labels = labels.and_(nearby)
    write_arrays(path, digest=np.array(digest), **vars(labels))
    return labels


def train(config: DescentConfig, command: str) -> None:
    """Runs the stage; `best_model.safetensors` in the output folder is its result."""
    pl.seed_everything(config.seed, verbose=False)
    steps = range(config.first_steps + config.joint_steps)
    fit(DescentTraining(config), config, steps, epochs=1, command=command)


def main(argv: Sequence[str] | None = None) -> None:
    """`python -m trc_core.training.descent_trainer`: trains a powered descent."""
    program = 'python -m trc_core.training.descent_trainer'
    with report_errors(program):
        train(parse(DescentConfig, program, argv), run_as_command(program, argv))


if __name__ == '__main__':
    main()
