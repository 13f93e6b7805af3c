"""Training on the cost itself: no demonstrations, exact gradients, the loss on every cycle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from trc_core.command_line import report_errors
from trc_core.models.search import Latents, Search
from trc_core.models.simulation import Iterate
from trc_core.models.tiny_recursive_control import Problem
from trc_core.numerics.penalties import typical_penalties
from trc_core.numerics.plan import cost_ratio
from trc_core.numerics.representation import Coordinates
from trc_core.problem.softened import softened
from trc_core.problem.system import System
from trc_core.problem.terms import terms_of
from trc_core.problem.weighting import with_entries, with_values
from trc_core.solvers import ilqr, nlp
from trc_core.systems.draws import drawn_states
from trc_core.training.config import PlantConfig, parse, require, run_as_command
from trc_core.training.fitting import TrainingModule, fit
from trc_core.training.losses import CostWeights, refinement_loss
from trc_core.training.plants import (
    FamilyDynamics,
    PlantFamily,
    family_of,
    random_parameters,
    why_not_stabilised,
)
from trc_core.training.pool import Pool, PoolConfig

VALIDATION_SEED = 7_000_000  # seed of the states of the validation score; evaluation draws others
VALIDATION_PLANTS = 16  # of a family; IPOPT takes a tenth of a second to prepare for each
DIVERGED = 10.0  # times the best score, in the second half of a run


@dataclass(frozen=True)
class CostTrainingConfig(PlantConfig):
    """Settings of training on the cost of a system."""

    ranges: dict[str, list[float]] = field(default_factory=dict)
    """Parameters that the network takes as inputs, with their ranges, like {mu: [0.5, 1.5]}; of
    the weights Q, R and Q_f, those of factors on every diagonal entry."""
    ladder: Sequence[float] = (1.0,)
    """Factors of R of the LQR plans that refinement may start from; the first is 1."""
    effort: float = 1.0
    """Factor of R of the LQR about which plans are stabilised; more than 1 is gentler."""
    box: float = 1.0
    """Training states come from a box this many times as wide as the system's."""
    output_dir: str = 'outputs/cost'
    """Folder of checkpoints and logs."""
    steps: int = 4000
    """Optimiser steps."""
    batch_size: int = 64
    """Rows of the pool of plans under refinement."""
    window: int = 2
    """Cycles per step through which gradients flow."""
    carried_cycles: int = 6
    """Cycles that a plan stays in the pool before a new problem replaces it."""
    receding_share: float = 0.0
    """Share of the pool in closed loop: plans are shifted tick by tick, on perturbed plants."""
    cost_threshold: float = 2.0
    """Rows with a steeper (dimensionless) gradient than this count less, by ..."""
    cost_power: float = 1.0
    """... (threshold / gradient)^power."""
    harm: float = 0.1
    """A step is harmful where it raises J by more than this many s^2 ..."""
    harm_penalty: float = 3.0
    """... and is then made smaller by this weight of |o|^2, o being the network's output."""
    stiffness: float = 1.0
    """Factor of the penalties by which constraints enter the cost that is learned from."""
    validate_every: int = 500
    """Optimiser steps between two validations."""
    validation_states: int = 128
    """States whose refined plans a validation compares with the optimum."""
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, 'be at least 1', 'steps', 'batch_size', 'window')
        require(self, 'be at least 1', 'validate_every', 'validation_states')
        require(self, 'lie in [0, 1]', 'receding_share')
        require(self, 'be positive', 'box', 'cost_threshold', 'stiffness')
        require(self, 'not be negative', 'cost_power', 'harm', 'harm_penalty')
        if self.carried_cycles < 1 or self.carried_cycles % self.window:
            raise ValueError('carried_cycles must be a multiple of window')
        if self.ranges and self.representation == 'gated':
            raise ValueError("ranges go with the representations 'stabilised' and 'open_loop'")
        with_values(self.build_system(), {name: limits[0] for name, limits in self.limits.items()})

    def coordinates(self) -> Coordinates:
        ladder, system = tuple(self.ladder), self.build_system()
        penalties = tuple(self.stiffness * rho for rho in typical_penalties(system))
        goals = goals_of_trim(system)
        return Coordinates(self.representation, ladder, self.limits, self.effort, goals, penalties)

    @property
    def limits(self) -> dict[str, tuple[float, float]]:
        """`ranges` as pairs, those of weights for every entry.

        Raises:
            ValueError: if one is not a low and a higher number.
        """
        for name, limits in self.ranges.items():
            if len(limits) != 2 or not limits[0] < limits[1]:
                raise ValueError(f'the range of {name} must be [low, high], got {limits}')
        pairs = {name: (limits[0], limits[1]) for name, limits in self.ranges.items()}
        return with_entries(self.build_system(), pairs)

    @property
    def weights(self) -> CostWeights:
        """The weights of the loss."""
        return CostWeights(self.cost_threshold, self.cost_power, self.harm, self.harm_penalty)

    @property
    def pool(self) -> PoolConfig:
        """The settings of the pool of plans."""
        shares = self.carried_cycles // self.window
        return PoolConfig(self.batch_size, shares, self.receding_share, self.box)


@dataclass(frozen=True)
class Validation:
    """The problems of the validation score."""

    x0: Tensor
    """(B, n_x)."""
    goal: Tensor
    """(B, n_x)."""
    dynamics: FamilyDynamics
    optimum: Tensor
    """J* (B,), by IPOPT."""

    @classmethod
    def of(
        cls, plants: PlantFamily, drawn: System, count: int, rng: np.random.Generator
    ) -> Validation:
        """`count` problems of a system, assigned to the plants in turn."""
        x0, goal = drawn_states(drawn, rng, count)
        index = np.arange(count) % len(plants)
        solve = ilqr.solve if drawn.task.constraints else nlp.solve
        plans = [solve(plants.systems[n], a, b) for n, a, b in zip(index, x0, goal, strict=True)]
        optimum = torch.tensor([plan.cost for plan in plans], dtype=torch.float64)
        dynamics = plants.dynamics(torch.from_numpy(index))
        return cls(torch.from_numpy(x0), torch.from_numpy(goal), dynamics, optimum)


class CostTraining(TrainingModule):
    """Lightning module of the cost stage."""

    def __init__(self, config: CostTrainingConfig) -> None:
        system = config.build_system()
        super().__init__(config, config.build_network(system), system)
        self.config: CostTrainingConfig = config
        penalties = config.coordinates().penalties
        self.lowered = softened(system, penalties) if penalties else system
        """The system whose cost is lowered: the soft twin where there are constraints."""

    def on_fit_start(self) -> None:
        config, representation = self.config, self.model.representation
        family = family_of(config.limits, config.seed)
        self.plants = PlantFamily(self.lowered, representation, family)
        # a resumed run draws problems that the interrupted one has not seen
        seed = config.seed + 1000 * self.trainer.global_step + 1_000_000 * self.global_rank
        self.pool = Pool(self.plants, config.pool, seed, self.system)
        rng = np.random.default_rng(VALIDATION_SEED)
        count = min(VALIDATION_PLANTS, config.validation_states)
        parameters = random_parameters(config.limits, count, rng)
        plants = PlantFamily(self.lowered, representation, parameters)
        self.validation = Validation.of(plants, self.system, config.validation_states, rng)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Starts the new rows, refines all for a window of cycles, and steps the closed loops."""
        pool, model = self.pool, self.model
        rows = pool.renew()
        dynamics = self.plants.dynamics(pool.plant)
        problem = model.problem(pool.x0.clone(), pool.goal.clone(), dynamics=dynamics)
        plan, latents, loss = self._begin(problem.rows(rows), dynamics.rows(rows))
        loss = loss * (len(rows) / len(pool.x0))
        plan, latents = pool.start(rows, plan, latents)
        for _ in range(self.config.window):
            plan, latents, part = self._refine(problem, plan, latents, dynamics)
            loss = loss + part
        assert plan.cost is not None
        self.log('train/cost_over_lq', (plan.cost / problem.units.s**2).mean(), prog_bar=True)
        self.log('train/loss', loss)
        if not torch.isfinite(loss):
            self.fail(f'the loss is {loss.item()}')
        pool.store(plan, latents)
        pool.tick(model, dynamics)
        return loss

    def _begin(
        self, problem: Problem, dynamics: FamilyDynamics
    ) -> tuple[Iterate, Latents, Tensor]:
        """First plans of new problems and their loss: the best LQR start, or its correction."""
        model = self.model
        latents = model.initial_latents(problem)
        own = model.first_plans(problem, latents)
        candidates = model.candidates(problem, latents, dynamics)
        starts, proposals = candidates[: -len(own)], candidates[-len(own) :]
        before, _ = Search.of(problem, dynamics, starts, latents).best
        after, chosen = Search.of(problem, dynamics, candidates, latents).best
        losses = [
            refinement_loss(problem.units, before, step, proposal, after, self.config.weights)
            for step, proposal in zip(own, proposals, strict=True)
        ]
        return after, chosen, torch.stack(losses).mean()

    def _refine(
        self, problem: Problem, plan: Iterate, latents: Latents, dynamics: FamilyDynamics
    ) -> tuple[Iterate, Latents, Tensor]:
        """One guarded cycle with its loss, without sweeps, which would do the network's work."""
        x0, goal = problem.current_state, problem.target_state
        step, latents = self.model.propose(problem, plan, latents)
        proposal = dynamics.simulate(plan.v + step, x0, goal)
        after = dynamics.guard(plan, proposal, step, x0, goal)
        weights = self.config.weights
        loss = refinement_loss(problem.units, plan, step, proposal, after, weights)
        return after, latents, loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Mean J/J* of the default number of cycles on fixed states."""
        fixed = self.validation
        *_, (iterate, _) = self.model.refine(fixed.x0, fixed.goal, fixed.dynamics)
        assert iterate.cost is not None
        ratio = cost_ratio(iterate.cost, fixed.optimum)
        self.report(ratio.mean(), {'cost_ratio_mean': ratio.mean(), 'cost_ratio_max': ratio.max()})
        late = self.trainer.global_step > self.config.steps / 2
        if not math.isfinite(self.score):
            self.fail(f'the validation score is {self.score}')
        elif late and self.score > DIVERGED * self.best_score:
            self._stop(f'the validation score {self.score:.4g} is far above {self.best_score:.4g}')

    def _stop(self, reason: str) -> None:
        """Ends the run; the best checkpoint stays as it is."""
        self.trainer.should_stop = True
        step = self.trainer.global_step
        self.print(f'stopped at step {step}: {reason}; the best checkpoint before it is kept')


def goals_of_trim(system: System) -> tuple[str, ...]:
    """The states on whose goal u_trim depends: there the plant differs from goal to goal."""
    if system.trim is None:
        return ()
    if not isinstance(system.trim.law, str):
        terms = terms_of(f"u_trim of '{system.name}'", system.trim.law, system.signature)
        return tuple(system.state_names[i] for i in sorted(terms.graph.entries_read('r')))
    widths = zip(system.state_names, system.goal_box, strict=True)
    return tuple(name for name, width in widths if width > 0.0)


def train(config: CostTrainingConfig, command: str) -> None:
    """Runs the stage; `best_model.safetensors` in the output folder is its result.

    A plant that no LQR stabilises is trained with open-loop plans.
    """
    reason = why_not_stabilised(config.build_system())
    if reason is not None and config.representation != 'open_loop':
        print(f'{config.system}: {reason}; plans are open-loop instead')
        config = replace(config, representation='open_loop', effort=1.0)
    pl.seed_everything(config.seed, verbose=False)
    fit(CostTraining(config), config, range(config.steps), epochs=1, command=command)


def main(argv: Sequence[str] | None = None) -> None:
    """`python -m trc_core.training.cost_trainer`: trains on the cost of a system."""
    program = 'python -m trc_core.training.cost_trainer'
    with report_errors(program):
        train(parse(CostTrainingConfig, program, argv), run_as_command(program, argv))


if __name__ == '__main__':
    main()
