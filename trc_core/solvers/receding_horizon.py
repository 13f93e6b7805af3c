"""Receding-horizon iLQR: the local method of model predictive control, warm-started."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.compile.plant import Plant, with_problem
from trc_core.numerics.batch import empty_trajectory, memory_of
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.ilqr import Outcome, batch_improve
from trc_core.numerics.parallel import in_blocks
from trc_core.numerics.plan import Plan
from trc_core.numerics.riccati import finite_horizon_gains
from trc_core.numerics.rollout import Trajectory, plain, rollout, row, shift
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
        self._plant = plant_of(system)
        self._rollout, self._shift = compiled(rollout), compiled(shift)
        self._improve = compiled(batch_improve)

    def __call__(self, x: Array, goal: Array, previous: Plan | None = None) -> Plan:
        """The plan from x (n_x,), given that of one step before."""
        plans, outcome, r = self._empty(goal[None])
        last = None if previous is None else Trajectory(previous.states, previous.controls)
        outcome.J[0] = self._start(x, r[0], last, row(plans, 0))
        memory = memory_of(self.system, 1)
        plant = self._plant_for(r[0])
        self._improve(plant, r, self._sweeps(previous), 0.0, plans, memory, outcome)
        J, spent, converged = (values[0] for values in outcome)
        return Plan(plans.u[0], plans.x[0], float(J), 'ilqr', bool(converged), int(spent))

    def plan_batch(self, x: Array, goal: Array, previous: Plan | None = None) -> Plan:
        """The plans from the rows of x (B, n_x), on every core; all fields have a batch axis."""
        plans, outcome, r = self._empty(goal)
        last = None if previous is None else Trajectory(previous.states, previous.controls)

        def improve(rows: slice) -> None:
            for b in range(len(x))[rows]:
                outcome.J[b] = self._start(x[b], r[b], last and row(last, b), row(plans, b))
            for part in [rows] if self.system.trim is None else _one_by_one(rows, len(x)):
                own = Trajectory(plans.x[part], plans.u[part])
                memory = memory_of(self.system, len(own.u))
                results = Outcome(outcome.J[part], outcome.spent[part], outcome.converged[part])
                plant, sweeps = self._plant_for(r[part][0]), self._sweeps(previous)
                self._improve(plant, r[part], sweeps, 0.0, own, memory, results)

        in_blocks(improve, len(x), ROWS_PER_THREAD)
        fields: Any = {'cost': outcome.J, 'converged': outcome.converged, 'cycles': outcome.spent}
        return Plan(plans.u, plans.x, source='ilqr', **fields)

    def _sweeps(self, previous: Plan | None) -> int:
        return self.first_sweeps if previous is None else self.sweeps

    def _empty(self, goal: Array) -> tuple[Trajectory, Outcome, Array]:
        """Arrays for the plans to goals (B, n_x), and the references."""
        B = len(goal)
        outcome = Outcome(np.empty(B), np.zeros(B, np.int64), np.zeros(B, np.bool_))
        reference = constant_reference(goal, self.system.horizon)
        return empty_trajectory(self.system, B), outcome, reference

    def _start(self, x: Array, r: Array, last: Trajectory | None, plan: Trajectory) -> float:
        """Fills the trajectory of the last plan from its second state on, or of the LQR.

        Returns:
            Its merit.
        """
        v, plant = np.zeros(plan.u.shape), self._plant_for(r)
        if last is not None:
            self._shift(plant, self._law, last, r, 1.0, v)
        return float(self._rollout(plant, self._law, v, x, r, plan))

    def _plant_for(self, r: Array) -> Plant:
        """The plant with the trim of a reference r (T + 1, n_x)."""
        if self.system.trim is None:
            return self._plant
        trim = np.ascontiguousarray(self.system.trims(r[:-1]))
        plant: Plant = with_problem(self._plant, self.system.p, trim)
        return plant


def _one_by_one(rows: slice, count: int) -> list[slice]:
    """The rows of a slice of `count` rows, each as a slice."""
    return [slice(b, b + 1) for b in range(count)[rows]]


def shifted(system: System, plan: Plan) -> Plan:
    """The plan from its second state on; one step with u_trim ends it."""
    states = np.vstack([plan.states[1:], system.step(plan.states[-1], system.u_trim)])
    return replace(plan, controls=np.vstack([plan.controls[1:], system.u_trim]), states=states)
