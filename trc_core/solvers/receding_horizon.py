"""Receding-horizon iLQR: the local method of model predictive control, warm-started."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trc_core.compile.kernels import compiled
from trc_core.numerics.ilqr import batch_improve
from trc_core.numerics.parallel import in_blocks
from trc_core.numerics.plan import Plan
from trc_core.numerics.riccati import finite_horizon_gains
from trc_core.numerics.rollout import continued, plain, rollout
from trc_core.problem.system import Array, System

ROWS_PER_THREAD = 32  # fewer are not worth waking a thread for


class IlqrMpc:
    """Box-iLQR from the last plan, shifted by one step and held by the LQR; stateless.

    Without a last plan it starts from the clipped LQR. All is bound and compiled once, so that a
    call costs little beyond its kernels: it is a baseline whose time is measured.

    Args:
        system: the model.
        sweeps: the most that a call may spend.
        first_sweeps: the most without a last plan; `sweeps` by default.
    """

    def __init__(self, system: System, sweeps: int, first_sweeps: int | None = None) -> None:
        self.system, self.sweeps = system, sweeps
        self.first_sweeps = sweeps if first_sweeps is None else first_sweeps
        self._law = plain(finite_horizon_gains(system)[0])
        self._rollout = compiled(rollout, system)
        self._continued = compiled(continued, system)
        self._improve = compiled(batch_improve, system)

    def __call__(self, x: Array, goal: Array, previous: Plan | None = None) -> Plan:
        """The plan from x (n_x,), given that of one step before."""
        last = None if previous is None else (previous.states[None], previous.controls[None])
        plan = self._plan(x[None], goal[None], last)
        return Plan(
            plan.controls[0],
            plan.states[0],
            float(plan.cost[0]),  # type: ignore[index]
            'ilqr',
            bool(plan.converged[0]),  # type: ignore[index]
            int(plan.cycles[0]),  # type: ignore[index]
        )

    def plan_batch(self, x: Array, goal: Array, previous: Plan | None = None) -> Plan:
        """The plans from the rows of x (B, n_x), on every core; all fields have a batch axis."""
        last = None if previous is None else (previous.states, previous.controls)
        return self._plan(x, goal, last)

    def _plan(self, x: Array, goal: Array, last: tuple[Array, Array] | None) -> Plan:
        """The plans of the rows of x, given `last`: states (B, T + 1, n_x) and controls."""
        system, numbers, law = self.system, self.system.arrays, self._law
        B, T = len(x), system.horizon
        # start: the last plan goes on from its second state; without one v = 0 is the LQR
        v = np.zeros((B, T, system.n_u))
        states, controls = np.empty((B, T + 1, system.n_x)), np.empty_like(v)
        for b in range(B):
            if last is not None:
                self._continued(numbers, law, last[0][b], last[1][b], goal[b], 1.0, v[b])
            self._rollout(numbers, law, v[b], x[b], goal[b], states[b], controls[b])
        # sweeps, which change states and controls in place
        sweeps = self.first_sweeps if last is None else self.sweeps
        J, spent, converged = np.empty(B), np.empty(B, np.int64), np.empty(B, np.bool_)

        def improve(rows: slice) -> None:
            self._improve(
                numbers,
                goal[rows],
                sweeps,
                states[rows],
                controls[rows],
                J[rows],
                spent[rows],
                converged[rows],
            )

        in_blocks(improve, B, ROWS_PER_THREAD)
        return Plan(controls, states, J, 'ilqr', converged, spent)  # type: ignore[arg-type]


def shifted(system: System, plan: Plan) -> Plan:
    """The plan from its second state on; one step with u_trim ends it."""
    states = np.vstack([plan.states[1:], system.step(plan.states[-1], system.u_trim)])
    return replace(plan, controls=np.vstack([plan.controls[1:], system.u_trim]), states=states)
