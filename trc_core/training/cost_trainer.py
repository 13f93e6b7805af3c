"""Training on the cost itself: no demonstrations, exact gradients, the loss on every cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from trc_core.command_line import report_errors
from trc_core.models.plan_representation import Units
from trc_core.models.search import Latents, Search
from trc_core.models.simulation import Iterate, SystemDynamics, replace_rows
from trc_core.models.tiny_recursive_control import Problem
from trc_core.solvers import nlp
from trc_core.systems import System, get_system
from trc_core.training.fitting import Fitting, NetworkConfig, fit, parse, run_as_command
from trc_core.training.losses import cost_loss

VALIDATION_SEED = 7_000_000  # states of the progress figure; evaluation draws others


@dataclass(frozen=True)
class CostTrainingConfig(NetworkConfig):
    """How a controller is trained on the cost of its system."""

    system: str = 'van_der_pol'
    """Name of the plant, or the path of a .py file that defines it."""
    parameters: dict[str, float] = field(default_factory=dict)
    """Physical parameters that differ from the system's own; `--set mu=0.7` for short."""
    output_dir: str = 'outputs/cost'
    """Where checkpoints and logs go."""
    steps: int = 8000
    """Optimiser steps."""
    batch_size: int = 128
    """Rows of the pool of plans under refinement."""
    window: int = 2
    """Cycles per step through which gradients flow."""
    carried_cycles: int = 10
    """Cycles that a plan lives in the pool before it is replaced by a new problem."""
    cost_threshold: float = 2.0
    """Rows with a steeper (dimensionless) gradient than this count less."""
    cost_power: float = 1.0
    """How much less: (threshold / gradient)^power."""
    validate_every: int = 500
    """Optimiser steps between two validations."""
    validation_states: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.carried_cycles % self.window:
            raise ValueError('carried_cycles must be a multiple of window')
        self.build_system()

    def build_system(self) -> System:
        """The plant, with the parameters asked for."""
        return get_system(self.system).with_parameters(**self.parameters)


class Pool:
    """Plans under refinement; a share of them is replaced by new problems at every step."""

    def __init__(self, system: System, size: int, shares: int, seed: int) -> None:
        self.system = system
        self.shares = shares
        self.rng = np.random.default_rng(seed)
        self.current_state, self.target_state = self._sample(size)
        self.iterate: Iterate | None = None
        self.latents: Latents = ()
        self.steps = 0

    def _sample(self, n: int) -> tuple[Tensor, Tensor]:
        x0, goal = self.system.sample(self.rng, n)
        return torch.from_numpy(x0), torch.from_numpy(goal)

    def renew(self) -> Tensor:
        """Draws new problems for the next share of rows; returns their index (N,)."""
        rows = torch.arange(len(self.current_state))
        if self.iterate is not None:
            rows = rows[self.steps % self.shares :: self.shares]
            self.current_state[rows], self.target_state[rows] = self._sample(len(rows))
        self.steps += 1
        return rows

    def store(self, iterate: Iterate, latents: Latents) -> None:
        """Keeps the refined plans for the next step, without their history."""
        self.iterate = Iterate(*(None if a is None else a.detach() for a in iterate))  # type: ignore[arg-type]
        self.latents = tuple(z.detach() for z in latents)


class CostTraining(Fitting):
    """Lightning module of the cost stage."""

    def __init__(self, config: CostTrainingConfig) -> None:
        system = config.build_system()
        super().__init__(config, config.build_network(system), system)
        self.config: CostTrainingConfig = config

    def on_fit_start(self) -> None:
        config = self.config
        self.dynamics = SystemDynamics(self.model.representation, self.system)
        # a resumed run goes on with problems that the interrupted one has not seen
        seed = config.seed + 1000 * self.trainer.global_step
        shares = config.carried_cycles // config.window
        self.pool = Pool(self.system, config.batch_size, shares, seed)
        rng = np.random.default_rng(VALIDATION_SEED)
        x0, goal = self.system.sample(rng, config.validation_states)
        plans = [nlp.solve(self.system, a, b) for a, b in zip(x0, goal, strict=True)]
        self.optimum = torch.tensor([plan.cost for plan in plans])
        self.validation = torch.from_numpy(x0), torch.from_numpy(goal)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Starts the new rows, then refines every row for a window of cycles."""
        pool, model, dynamics = self.pool, self.model, self.dynamics
        rows = pool.renew()
        problem = model.problem(pool.current_state, pool.target_state)
        iterate, latents, loss = self._start(rows, problem.rows(rows))
        states = problem.current_state, problem.target_state
        for _ in range(self.config.window):
            step, latents = model.propose(problem, iterate, latents)
            proposal = dynamics.simulate(iterate.v + step, *states)
            loss = loss + self._loss(proposal, problem.units)
            iterate = dynamics.guard(iterate, proposal, step, *states)
        pool.store(iterate, latents)
        assert iterate.cost is not None
        self.log('train/cost_over_lq', (iterate.cost / problem.units.s**2).mean(), prog_bar=True)
        return loss

    def _start(self, rows: Tensor, problem: Problem) -> tuple[Iterate, Latents, Tensor]:
        """First plans and latents of the new rows, beside the carried ones of the others."""
        pool, model = self.pool, self.model
        latents = model.initial_latents(problem)
        candidates = model.candidates(problem, latents, self.dynamics)
        loss = self._loss(candidates[-1], problem.units)
        fresh, latents = Search.of(problem, self.dynamics, candidates, latents).best
        if pool.iterate is None:
            return fresh, latents, loss
        merged = tuple(
            old.index_put((rows,), new) for old, new in zip(pool.latents, latents, strict=True)
        )
        return replace_rows(pool.iterate, rows, fresh), merged, loss

    def _loss(self, proposal: Iterate, units: Units) -> Tensor:
        return cost_loss(units, proposal, self.config.cost_threshold, self.config.cost_power)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Mean J/J* of the default number of cycles on fixed states."""
        *_, (iterate, _) = self.model.refine(*self.validation, self.dynamics)
        assert iterate.cost is not None
        ratio = iterate.cost / self.optimum
        self.report(ratio.mean(), {'cost_ratio_mean': ratio.mean(), 'cost_ratio_max': ratio.max()})


def train(config: CostTrainingConfig, command: str) -> None:
    """Runs the stage; `best_model.safetensors` in the output folder is its result."""
    pl.seed_everything(config.seed, verbose=False)
    fit(CostTraining(config), config, range(config.steps), epochs=1, command=command)


def main(argv: Sequence[str] | None = None) -> None:
    """`trc train`: trains a controller on the cost of its system."""
    with report_errors('trc train'):
        train(parse(CostTrainingConfig, 'trc train', argv), run_as_command('trc train', argv))


if __name__ == '__main__':
    main()
