"""Supervised training on a dataset of optimal trajectories, with a loss on every cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from trc_core.command_line import report_errors
from trc_core.data.trajectories import find_dataset, load_arrays
from trc_core.data.trajectory_dataset import TrajectoryDataset
from trc_core.models.plan_representation import PlanRepresentation, Units
from trc_core.models.simulation import Iterate, SystemDynamics
from trc_core.numerics.plan import cost_ratio
from trc_core.systems import System, get_system
from trc_core.systems.robot_task import DEFAULT_TASK, RobotTask
from trc_core.training.config import NetworkConfig, parse, require, run_as_command
from trc_core.training.fitting import TrainingModule, fit
from trc_core.training.losses import CostWeights, imitation_loss, process_loss

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class SupervisedConfig(NetworkConfig):
    """Settings of supervised training."""

    data_dir: str = 'data/double_integrator_lqr'
    """Folder (or file) of the dataset; the system is the one recorded in it."""
    system: str = ''
    """The system's file, needed where only a file defines it."""
    task: RobotTask = DEFAULT_TASK
    """Task of a robot that is given by its URDF or MJCF."""
    output_dir: str = 'outputs/supervised'
    """Folder of checkpoints and logs."""
    epochs: int = 100
    """Passes over the dataset."""
    batch_size: int = 64
    """Samples per optimiser step."""
    validation_share: float = 0.1
    """Share of the samples kept for validation."""
    supervision: str = 'imitation'
    """imitation: every cycle's plan is compared with the expert's; process: every cycle's plan is
    scored by its own cost J, on the dataset's states."""
    representation: str = 'open_loop'
    feedback: Sequence[str] = ('trajectory',)
    num_heads: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, 'be at least 1', 'epochs', 'batch_size')
        if self.supervision not in SUPERVISION:
            raise ValueError(
                f"unknown supervision '{self.supervision}'; choose from {sorted(SUPERVISION)}"
            )


def imitation(
    representation: PlanRepresentation, batch: Batch, units: Units, plans: Sequence[Iterate]
) -> Tensor:
    """Distance of every cycle's plan to the expert's."""
    return imitation_loss(units, [plan.v for plan in plans], expert_plan(representation, batch))


def process(
    representation: PlanRepresentation, batch: Batch, units: Units, plans: Sequence[Iterate]
) -> Tensor:
    """Cost of the first plan and of every cycle's."""
    return process_loss(units, plans, CostWeights())


SUPERVISION = {'imitation': imitation, 'process': process}


class SupervisedTraining(TrainingModule):
    """Lightning module of the supervised stage."""

    def __init__(self, config: SupervisedConfig, system: System) -> None:
        super().__init__(config, config.build_network(system), system)
        self.loss = SUPERVISION[config.supervision]

    def on_fit_start(self) -> None:
        self.dynamics = SystemDynamics(self.model.representation, self.system)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of the first plan and of every cycle."""
        batch = self._with_trims(batch)
        plans, units = self._unguarded_plans(batch)
        loss = self.loss(self.model.representation, batch, units, plans)
        self.log('train/loss', loss, prog_bar=True)
        return loss

    def _with_trims(self, batch: Batch) -> Batch:
        """The batch with the controls `trim` that hold its goals."""
        return {**batch, 'trim': self.dynamics.trims(batch['target_state'].double())}

    def _unguarded_plans(self, batch: Batch) -> tuple[list[Iterate], Units]:
        """The first plan and that of every cycle, unguarded, and their units.

        The guard is left out: a cycle whose step it would reject must be trained as well.
        """
        model, dynamics = self.model, self.dynamics
        x0, goal = batch['current_state'], batch['target_state']
        problem = model.problem(x0, goal)
        latents = model.initial_latents(problem)
        plans = [dynamics.simulate(model.first_plans(problem, latents)[0], x0, goal)]
        for _ in range(model.config.cycles):
            step, latents = model.propose(problem, plans[-1], latents)
            plans.append(dynamics.simulate(plans[-1].v + step, x0, goal))
        return plans, problem.units

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Mean J/J* of the refined plans on the held-out samples, J* being the dataset's."""
        batch = self._with_trims(batch)
        x0, goal = batch['current_state'], batch['target_state']
        *_, (iterate, _) = self.model.refine(x0, goal, self.dynamics)
        expert = self.dynamics.simulate(expert_plan(self.model.representation, batch), x0, goal)
        assert iterate.cost is not None and expert.cost is not None
        ratio = cost_ratio(iterate.cost, expert.cost)
        self.report(ratio.mean(), {'cost_ratio_mean': ratio.mean(), 'cost_ratio_max': ratio.max()})


def expert_plan(representation: PlanRepresentation, batch: Batch) -> Tensor:
    """The expert's v (B, T, n_u): v_t = u_t - trim + K_t (x_t - goal).

    The trim of the batch is that of the representation, u_trim, where it has none.
    """
    error = batch['states'][:, :-1].double() - batch['target_state'].double()[:, None]
    feedback = torch.einsum('tij,btj->bti', representation.K, error)
    return batch['controls'].double() - batch.get('trim', representation.u_trim) + feedback


def train(config: SupervisedConfig, command: str) -> None:
    """Runs the stage; `best_model.safetensors` in the output folder is its result."""
    pl.seed_everything(config.seed, verbose=False)
    plant = get_system(config.system, **config.task.words) if config.system else None
    data = load_arrays(find_dataset(config.data_dir, config.system), system=plant)
    if data.duration is not None:
        raise ValueError(
            f"the trajectories of '{config.data_dir}' have a free duration, which this stage "
            'cannot tell a network; --stage descent trains landers, with labels of its own'
        )
    if data.parameters is not None and (data.parameters != data.system.p).any():
        raise ValueError(
            f"the samples of '{config.data_dir}' differ in their parameters, which this stage "
            'cannot tell a network; use --stage hypotheses, which makes labels of its own'
        )
    training, validation = (
        TrajectoryDataset(data, split, config.validation_share)
        for split in ('train', 'validation')
    )
    generator = torch.Generator().manual_seed(config.seed)
    fit(
        SupervisedTraining(config, training.system),
        config,
        DataLoader(training, config.batch_size, shuffle=True, generator=generator),
        epochs=config.epochs,
        command=command,
        validation=DataLoader(validation, len(validation)),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """`python -m trc_core.training.supervised_trainer`: learns on a dataset of optima."""
    program = 'python -m trc_core.training.supervised_trainer'
    with report_errors(program):
        train(parse(SupervisedConfig, program, argv), run_as_command(program, argv))


if __name__ == '__main__':
    main()
