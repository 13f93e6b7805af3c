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
        system, T = self.system, self.system.horizon
        states, controls = np.empty((1, T + 1, system.n_x)), np.empty((1, T, system.n_u))
        self._start(x, goal, previous, states[0], controls[0])
        J, spent, converged = np.empty(1), np.empty(1, np.int64), np.empty(1, np.bool_)
        sweeps = self.first_sweeps if previous is None else self.sweeps
        self._improve(system.arrays, goal[None], sweeps, states, controls, J, spent, converged)
        return Plan(controls[0], states[0], float(J[0]), 'ilqr', bool(converged[0]), int(spent[0]))

    def plan_batch(self, x: Array, goal: Array, previous: Plan | None = None) -> Plan:
        """The plans from the rows of x (B, n_x), on every core; all fields have a batch axis."""
        system, B, T = self.system, len(x), self.system.horizon
        states, controls = np.empty((B, T + 1, system.n_x)), np.empty((B, T, system.n_u))
        J, spent, converged = np.empty(B), np.empty(B, np.int64), np.empty(B, np.bool_)
        sweeps = self.first_sweeps if previous is None else self.sweeps

        def improve(rows: slice) -> None:
            for b in range(B)[rows]:
                last = previous
                if previous is not None:
                    x_last, u_last = previous.states[b], previous.controls[b]
                    last = replace(previous, states=x_last, controls=u_last)
                self._start(x[b], goal[b], last, states[b], controls[b])
            self._improve(
                system.arrays,
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

    def _start(
        self, x: Array, goal: Array, last: Plan | None, states: Array, controls: Array
    ) -> None:
        """Fills the trajectory of the last plan from its second state on, or of the LQR."""
        numbers, v = self.system.arrays, np.zeros(controls.shape)
        if last is not None:
            self._continued(numbers, self._law, last.states, last.controls, goal, 1.0, v)
        self._rollout(numbers, self._law, v, x, goal, states, controls)


def shifted(system: System, plan: Plan) -> Plan:
    """The plan from its second state on; one step with u_trim ends it."""
    states = np.vstack([plan.states[1:], system.step(plan.states[-1], system.u_trim)])
    return replace(plan, controls=np.vstack([plan.controls[1:], system.u_trim]), states=states)
