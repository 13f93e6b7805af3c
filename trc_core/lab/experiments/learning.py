"""Short trainings for comparisons, with one optimiser, schedule and set of problems."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from trc_core.lab.experiments.frame import Figures
from trc_core.lab.experiments.judging import States, alone, never
from trc_core.models.plan_representation import Units, for_system
from trc_core.models.simulation import SystemDynamics
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.numerics.representation import Coordinates
from trc_core.problem.system import Array, System
from trc_core.training.losses import CostWeights, cost_loss, process_loss

WARMUP = 0.05  # share of a training in which the rate rises
CLIP = 1.0  # largest norm of the gradient
WEIGHTS = CostWeights()
Loss = Callable[[], Tensor]


@dataclass(frozen=True)
class Budget:
    """Budget of a training: a number of steps, or of seconds of this process's CPU time."""

    steps: float = math.inf
    cpu_seconds: float = math.inf

    def progress(self, steps: int, cpu_seconds: float) -> float:
        """The share that is used up."""
        return max(steps / self.steps, cpu_seconds / self.cpu_seconds)


def fit(network: nn.Module, loss: Loss, budget: Budget, learning_rate: float = 2e-3) -> Figures:
    """AdamW with a warm-up and a cosine down to zero, as `trc train`; steps and CPU seconds."""
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        trained, learning_rate, betas=(0.9, 0.98), weight_decay=1e-4, fused=True
    )
    torch.set_num_threads(1)
    network.train()
    began, steps, spent = time.process_time(), 0, 0.0
    while (progress := budget.progress(steps, spent)) < 1:
        for group in optimiser.param_groups:
            group['lr'] = learning_rate * _rate(progress)
        optimiser.zero_grad()
        loss().backward()
        nn.utils.clip_grad_norm_(trained, CLIP)
        optimiser.step()
        steps, spent = steps + 1, time.process_time() - began
    network.eval()
    return {'steps': steps, 'cpu_seconds': spent}


def _rate(progress: float) -> float:
    warmed = min(1.0, progress / WARMUP + 0.01)
    return warmed * 0.5 * (1 + math.cos(math.pi * progress))


class FreshStates:
    """Problems drawn anew at every call."""

    def __init__(self, system: System, batch: int, seed: int) -> None:
        self.system, self.batch = system, batch
        self.rng = np.random.default_rng(seed)

    def __call__(self) -> States:
        """x0 and goal (B, n_x)."""
        x0, goal = self.system.sample(self.rng, self.batch)
        return torch.from_numpy(x0), torch.from_numpy(goal)


class StoredStates:
    """Rows of a dataset, drawn at random."""

    def __init__(self, x0: Array, goal: Array, batch: int, seed: int) -> None:
        self.x0, self.goal = torch.from_numpy(x0), torch.from_numpy(goal)
        self.batch = batch
        self.rng = np.random.default_rng(seed)

    def __call__(self) -> States:
        """x0 and goal (B, n_x)."""
        rows = self.rows()
        return self.x0[rows], self.goal[rows]

    def rows(self) -> Tensor:
        """The index of the next rows (B,)."""
        return torch.from_numpy(self.rng.integers(len(self.x0), size=self.batch))


Supervision = Callable[[TinyRecursiveControl, SystemDynamics, States], Tensor]


def every_cycle(model: TinyRecursiveControl, dynamics: SystemDynamics, states: States) -> Tensor:
    """J of the first plan and of every cycle; gradients pass through all cycles."""
    plans = [plan for plan, _ in alone(model, dynamics, states, model.config.cycles)]
    return process_loss(_units(model, states), plans, WEIGHTS)


def every_cycle_detached(
    model: TinyRecursiveControl, dynamics: SystemDynamics, states: States
) -> Tensor:
    """J of the first plan and of every cycle; gradients stop after the first cycle and later."""
    history = alone(model, dynamics, states, model.config.cycles, lambda cycle: cycle > 0)
    return process_loss(_units(model, states), [plan for plan, _ in history], WEIGHTS)


def last_cycle(model: TinyRecursiveControl, dynamics: SystemDynamics, states: States) -> Tensor:
    """J of the last plan alone; gradients pass through all cycles."""
    *_, (plan, _) = alone(model, dynamics, states, model.config.cycles, never)
    return cost_loss(_units(model, states), plan, WEIGHTS)


def last_cycle_truncated(
    model: TinyRecursiveControl, dynamics: SystemDynamics, states: States
) -> Tensor:
    """J of the last plan alone; gradients pass through the last cycle only, as in TRM."""
    last = model.config.cycles - 1
    *_, (plan, _) = alone(model, dynamics, states, last + 1, lambda cycle: cycle == last)
    return cost_loss(_units(model, states), plan, WEIGHTS)


def _units(model: TinyRecursiveControl, states: States) -> Units:
    x0, goal = states
    return model.problem(x0, goal).units


def train(
    model: TinyRecursiveControl,
    system: System,
    draw: Callable[[], States],
    budget: Budget,
    supervise: Supervision = every_cycle,
) -> Figures:
    """Trains a network on the cost J of the plans that it makes alone."""
    dynamics = SystemDynamics(model.representation, system)
    supervise(model, dynamics, draw()).backward()  # compiles outside the measured time
    return fit(model, lambda: supervise(model, dynamics, draw()), budget)


def network(
    system: System, representation: str, seed: int, **choices: object
) -> TinyRecursiveControl:
    """Fresh model with reproducible weights; `choices` are `TRCConfig` fields."""
    torch.manual_seed(seed)
    coordinates = for_system(system, Coordinates(representation))
    return TinyRecursiveControl.for_system(system, coordinates, **choices)
