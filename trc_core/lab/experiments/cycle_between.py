"""What a cycle of a network is worth between sweeps under constraints, if it is trained for it.

A network that ships proposes plans; a cycle is added to it, which sees a plan after a few sweeps,
its states and the slope of its merit, and learns the step to the best known plan. Everything else
is as it flies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trc_core.checkpoint import Checkpoint, load_checkpoint
from trc_core.compile.kernels import compiled
from trc_core.evaluation.problems import draw_problems
from trc_core.evaluation.reference import best_known_optima, keep, starts_needed
from trc_core.lab.experiments.frame import Figures
from trc_core.lab.experiments.learning import Budget, fit
from trc_core.lab.markdown import table
from trc_core.models.persistence import model_of
from trc_core.models.simulation import Iterate, SystemDynamics
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.network_config import TRCConfig
from trc_core.numerics.batch import memory_of
from trc_core.numerics.cost import WRONG_BASIN
from trc_core.numerics.ilqr import Memory, Outcome, batch_improve
from trc_core.numerics.plan import distinct
from trc_core.numerics.rollout import Trajectory, gradient, plain
from trc_core.planner.backend import KernelBackend, Problems
from trc_core.planner.starts import SAME
from trc_core.problem.system import Array, System
from trc_core.solvers.labels import Labels
from trc_core.solvers.library import library_labels
from trc_core.solvers.problem import Problem
from trc_core.training.hypothesis_trainer import LabelledProblems
from trc_core.training.losses import local_distance, robust_distance

SEED, BLOCK = 9_300_000, 20  # of the problems, those of the experiment `proposals`
BEFORE, TRIAL, LAST = 4, 12, 12  # sweeps before a cycle, on every start, and on the best then
STARTS = 5  # that are improved
BATCH, SHARPNESS, DISTANCE = 128, 5.0, 0.1
SEEN = {'H_cycles': 1, 'feedback': ['trajectory', 'gradient'], 'feedback_stride': 3}
PROPOSED, SWEPT, ONE_MORE = 'as proposed', f'{BEFORE} sweeps', f'{BEFORE + 1} sweeps'
CYCLED = f'{BEFORE} sweeps and a cycle'
WITHOUT, WITH = 'sweeps alone', f'a cycle after {BEFORE} sweeps'


@dataclass(frozen=True)
class Improved:
    """Some plans of one problem on their way."""

    problem: Problem
    plans: Trajectory
    """Rows of x (N, T + 1, n_x) and of u (N, T, n_u)."""
    memory: Memory
    outcome: Outcome

    @classmethod
    def of(cls, problem: Problem, x: Array, u: Array, merit: Array) -> Improved:
        """Plans before any sweep."""
        N = len(merit)
        outcome = Outcome(merit.copy(), np.zeros(N, np.int64), np.zeros(N, np.bool_))
        plans = Trajectory(x.copy(), u.copy())
        return cls(problem, plans, memory_of(problem.system, N), outcome)

    @property
    def merit(self) -> Array:
        """Of every plan (N,); infinite where it is not a number."""
        return np.where(np.isfinite(self.outcome.J), self.outcome.J, np.inf)

    def row(self, n: int) -> Improved:
        """One of them, a view."""
        one = slice(n, n + 1)
        plans = Trajectory(self.plans.x[one], self.plans.u[one])
        outcome = Outcome._make(values[one] for values in self.outcome)
        return Improved(self.problem, plans, self.memory.rows(one), outcome)

    def sweep(self, sweeps: int) -> None:
        """Spends sweeps on each, in place."""
        r = np.repeat(self.problem.r[None], len(self.outcome.J), 0)
        plant = self.problem.plant
        compiled(batch_improve)(plant, r, sweeps, 0.0, self.plans, self.memory, self.outcome)

    def slopes(self) -> Array:
        """The slope of the merit of every plan in its controls (N, T, n_u)."""
        problem, slopes = self.problem, np.zeros_like(self.plans.u)
        law = plain(np.zeros((*slopes.shape[1:], problem.system.n_x)))
        for n in range(len(slopes)):
            plan = Trajectory(self.plans.x[n], self.plans.u[n])
            v = plan.u - problem.trim
            compiled(gradient)(problem.plant, law, v, plan, problem.r, slopes[n])
        return slopes

    def take(self, n: int, controls: Array) -> bool:
        """Goes on with other controls (T, n_u) for plan n, if they have a smaller merit."""
        states, merit = self.problem.replay(controls)
        if not merit < self.outcome.J[n]:
            return False
        self.plans.x[n], self.plans.u[n], self.outcome.J[n] = states, controls, merit
        self.outcome.converged[n] = False
        return True


class Cycle:
    """A network that ships, with a cycle that learns.

    Args:
        checkpoint: of a network that only proposes.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        shipped = model_of(checkpoint)
        config = TRCConfig.from_record({**checkpoint.model, **SEEN})
        self.model = TinyRecursiveControl(config, shipped.representation)
        self.model.load_state_dict(shipped.state_dict(), strict=False)
        self.backend = KernelBackend(checkpoint, 'cpu', 1)
        self.system = checkpoint.system

    def started(self, problem: Problem, count: int) -> Improved:
        """The best proposals of a problem that differ, at most so many."""
        asked = Problems(problem.x0[None], problem.r[None], p=problem.p)
        plans, merit = self.backend.propose(asked)
        chosen = distinct(merit[0], count, SAME)
        return Improved.of(problem, plans.x[0, chosen], plans.u[0, chosen], merit[0, chosen])

    def learn(self, labels: Labels, steps: int) -> Figures:
        """Trains the step from plans after a few sweeps to those of labels."""
        system, model = self.system, self.model
        labelled = LabelledProblems.of(labels, SystemDynamics(model.representation, system))
        found = [self._nearest(system, labels, i) for i in range(len(labels.cost))]
        x, u, slope = (torch.from_numpy(np.array(values)) for values in zip(*found, strict=True))
        generator = torch.Generator().manual_seed(0)

        def loss() -> Tensor:
            rows = torch.randint(len(u), (BATCH,), generator=generator)
            own = labelled.rows(rows)
            plans = Iterate(u[rows], u[rows], x[rows], None, slope[rows])
            x0, goal, p = own.current_state, own.target_state, own.parameters
            step = self._step(x0, goal, p, plans)
            units = model.problem(x0, goal, parameters=p).units
            metric = units.metric(plans.v + step).float()[:, None]
            distance = local_distance(metric, own.plan, own.form.float(), own.held)
            return robust_distance(*distance, SHARPNESS, DISTANCE).mean()

        return fit(model, loss, Budget(steps))

    def _nearest(self, system: System, labels: Labels, i: int) -> tuple[Array, Array, Array]:
        """States, controls and slopes of the plan that is the nearest to a label after sweeps."""
        named = dict(zip(system.parameters, labels.parameters[i].tolist(), strict=True))
        plans = self.started(Problem.of(system, labels.x0[i], labels.goal[i], named), STARTS)
        plans.sweep(BEFORE)
        away = np.square(plans.plans.u - labels.controls[i]).sum((1, 2))
        one = plans.row(int(away.argmin()))
        return one.plans.x[0], one.plans.u[0], one.slopes()[0]

    def _step(self, x0: Tensor, goal: Tensor, p: Tensor, plans: Iterate) -> Tensor:
        """The steps (B, T, n_u) that the network proposes."""
        problem = self.model.problem(x0, goal, parameters=p)
        return self.model.propose(problem, plans, self.model.initial_latents(problem))[0]

    @torch.no_grad()
    def refine(self, improved: Improved) -> int:
        """One guarded cycle on every plan: the step, or a quarter of it; how many were taken."""
        problem, system = improved.problem, self.system
        x, u, slopes = map(torch.from_numpy, (*improved.plans, improved.slopes()))
        given = (problem.x0, problem.goal, problem.p)
        x0, goal, p = (torch.from_numpy(a).expand(len(u), -1) for a in given)
        step = self._step(x0, goal, p, Iterate(u, u, x, None, slopes)).numpy()
        taken = 0
        for n, change in enumerate(step):
            before = improved.plans.u[n].copy()
            shares = (np.clip(before + s * change, system.u_min, system.u_max) for s in (1, 0.25))
            taken += any(improved.take(n, controls) for controls in shares)
        return taken


def cycle_between(name: str, labels: int, steps: int, count: int, seed: int) -> Figures:
    """Figures of plans after sweeps, with a cycle between them and without.

    Args:
        name: a checkpoint that ships.
        labels: to learn from, of those that the network was trained with.
        steps: of the training.
        count: problems to judge by.
        seed: of them.
    """
    checkpoint = load_checkpoint(name)
    cycle = Cycle(checkpoint)
    system = cycle.system
    trained = cycle.learn(_labels(checkpoint, labels), steps)
    merits: dict[str, list[float]] = {}
    known: list[float] = []
    taken, tried = 0, 0
    for first in range(0, count, BLOCK):
        own_seed = SEED + 1000 * seed + first // BLOCK
        problems = draw_problems(system, min(BLOCK, count - first), own_seed)
        optima = best_known_optima(system, problems, starts_needed(system))
        known += np.where(optima.solved, optima.merit, np.nan).tolist()
        for i in range(len(problems.x0)):
            parameters = (problems.parameters or [{}])[i]
            problem = Problem.of(system, problems.x0[i], problems.goal[i], parameters)
            found, own, all_of = _ways(cycle, problem)
            taken, tried = taken + own, tried + all_of
            for label, merit in found.items():
                merits.setdefault(label, []).append(merit)
    solved = np.isfinite(known)
    best = np.minimum(known, np.min(list(merits.values()), 0))[solved]
    rows = {label: _row(np.array(found)[solved] / best) for label, found in merits.items()}
    return {**trained, 'problems': int(solved.sum()), 'taken': taken / tried, 'rows': rows}


def _labels(checkpoint: Checkpoint, count: int) -> Labels:
    """The first of the labels that a network was trained with."""
    system, training = checkpoint.system, checkpoint.training
    every, seed = training['config']['labels'], training['seed']
    known = keep(
        system, 'labels', [every, seed], lambda: vars(library_labels(system, every, seed))
    )
    return Labels(**{name: values[:count] for name, values in known.items()})


def _ways(cycle: Cycle, problem: Problem) -> tuple[dict[str, float], int, int]:
    """The best merit after each way, and of how many plans how many took the cycle."""
    found: dict[str, float] = {}
    alone, beside = cycle.started(problem, STARTS), cycle.started(problem, STARTS)
    found[PROPOSED] = float(alone.merit.min())
    for plans in (alone, beside):
        plans.sweep(BEFORE)
    found[SWEPT] = float(alone.merit.min())
    taken = cycle.refine(beside)
    found[CYCLED] = float(beside.merit.min())
    alone.sweep(1)
    found[ONE_MORE] = float(alone.merit.min())
    for label, plans, sweeps in (
        (WITHOUT, alone, TRIAL - BEFORE - 1),
        (WITH, beside, TRIAL - BEFORE),
    ):
        plans.sweep(sweeps)
        best = plans.row(int(plans.merit.argmin()))
        best.sweep(LAST)
        found[label] = float(best.merit[0])
    return found, taken, len(beside.merit)


def _row(ratio: Array) -> dict[str, float]:
    return {
        'M wrong': float((ratio > WRONG_BASIN).mean()),
        'median': float(np.median(ratio)),
        'p90': float(np.quantile(ratio, 0.9)),
    }


def section(figures: Figures) -> str:
    """The table."""
    heads = ['best of the plans', 'M wrong', 'median M/M*', 'p90']
    rows: Mapping[str, Mapping[str, float]] = figures['rows']
    lines: Sequence[list[str]] = [
        [label, f'{row["M wrong"]:.1%}', f'{row["median"]:.4f}', f'{row["p90"]:.4f}']
        for label, row in rows.items()
    ]
    return table(heads, lines)


def sentence(figures: Figures) -> str:
    """What came of it."""
    rows = figures['rows']
    ours, theirs, more = (rows[label] for label in (CYCLED, SWEPT, ONE_MORE))
    without, beside = (figures['problems'] * rows[way]['M wrong'] for way in (WITHOUT, WITH))
    by_chance = 2.0 * max(without, beside) ** 0.5
    verdict = 'it helps' if without - beside > by_chance else 'no more than chance explains'
    return (
        f'A cycle learned for {figures["steps"]} steps from plans after {BEFORE} sweeps. It '
        f'lowered the merit of {figures["taken"]:.0%} of the plans. The best of them then has a '
        f'median M/M* of {ours["median"]:.4f}, where it was {theirs["median"]:.4f} before, and '
        f'{more["median"]:.4f} after one more sweep instead. In the end plans are M wrong on '
        f'{rows[WITH]["M wrong"]:.1%} with the cycle and on {rows[WITHOUT]["M wrong"]:.1%} '
        f'without, of {figures["problems"]} problems: {verdict}.'
    )
