"""What a training ends with: the controller beside its baselines, and whether it is worth having.

The table is short: it takes a minute or two, and the best plan of any row stands for the optimum.
`trc evaluate` makes the long one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from trc_core.checkpoint import load_checkpoint, save_checkpoint
from trc_core.evaluation.baselines import SHORT, planners
from trc_core.evaluation.evaluator import Evaluation, Planner, planned, scores_of
from trc_core.evaluation.problems import TEST_SEED, Problems, draw_problems
from trc_core.evaluation.reference import Optima
from trc_core.evaluation.verdict import verdict
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.progress import progress_bar
from trc_core.solvers.multistart import STARTS

STATES, SECONDS = 100, 60.0  # problems at most, and CPU time after which no other is begun
METRIC = 'beside its baselines'  # the figures in the metrics of a checkpoint
OPTIMUM = f'the best plan of all rows (one is of {STARTS} starts)'


@dataclass(frozen=True)
class Conclusion:
    """The short table of a controller, and the sentence that follows from it."""

    table: Evaluation
    sentence: str

    def __str__(self) -> str:
        return f'{self.table}\n{self.sentence}'

    def keep_in(self, path: Path) -> None:
        """Writes the figures into the metrics of a checkpoint."""
        table = self.table
        figures = {
            'states': table.states,
            'seed': table.seed,
            'scores': {label: asdict(scores) for label, scores in table.scores.items()},
            'verdict': self.sentence,
        }
        save_checkpoint(path, load_checkpoint(path).with_figures(METRIC, figures))


def conclude(
    controller: Controller,
    states: int = STATES,
    seconds: float = SECONDS,
    seed: int = TEST_SEED,
) -> Conclusion:
    """Scores a controller beside what needs no network, on problems of its plant.

    Args:
        controller: with a network.
        states: problems, at most.
        seconds: of CPU time, after which no further problem is begun.
        seed: of the problems.

    Raises:
        ValueError: if no row has a finite plan for any problem.
    """
    system = controller.system
    table = planners(controller, [controller.cycles], SHORT)
    problems = draw_problems(system, states, seed)
    plans, times = _plans(table, problems, seconds)
    optima = best_of_all(plans)
    solved = np.flatnonzero(optima.solved)
    if not len(solved):
        raise ValueError(f"no plan for any problem of '{system.name}' is finite")
    tried = problems.rows(np.isin(np.arange(states), solved))
    scores = {
        label: scores_of(
            system,
            [own[n] for n in solved],
            [times[label][n] for n in solved],
            tried,
            optima.rows(optima.solved),
        )
        for label, own in plans.items()
    }
    unsolved = len(optima.solved) - len(solved)
    found = Evaluation(
        system.name, scores, len(optima.solved), seed, STARTS, unsolved, optimum=OPTIMUM
    )
    return Conclusion(found, verdict(scores, f'trc, K = {controller.cycles}') or '')


def best_of_all(plans: Mapping[str, list[Plan]]) -> Optima:
    """The best plan of every problem by the merit, of the rows of a table."""
    merits = np.array([[plan.merit for plan in own] for own in plans.values()])  # (rows, N)
    merits = np.where(np.isfinite(merits), merits, np.inf)
    costs = np.array([[plan.cost for plan in own] for own in plans.values()])
    best, problem = merits.argmin(0), np.arange(merits.shape[1])
    merit = merits[best, problem]
    return Optima(costs[best, problem], merit, np.isfinite(merit))


def _plans(
    table: Mapping[str, Planner], problems: Problems, seconds: float
) -> tuple[dict[str, list[Plan]], dict[str, list[float]]]:
    """Plans of every row for as many problems as there is time for, and the time of each [s]."""
    plans: dict[str, list[Plan]] = {label: [] for label in table}
    times: dict[str, list[float]] = {label: [] for label in table}
    for planner in table.values():
        planned(planner, problems, 0)  # compiles, which counts for nobody
    until = time.process_time() + seconds
    with progress_bar(label='beside its baselines', total=len(problems.x0), leave=False) as bar:
        for i in range(len(problems.x0)):
            for label, planner in table.items():
                plan, spent = planned(planner, problems, i)
                plans[label].append(plan)
                times[label].append(spent)
            bar.update()
            if time.process_time() > until:
                break
    return plans, times
