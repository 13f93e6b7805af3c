"""Random starts of a plan that nothing came before: another way round is another optimum."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from trc_core.numerics.batch import memory_of
from trc_core.numerics.classical import FIRST_SWEEPS, START_SWEEPS
from trc_core.numerics.ilqr import Memory
from trc_core.numerics.random_controls import random_controls
from trc_core.numerics.representation import catching_law
from trc_core.numerics.rollout import Law, Trajectory, plain
from trc_core.planner.problems import Problems, room_for, take_best
from trc_core.planner.rows import Found
from trc_core.planner.stiffer import LONGER, STIFFER, stiffened
from trc_core.planner.sweeping import Sweeping
from trc_core.problem.system import Array, System

AT_ONCE = 8  # starts between two looks at the clock
GO_ON = 5  # of the best, that get the sweeps of a plan

Fly = Callable[[Problems, int, Law, Array, Trajectory], float]
"""Rolls out one problem of some by a law around v (T, n_u), into a trajectory; its merit."""


class RandomStarts:
    """Plans from random controls that an LQR catches near the goal, improved by sweeps.

    Each gets a few sweeps, and the best of them as many as a plan gets.

    Args:
        system: the plant.
        count: how many starts.
        sweeping: improves them.
        fly: rolls them out.
    """

    def __init__(self, system: System, count: int, sweeping: Sweeping, fly: Fly) -> None:
        self.system, self.count = system, count
        self._sweeping, self._fly = sweeping, fly

    def improve(self, found: Found, problems: Problems, memory: Memory, deadline: float) -> None:
        """Replaces plans, in place, by cheaper ones, as far as there is time."""
        for b in range(len(found.J)):
            tried = self._tried(problems, b, deadline)
            if tried is None:
                continue
            rows, own, left = tried
            longer = LONGER if self._sweeping.is_constrained else 1
            spent = self._sweeping.improve(own, rows, left, longer * FIRST_SWEEPS, deadline)
            found.cycles[b] += self.count * START_SWEEPS + int(spent.sum())
            take_best(found, memory, b, own, left)

    def _tried(
        self, problems: Problems, b: int, deadline: float
    ) -> tuple[Problems, Found, Memory] | None:
        """The best random starts of problem b after a few sweeps; None if there is no time."""
        law, trim = _catching(self.system, problems.r[b, -1].tobytes()), problems.trim
        x0, r = problems.x0[b], problems.r[b]
        key = np.frombuffer(x0.tobytes() + r[-1].tobytes(), dtype=np.uint32)
        rng, system = np.random.default_rng([0, *key]), self.system
        low, high = problems.bounds or (system.u_min, system.u_max)
        held = system.u_trim if trim is None else trim[b]
        kept: list[tuple[Found, Memory]] = []
        for first in range(0, self.count, AT_ONCE):
            if self._sweeping.watch.is_over(deadline):
                break
            count = min(AT_ONCE, self.count - first)
            rows, found = problems.repeated(b, count), room_for(system, count)
            for n in range(count):
                v = random_controls(rng, low, high, system.horizon) - held
                flown = Trajectory(found.x[n], found.u[n])
                found.J[n] = self._fly(rows, n, law, v, flown)
            memory = self._memory(first // AT_ONCE, found, rows)
            self._sweeping.improve(found, rows, memory, START_SWEEPS, deadline)
            kept.append((found, memory))
        if not kept:
            return None
        return self._best(problems, b, kept)

    def _memory(self, batch: int, found: Found, rows: Problems) -> Memory:
        """The memory of a batch of starts: under constraints their penalties take turns."""
        turn = batch % (1 + len(STIFFER))
        if turn == 0 or not self._sweeping.is_constrained:
            return memory_of(self.system, len(found.J))
        return stiffened(self._sweeping, found, rows, STIFFER[turn - 1])

    def _best(
        self, problems: Problems, b: int, kept: list[tuple[Found, Memory]]
    ) -> tuple[Problems, Found, Memory]:
        """The best of some batches."""
        found = Found._make(map(np.concatenate, zip(*(one for one, _ in kept), strict=True)))
        memory = Memory(*map(np.concatenate, zip(*(one for _, one in kept), strict=True)))
        merits = np.where(np.isfinite(found.J), found.J, math.inf)
        best = np.argsort(merits, kind='stable')[:GO_ON]
        rows = problems.repeated(b, len(best))
        return rows, Found._make(v[best] for v in found), Memory._make(v[best] for v in memory)


@lru_cache(maxsize=64)
def _catching(system: System, goal: bytes) -> Law:
    """The LQR that catches plans near a goal; none where the plant has none."""
    try:
        return catching_law(system, np.frombuffer(goal))
    except np.linalg.LinAlgError:
        return plain(np.zeros((system.horizon, system.n_u, system.n_x)))
