"""Evidence for the stage: how often several starts beat the controller without a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from trc_core.numerics import classical
from trc_core.numerics.cost import WRONG_BASIN
from trc_core.numerics.riccati import finite_horizon_gains
from trc_core.numerics.rollout import plain
from trc_core.problem.system import Array, System
from trc_core.solvers.problem import Problem
from trc_core.solvers.starting_points import starting_points
from trc_core.systems.draws import drawn_problem

STARTS, SWEEPS = 12, 30
SAMPLE = 50  # problems
BEATEN_ALLOWED = 0.02  # share of them on which several starts may win before they are needed
BEATEN_ENOUGH = 4  # wins that end the search
SECONDS = 15.0  # CPU time after which no further problem is tried
SEED = 0  # of the sample

Flown = tuple[Array, Array, float]
"""States (T + 1, n_x), controls (T, n_u) and merit."""


class Evidence(NamedTuple):
    """How often several starts beat the classical controller, on a fixed sample of problems."""

    beaten: int
    """Problems on which `STARTS` starts find a plan more than 2 % cheaper."""
    problems: int
    """Problems that were tried."""

    @property
    def share(self) -> float:
        """The beaten among the problems."""
        return self.beaten / self.problems

    @property
    def is_enough(self) -> bool:
        """Whether the problems have local optima that the classical controller ends in."""
        return self.share > BEATEN_ALLOWED

    def __str__(self) -> str:
        return (
            f'{STARTS} starts beat the classical controller by more than '
            f'{WRONG_BASIN - 1.0:.0%} on {self.beaten} of {self.problems} problems'
        )


@lru_cache(maxsize=16)
def evidence(system: System) -> Evidence:
    """Compares several starts with the classical controller, which needs no network.

    That one flies the LQR ladder, u_trim held and the laws of the plant; a few sweeps improve the
    best of them, and more sweeps the best of those (`trc_core.numerics.classical`). The several
    starts get fewer sweeps each, so that they win by what they found and not by where they
    converge. Problems are drawn as training draws them: parameters from their ranges, and no start
    beyond a constraint. A few problems that were beaten are evidence enough, and after `SECONDS`
    of CPU time the problems so far are.

    Raises:
        ValueError: if every start that is drawn violates a constraint.
    """
    rng, ladder = np.random.default_rng(SEED), _ladder(system)
    beaten, tried, until = 0, 0, np.inf
    while tried < SAMPLE and beaten < BEATEN_ENOUGH and time.process_time() < until:
        problem = Problem.of(system, *drawn_problem(system, rng))
        with np.errstate(all='ignore'):  # a plan may leave what numbers can hold: it loses
            beaten += WRONG_BASIN * several_starts(problem) < classical_plan(problem, ladder)
        tried += 1
        if tried == 1:  # which compiled: not counted
            until = time.process_time() + SECONDS
    return Evidence(beaten, tried)


def classical_plan(problem: Problem, ladder: Iterable[Callable[[Problem], Flown]]) -> float:
    """The merit of the plan that the classical controller finds; inf if none is finite."""
    starts = [*_flown(problem, ladder), problem.hold_trim(), *problem.fly_laws().values()]
    best = sorted(starts, key=lambda start: _finite(start[2]))[: classical.STARTS]
    found = []
    for _, controls, merit in best:
        after, controls = _improved(problem, controls, classical.START_SWEEPS)
        found.append((min(_finite(merit), after), controls))
    merit, controls = min(found, key=lambda one: one[0])
    return min(merit, _improved(problem, controls, classical.FIRST_SWEEPS)[0])


def several_starts(problem: Problem) -> float:
    """The lowest merit that a few sweeps reach from several starts; inf if none is finite."""
    merits = (_improved(problem, controls, SWEEPS)[0] for controls in _starts(problem))
    return min(merits, default=np.inf)


def _ladder(system: System) -> list[Callable[[Problem], Flown]]:
    """The clipped LQRs, from eager to cautious, as functions that fly a problem."""

    def rung(factor: float) -> Callable[[Problem], Flown]:
        weighted = replace(system, R=factor * system.R)

        def fly(problem: Problem) -> Flown:
            law = plain(finite_horizon_gains(weighted, problem.goal)[0])
            return problem.fly(law, np.zeros_like(problem.trim))

        return fly

    return [rung(factor) for factor in classical.LADDER]


def _flown(problem: Problem, ladder: Iterable[Callable[[Problem], Flown]]) -> Iterator[Flown]:
    """What the LQRs of the ladder do, as far as the plant has them."""
    for fly in ladder:
        try:
            yield fly(problem)
        except np.linalg.LinAlgError:
            continue


def _starts(problem: Problem) -> Iterator[Array]:
    """The controls (T, n_u) of the starting points, as far as the plant has them."""
    try:
        for _, _, controls in starting_points(problem, STARTS):
            yield controls
    except np.linalg.LinAlgError:  # no LQR catches random plans
        return


def _improved(problem: Problem, controls: Array, sweeps: int) -> tuple[float, Array]:
    """The merit after sweeps, inf where it is not finite, and the controls."""
    states, controls = np.tile(problem.x0, (len(controls) + 1, 1)), controls.copy()
    return _finite(problem.improve(sweeps, states, controls)[0]), controls


def _finite(merit: float) -> float:
    return merit if np.isfinite(merit) else np.inf
