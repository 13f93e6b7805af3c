"""Baselines of a tuned controller: LQR and iLQR-MPC of many flights at once, and a known delay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trc_core.finetuning.flights import Planner
from trc_core.numerics.batch import BatchStep
from trc_core.numerics.cost import difference
from trc_core.numerics.plan import Plan
from trc_core.numerics.riccati import finite_horizon_gains
from trc_core.problem.system import Array, System
from trc_core.solvers.receding_horizon import IlqrMpc

FIRST_SWEEPS = 100


def clipped_lqr(system: System) -> Planner:
    """The clipped LQR, as a planner of one step."""
    K = finite_horizon_gains(system)[0][0]

    def planner(x: Array, goal: Array, plan: Plan | None, commands: Sequence[Array]) -> Plan:
        u = np.clip(system.u_trim - difference(system, x, goal) @ K.T, system.u_min, system.u_max)
        return Plan(u[:, None], x[:, None], np.nan, 'lqr')

    return planner


def ilqr_mpc(system: System, sweeps: int) -> Planner:
    """Receding-horizon iLQR with so many sweeps a tick; to convergence at first."""
    mpc = IlqrMpc(system, sweeps, FIRST_SWEEPS)
    return lambda x, goal, plan, commands: mpc.plan_batch(x, goal, plan)


class DelayCompensation:
    """Planner with the delay known: it plans from the state in which a command will act.

    Args:
        planner: plans from there.
        system: the model, which predicts.
        ticks: the delay.
    """

    def __init__(self, planner: Planner, system: System, ticks: int) -> None:
        self._planner, self._ticks = planner, ticks
        self._step, self._trim = BatchStep(system), system.u_trim

    def __call__(
        self, x: Array, goal: Array, plan: Plan | None, commands: Sequence[Array]
    ) -> Plan:
        """The plans from the predicted states."""
        waiting = [np.tile(self._trim, (len(x), 1))] * self._ticks + list(commands)
        for u in waiting[len(waiting) - self._ticks :]:
            x = self._step(x, u)
        return self._planner(x, goal, plan, commands)
