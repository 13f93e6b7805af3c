"""Labels where local optima abound: box-iLQR from many starts and from the neighbours' plans.

Every state starts from the clipped LQR and from random plans. Then optima spread: in every round
a state also starts from the best plans of its nearest neighbours, followed with the gains of
iLQR around them, until no state finds anything better.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.numerics.batch import improve_rows
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.plan import Plan
from trc_core.numerics.representation import is_odd
from trc_core.numerics.rollout import Trajectory
from trc_core.problem.system import Array, System
from trc_core.solvers.evidence import evidence
from trc_core.solvers.kernels import batch_follow
from trc_core.solvers.replay import state_vector
from trc_core.solvers.starting_points import AGREEMENT, starting_points

STARTS, SWEEPS = 12, 300
ROUNDS, NEIGHBOURS = 4, 4


def solve(
    system: System, x0: ArrayLike, goal: ArrayLike, starts: int = STARTS, seed: int = 0
) -> Plan:
    """The best plan that box-iLQR finds from several `starting_points`.

    Args:
        system: the plant.
        x0: initial state (n_x,).
        goal: goal state (n_x,).
        starts: how many, at least 1: the clipped LQR, a straight line, then random plans.
        seed: of the random plans.

    Returns:
        The best plan; `converged` says whether its own sweeps did, `cycles` counts those of all
        starts, `candidates` holds J of every start.

    Raises:
        ValueError: if a shape is wrong or `starts` is less than 1.
    """
    x0, goal = state_vector(system, 'x0', x0), state_vector(system, 'goal', goal)
    return solve_batch(system, x0[None], goal[None], starts, seed, rounds=0)[0]


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
    if starts < 1:
        raise ValueError(f'starts is {starts}, expected at least 1')
    pool = _Pool(system, np.array(x0, dtype=np.float64), np.array(goal, dtype=np.float64))
    points = [
        starting_points(system, a, b, starts, seed)
        for a, b in zip(pool.x0, pool.goal, strict=True)
    ]
    for batch in zip(*points, strict=True):
        names, _, controls = zip(*batch, strict=True)
        pool.improve(names[0], np.array(controls))
    for number in range(1, rounds + 1):
        enough = pool.cost * (1.0 - AGREEMENT)
        for rank, nearest in enumerate(pool.neighbours(NEIGHBOURS).T, start=1):
            pool.follow(f'neighbour {rank} in round {number}', nearest)
        if np.all(pool.cost >= enough):
            break
    return pool.plans()


def is_needed(system: System) -> bool:
    """Whether one start cannot be trusted: several find better plans from some states."""
    return evidence(system).is_enough


class _Pool:
    """The best plans so far for a batch of problems."""

    def __init__(self, system: System, x0: Array, goal: Array) -> None:
        B, T = len(x0), system.horizon
        self.system, self.x0, self.goal = system, x0, goal  # x0, goal: (B, n_x)
        self.states = np.zeros((B, T + 1, system.n_x))
        self.controls = np.zeros((B, T, system.n_u))
        self.cost = np.full(B, np.inf)
        self.converged = np.zeros(B, dtype=np.bool_)
        self.cycles = np.zeros(B, dtype=np.int64)
        self.candidates: list[dict[str, float]] = [{} for _ in range(B)]

    def improve(self, name: str, controls: Array) -> None:
        """Improves controls (B, T, n_u) and keeps what is better."""
        self._consider(name, None, controls)

    def follow(self, name: str, nearest: NDArray[np.int64]) -> None:
        """Starts every row from the plan of another one; rows B to 2 B are mirrored plans."""
        mirror = np.where(nearest < len(self.cost), 1.0, -1.0)[:, None, None]
        row = nearest % len(self.cost)
        self._consider(name, mirror * self.states[row], mirror * self.controls[row])

    def _consider(self, name: str, followed: Array | None, controls: Array) -> None:
        """Improves controls, or what follows their states `followed`; keeps what is better."""
        plans = Trajectory(np.empty_like(self.states), controls)
        plans.x[:, 0] = self.x0
        r = constant_reference(self.goal, self.system.horizon)
        if followed is not None:
            leaders = Trajectory(followed, controls.copy())
            compiled(batch_follow)(plant_of(self.system), r, leaders, plans)
        J, spent, converged = improve_rows(self.system, r, SWEEPS, plans)
        better = np.less(J, self.cost)  # never where J is NaN
        for ours, theirs in (
            (self.states, plans.x),
            (self.controls, plans.u),
            (self.cost, J),
            (self.converged, converged),
        ):
            ours[better] = theirs[better]
        self.cycles += spent
        for row in np.flatnonzero(np.isfinite(J)):
            self.candidates[row][name] = float(J[row])

    def neighbours(self, count: int) -> NDArray[np.int64]:
        """(B, at most count) rows of the nearest problems; see `follow` for mirrored ones."""
        system, B = self.system, len(self.cost)
        width = np.concatenate([system.x0_box, system.goal_box])
        here = np.hstack([self.x0, self.goal]) / np.where(width > 0.0, width, 1.0)
        there = np.vstack([here, -here]) if is_odd(system) else here
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
            Plan(
                self.controls[b],
                self.states[b],
                float(self.cost[b]),
                'multistart',
                bool(self.converged[b]),
                int(self.cycles[b]),
                self.candidates[b],
            )
            for b in range(len(self.cost))
        ]
