"""Labels where local optima abound: box-iLQR from many starts and from the neighbours' plans.

Every state starts from the clipped LQR and from random plans. Then optima spread: in every round
a state also starts from the best plans of its nearest neighbours, followed with the gains of
iLQR around them, until no state finds anything better.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trc_core.compile.kernels import compiled
from trc_core.numerics.plan import Plan
from trc_core.numerics.representation import is_odd
from trc_core.numerics.rollout import Trajectory
from trc_core.problem.system import Array, System
from trc_core.solvers.evidence import evidence
from trc_core.solvers.kernels import batch_follow
from trc_core.solvers.problem import Problem
from trc_core.solvers.starting_points import AGREEMENT, starting_points

STARTS, SWEEPS = 12, 300
ROUNDS, NEIGHBOURS = 4, 4


def solve(
    system: System,
    x0: ArrayLike,
    goal: ArrayLike,
    starts: int = STARTS,
    seed: int = 0,
    parameters: Mapping[str, float] | None = None,
) -> Plan:
    """The best plan, by the merit, that box-iLQR finds from several `starting_points`.

    Args:
        system: the plant.
        x0: initial state (n_x,).
        goal: goal state (n_x,), or a reference (T + 1, n_x).
        starts: how many, at least 1: the clipped LQR, the laws of the plant, a straight line,
            then random plans.
        seed: of the random plans.
        parameters: those that differ from the system's own, by name.

    Returns:
        The best plan; `converged` says whether its own sweeps did, `cycles` counts those of all
        starts, `candidates` holds the merit of every start.

    Raises:
        ValueError: if a shape is wrong, a parameter is unknown or `starts` is less than 1.
    """
    return _best_plans([Problem.of(system, x0, goal, parameters)], starts, seed, rounds=0)[0]


def solve_batch(
    system: System,
    x0: ArrayLike,
    goal: ArrayLike,
    starts: int = STARTS,
    seed: int = 0,
    rounds: int = ROUNDS,
) -> list[Plan]:
    """`solve` for every row of x0 (B, n_x) and goal (B, n_x), then `rounds` of sharing.

    Returns:
        One plan a row. The neighbours' plans stand among the `candidates`, by round.
    """
    rows = zip(np.atleast_2d(x0), np.atleast_2d(goal), strict=True)
    return _best_plans([Problem.of(system, a, b) for a, b in rows], starts, seed, rounds)


def _best_plans(problems: list[Problem], starts: int, seed: int, rounds: int) -> list[Plan]:
    if starts < 1:
        raise ValueError(f'starts is {starts}, expected at least 1')
    pool = _Pool(problems)
    for batch in zip(*(starting_points(one, starts, seed) for one in problems), strict=True):
        names, states, controls = zip(*batch, strict=True)
        pool.improve(names[0], np.array(states), np.array(controls))
    for number in range(1, rounds + 1):
        enough = pool.merit * (1.0 - AGREEMENT)
        for rank, nearest in enumerate(pool.neighbours(NEIGHBOURS).T, start=1):
            pool.follow(f'neighbour {rank} in round {number}', nearest)
        if np.all(pool.merit >= enough):
            break
    return pool.plans()


def is_needed(system: System) -> bool:
    """Whether one start cannot be trusted: several find better plans from some states."""
    return evidence(system).is_enough


class _Pool:
    """The best plans so far for a batch of problems of one plant."""

    def __init__(self, problems: list[Problem]) -> None:
        system, B = problems[0].system, len(problems)
        self.problems, self.system = problems, system
        self.states = np.zeros((B, system.horizon + 1, system.n_x))
        self.controls = np.zeros((B, system.horizon, system.n_u))
        self.merit = np.full(B, np.inf)
        self.converged = np.zeros(B, dtype=np.bool_)
        self.cycles = np.zeros(B, dtype=np.int64)
        self.candidates: list[dict[str, float]] = [{} for _ in range(B)]

    def improve(self, name: str, states: Array, controls: Array) -> None:
        """Improves controls (B, T, n_u) from states[:, 0], and keeps what is better."""
        for b, problem in enumerate(self.problems):
            merit, spent, converged = problem.improve(SWEEPS, states[b], controls[b])
            self.cycles[b] += spent
            if np.isfinite(merit):
                self.candidates[b][name] = merit
            if merit < self.merit[b]:  # never where it is NaN
                self.merit[b], self.converged[b] = merit, converged
                self.states[b], self.controls[b] = states[b], controls[b]

    def follow(self, name: str, nearest: NDArray[np.int64]) -> None:
        """Starts every row from the plan of another one; rows B to 2 B are mirrored plans."""
        B = len(self.problems)
        mirror, row = np.where(nearest < B, 1.0, -1.0)[:, None, None], nearest % B
        leaders = Trajectory(mirror * self.states[row], mirror * self.controls[row])
        states, controls = np.empty_like(self.states), np.empty_like(self.controls)
        states[:, 0] = [problem.x0 for problem in self.problems]
        for b, problem in enumerate(self.problems):
            one, leader = slice(b, b + 1), Trajectory(leaders.x[b][None], leaders.u[b][None])
            plans = Trajectory(states[one], controls[one])
            compiled(batch_follow)(problem.plant, problem.r[None], leader, plans)
        self.improve(name, states, controls)

    def neighbours(self, count: int) -> NDArray[np.int64]:
        """(B, at most count) rows of the nearest problems; see `follow` for mirrored ones."""
        system, B = self.system, len(self.problems)
        width = np.concatenate([system.x0_box, system.goal_box])
        points = np.array([[*problem.x0, *problem.goal] for problem in self.problems])
        here = points / np.where(width > 0.0, width, 1.0)
        mirrored = is_odd(system) and system.task.is_plain
        there = np.vstack([here, -here]) if mirrored else here
        others = max(0, min(count, len(there) - 1))
        nearest = np.empty((B, others), dtype=np.int64)
        for b in range(B):  # one row at a time: the memory of all distances grows with B^2
            distance = np.square(there - here[b]).sum(-1)
            distance[b] = np.inf
            nearest[b] = np.argsort(distance, kind='stable')[:others]
        return nearest

    def plans(self) -> list[Plan]:
        """The best of each row."""
        return [
            problem.plan(
                self.controls[b],
                self.states[b],
                float(self.merit[b]),
                'multistart',
                bool(self.converged[b]),
                int(self.cycles[b]),
                self.candidates[b],
            )
            for b, problem in enumerate(self.problems)
        ]
