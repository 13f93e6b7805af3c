"""Stiffer penalties of constraints: another way to plans, where the first ones are too soft.

A penalty is chosen by what it costs a plan to keep off a constraint. Where little is to be lost by
running into one, the plan does so first, perhaps to where the dynamics are singular (a car beside
its track), and sweeps do not lead it back. Under stiffer penalties it never goes there.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trc_core.numerics.batch import memory_of
from trc_core.numerics.classical import FIRST_SWEEPS
from trc_core.numerics.ilqr import Memory
from trc_core.numerics.rollout import Trajectory
from trc_core.planner.problems import Problems, room_for, take_best
from trc_core.planner.rows import Found
from trc_core.planner.sweeping import Sweeping
from trc_core.problem.system import Array

STIFFER = (10.0, 100.0)  # times the penalties that sweeps would choose first
LONGER = 3  # times the sweeps of a plan: under stiff penalties each goes less far


def stiffened(sweeping: Sweeping, found: Found, problems: Problems, factor: float) -> Memory:
    """The memory of plans under penalties so many times those that sweeps would choose first."""
    count = len(found.J)
    chosen, memory = memory_of(sweeping.system, count), memory_of(sweeping.system, count)
    trial = found._replace(x=found.x.copy(), u=found.u.copy(), J=found.J.copy())
    sweeping.improve(trial, problems, chosen, 1, math.inf)
    memory.rho[:] = factor * chosen.rho
    return memory


class StifferStarts:
    """Plans from given starts under stiffer and stiffer penalties, until a good one is found.

    Args:
        sweeping: improves them.
    """

    def __init__(self, sweeping: Sweeping) -> None:
        self._sweeping, self.system = sweeping, sweeping.system

    def improve(
        self,
        found: Found,
        problems: Problems,
        memory: Memory,
        starts: tuple[Trajectory, Array],
        chosen: NDArray[np.bool_],
        deadline: float,
    ) -> None:
        """Replaces plans, in place, by cheaper ones, as far as there is time.

        Args:
            found: the plans (B).
            problems: theirs.
            memory: of the plans.
            starts: trajectories (B, N) and their merits (B, N).
            chosen: (B,) plans that shall be replaced.
            deadline: after which nothing is begun.
        """
        plans, merits = starts
        for b in np.flatnonzero(chosen).tolist():
            for factor in STIFFER:
                if self._sweeping.watch.is_over(deadline):
                    return
                own = Trajectory(plans.x[b], plans.u[b])
                if self._tried(found, problems, memory, own, merits[b], b, factor, deadline):
                    break

    def _tried(
        self,
        found: Found,
        problems: Problems,
        memory: Memory,
        plans: Trajectory,
        merits: Array,
        b: int,
        factor: float,
        deadline: float,
    ) -> bool:
        """Tries all starts of problem b; whether one got better and keeps the constraints."""
        count = len(merits)
        rows, own = problems.repeated(b, count), room_for(self.system, count)
        own.x[:], own.u[:], own.J[:] = plans.x, plans.u, merits
        left = stiffened(self._sweeping, own, rows, factor)
        spent = self._sweeping.improve(own, rows, left, LONGER * FIRST_SWEEPS, deadline)
        found.cycles[b] += int(spent.sum())
        best, is_cheaper = take_best(found, memory, b, own, left)
        if is_cheaper:
            found.start[b] = best
        violation = self._sweeping.violations(own, rows)[best, 1]
        keeps = violation <= self.system.constraint_tolerance
        return bool(keeps and own.J[best] < merits.min())
