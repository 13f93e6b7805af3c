"""Plans of one problem side by side: flown, improved by sweeps, sorted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trc_core.compile.kernels import compiled
from trc_core.numerics.batch import empty_trajectory, memory_of
from trc_core.numerics.ilqr import Memory, Outcome, batch_improve, batch_replay
from trc_core.numerics.rollout import Trajectory
from trc_core.problem.system import Array, System
from trc_core.solvers.problem import Problem


@dataclass(frozen=True)
class Plans:
    """S plans of one problem."""

    states: Array
    """(S, T + 1, n_x)."""
    controls: Array
    """(S, T, n_u)."""
    merit: Array
    """(S,); infinite where a plan has left what numbers can hold."""
    memory: Memory
    """What the sweeps of each left: gains, multipliers and penalties."""
    converged: NDArray[np.bool_]
    """(S,)."""

    @classmethod
    def begun(cls, system: System, states: Array, controls: Array, merit: Array) -> Plans:
        """Plans before any sweep: states (S, T + 1, n_x), controls (S, T, n_u), merits (S,)."""
        S = len(merit)
        finite = np.where(np.isfinite(merit), merit, np.inf)
        return cls(states, controls, finite, memory_of(system, S), np.zeros(S, np.bool_))

    def rows(self, rows: NDArray[np.int64]) -> Plans:
        """Copies of some of the plans."""
        memory = Memory(*(values[rows] for values in self.memory))
        return Plans(
            self.states[rows], self.controls[rows], self.merit[rows], memory, self.converged[rows]
        )

    def joined(self, others: Plans) -> Plans:
        """These plans and others behind them."""

        def both(a: Array, b: Array) -> Array:
            return np.concatenate([a, b])

        memory = Memory(*(both(a, b) for a, b in zip(self.memory, others.memory, strict=True)))
        return Plans(
            both(self.states, others.states),
            both(self.controls, others.controls),
            both(self.merit, others.merit),
            memory,
            np.concatenate([self.converged, others.converged]),
        )

    def best_first(self) -> Plans:
        """Copies, sorted by merit; without those that diverged, unless all did."""
        merit = np.where(np.isfinite(self.merit), self.merit, np.inf)
        order = np.argsort(merit, kind='stable')
        finite = order[np.isfinite(merit[order])]
        return self.rows(finite if len(finite) else order[:1])


def rolled_out(problem: Problem, controls: Array) -> Plans:
    """The flights of controls (S, T, n_u) inside the bounds."""
    states, S = empty_trajectory(problem.system, len(controls)).x, len(controls)
    plans, merit = Trajectory(states, np.ascontiguousarray(controls)), np.empty(S)
    states[:, 0] = problem.x0
    compiled(batch_replay)(problem.plant, _references(problem, S), plans, merit)
    return Plans.begun(problem.system, plans.x, plans.u, merit)


def improved(problem: Problem, plans: Plans, sweeps: int) -> Plans:
    """The plans after so many more sweeps at most, which go on with their memory.

    The arrays of the plans that are given are worked on in place.
    """
    S = len(plans.merit)
    outcome = Outcome(plans.merit, np.zeros(S, np.int64), np.zeros(S, np.bool_))
    rows = Trajectory(plans.states, plans.controls)
    r = _references(problem, S)
    compiled(batch_improve)(problem.plant, r, sweeps, 0.0, rows, plans.memory, outcome)
    return Plans(plans.states, plans.controls, outcome.J, plans.memory, outcome.converged)


def _references(problem: Problem, S: int) -> Array:
    return np.tile(problem.r, (S, 1, 1))
