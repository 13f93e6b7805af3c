"""Evidence of local optima: how often several starts find better plans than one does."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from trc_core.numerics.cost import WRONG_BASIN
from trc_core.numerics.riccati import finite_horizon_gains
from trc_core.numerics.rollout import plain
from trc_core.problem.system import Array, System
from trc_core.solvers.problem import Problem
from trc_core.solvers.starting_points import starting_points

STARTS = 12
SAMPLE = 50  # problems
BEATEN_ALLOWED = 0.02  # share of them on which several starts may win before they are needed
BEATEN_ENOUGH = 4  # wins that end the search
LADDER, LADDER_SWEEPS, STARTS_SWEEPS = (1.0, 10.0, 100.0), 200, 30


class Evidence(NamedTuple):
    """How often several starts beat one, on a fixed sample of problems."""

    beaten: int
    """Problems on which `STARTS` starts find a plan more than 2 % cheaper than sweeps from the
    LQR ladder do."""
    problems: int

    @property
    def share(self) -> float:
        """The beaten among the problems."""
        return self.beaten / self.problems

    @property
    def is_enough(self) -> bool:
        """Whether the problems have local optima that one start does not get over."""
        return self.share > BEATEN_ALLOWED

    def __str__(self) -> str:
        return (
            f'{STARTS} starts beat the sweeps from the LQR by more than {WRONG_BASIN - 1.0:.0%} '
            f'on {self.beaten} of {self.problems} states'
        )


@lru_cache(maxsize=16)
def evidence(system: System) -> Evidence:
    """Compares several starts with the LQR ladder on a fixed sample.

    The ladder are the clipped LQRs of R times 1, 10 and 100; sweeps improve all three, and the
    best counts. The starts get fewer sweeps, so that they win by what they found and not by
    where they converge. Parameters that have a range are drawn, problem by problem. A few
    problems that were beaten are evidence enough; no more are then tried.
    """
    rng = np.random.default_rng(0)
    x0, goal = system.sample(rng, SAMPLE)
    rows = system.sample_parameters(rng, SAMPLE)
    beaten, tried = 0, 0
    while tried < SAMPLE and beaten < BEATEN_ENOUGH:
        drawn = {name: float(rows[tried, system.places[name]]) for name in system.ranges}
        problem = Problem.of(system, x0[tried], goal[tried], drawn)
        ladder = _best(problem, _ladder(problem), LADDER_SWEEPS)
        several = _best(problem, _starts(problem), STARTS_SWEEPS)
        beaten += WRONG_BASIN * several < ladder
        tried += 1
    return Evidence(beaten, tried)


def _ladder(problem: Problem) -> list[Array]:
    """The controls (T, n_u) of the clipped LQRs, from eager to cautious."""
    system, still = problem.system, np.zeros_like(problem.trim)
    laws = [
        plain(finite_horizon_gains(replace(system, R=factor * system.R), problem.goal)[0])
        for factor in LADDER
    ]
    return [problem.fly(law, still)[1] for law in laws]


def _starts(problem: Problem) -> list[Array]:
    """The controls (T, n_u) of the starting points."""
    try:
        return [controls for _, _, controls in starting_points(problem, STARTS, 0)]
    except np.linalg.LinAlgError:  # no LQR catches random plans: the problem has none
        return [controls for _, _, controls in starting_points(problem, 2, 0)]


def _best(problem: Problem, starts: list[Array], sweeps: int) -> float:
    """The lowest merit that sweeps reach from some controls; inf if none is finite."""
    merits = []
    for controls in starts:
        states = np.tile(problem.x0, (len(controls) + 1, 1))
        merits.append(problem.improve(sweeps, states, controls.copy())[0])
    return float(np.min(merits, initial=np.inf, where=np.isfinite(merits)))
