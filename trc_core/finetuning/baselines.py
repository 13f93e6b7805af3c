"""Baselines of a tuned controller: LQR and iLQR-MPC, for batches, and a known delay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trc_core.finetuning.flights import Planner
from trc_core.numerics.batch import BatchRollout
from trc_core.numerics.batch_step import BatchStep
from trc_core.numerics.plan import Plan
from trc_core.numerics.riccati import finite_horizon_gains
from trc_core.numerics.rollout import plain
from trc_core.problem.system import Array, System

FIRST_SWEEPS = 100


class LqrFleet:
    """The clipped LQR, as a planner of one step."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._K = finite_horizon_gains(system)[0][0]

    def __call__(
        self, x: Array, goal: Array, plan: Plan | None, commands: Sequence[Array]
    ) -> Plan:
        """Plans (B, 1, n_u)."""
        u = self.system.u_trim - (x - goal) @ self._K.T
        u = np.clip(u, self.system.u_min, self.system.u_max)
        return Plan(u[:, None], x[:, None], np.nan, 'lqr')


class IlqrFleet:
    """Box-iLQR from the shifted last plan; from the clipped LQR, to convergence, at first.

    Args:
        system: the model.
        sweeps: spent on every plan but the first.
    """

    def __init__(self, system: System, sweeps: int) -> None:
        self.system, self._sweeps = system, sweeps
        self._K = finite_horizon_gains(system)[0]
        self._flights = BatchRollout([system], [plain(self._K)])

    def __call__(
        self, x: Array, goal: Array, plan: Plan | None, commands: Sequence[Array]
    ) -> Plan:
        """Plans (B, T, n_u)."""
        B, T, n_u = len(x), self.system.horizon, self.system.n_u
        v, sweeps = np.zeros((B, T, n_u)), FIRST_SWEEPS
        if plan is not None:
            error = plan.states[:, 1:-1] - goal[:, None]
            feedback = np.einsum('tij,btj->bti', self._K[:-1], error)
            v[:, :-1] = plan.controls[:, 1:] - self.system.u_trim + feedback
            sweeps = self._sweeps
        flown = self._flights.simulate(v, x, goal)
        flown = self._flights.sweep(flown.states, flown.controls, goal, sweeps)
        return Plan(flown.controls, flown.states, flown.cost, 'ilqr')  # type: ignore[arg-type]


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
