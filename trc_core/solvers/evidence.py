"""Evidence for the stage: how often several starts beat the controller without a network."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from trc_core.numerics import classical
from trc_core.numerics.cost import WRONG_BASIN
from trc_core.problem.system import Array, System
from trc_core.solvers.problem import Problem
from trc_core.solvers.starting_points import starting_points
from trc_core.systems.draws import drawn_problem

STARTS, SWEEPS = 12, 30
SAMPLE = 50  # problems
BEATEN_ALLOWED = 0.02  # share of them on which several starts may win before they are needed
BEATEN_ENOUGH = 4  # wins that end the search
WORK = 5e6  # instructions of roll-outs, one a problem: at most some 15 s of CPU time
FEWEST = 12  # problems, however long their dynamics
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
    beyond a constraint. A few problems that were beaten are evidence enough. Of plants with long
    dynamics fewer problems are tried; how many does not depend on the machine.

    Raises:
        ValueError: if every start that is drawn violates a constraint.
    """
    rng, most = np.random.default_rng(SEED), _sample(system)
    beaten, tried = 0, 0
    while tried < most and beaten < BEATEN_ENOUGH:
        problem = Problem.of(system, *drawn_problem(system, rng))
        with np.errstate(all='ignore'):  # a plan may leave what numbers can hold: it loses
            beaten += WRONG_BASIN * several_starts(problem) < classical_plan(problem)
        tried += 1
    return Evidence(beaten, tried)


def _sample(system: System) -> int:
    """How many problems are tried, so that the work is bounded."""
    instructions = len(system.graph.instructions) * system.substeps * system.horizon
    return int(np.clip(WORK / instructions, FEWEST, SAMPLE))


def classical_plan(problem: Problem) -> float:
    """The merit of the plan that the classical controller finds; inf if none is finite."""
    starts = [problem.hold_trim(), *problem.fly_laws().values()]
    starts += problem.fly_ladder(classical.LADDER)
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
