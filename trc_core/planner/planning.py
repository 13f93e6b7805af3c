"""Planning: candidates and refinement by a backend, warm starts, polishing; problems in rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.compile import binding
from trc_core.compile.kernels import compiled, is_compiled
from trc_core.compile.plant import Plant
from trc_core.numerics.ilqr import Outcome, batch_improve
from trc_core.numerics.plan import Plan
from trc_core.numerics.rollout import Law, Trajectory, rollout
from trc_core.planner.backend import Problems
from trc_core.planner.backends import BACKENDS
from trc_core.planner.clock import now
from trc_core.planner.correction import Correction, Observation
from trc_core.planner.inputs import History
from trc_core.planner.kernels import Budget, Found, Requests, shift_rows
from trc_core.problem.system import Array

PREDICTION_TOLERANCE = 0.1  # half-widths of the training box between a state and its prediction


class Solution(NamedTuple):
    """Solutions of B problems, and where they come from."""

    found: Found
    names: tuple[str, ...]
    """The candidates, in the order of `found.starts`."""
    uncorrected: Array | None = None
    """Cost (B,) before a fine-tuned controller corrected the plans."""
    observation: Observation | None = None

    def plan(self, warnings: tuple[str, ...]) -> Plan:
        """The plan of a single problem."""
        found, start = self.found, int(self.found.start[0])
        J = float(found.J[0])
        starts = found.starts[0].tolist()
        candidates = dict(zip(self.names, starts, strict=True))
        before = J
        if self.uncorrected is not None:
            candidates['uncorrected'] = before = float(self.uncorrected[0])
        return Plan(
            found.u[0],
            found.x[0],
            J,
            'refined' if starts[start] > before else self.names[start],
            math.isfinite(J),
            int(found.cycles[0]),
            candidates,
            warnings,
            self.observation,
        )

    def plans(self, warnings: tuple[str, ...]) -> Plan:
        """The plans of all: every field but the warnings has a leading axis B."""
        found, candidates = self.found, dict(zip(self.names, self.found.starts.T, strict=True))
        before = found.J
        if self.uncorrected is not None:
            candidates['uncorrected'] = before = self.uncorrected
        refined = found.starts[np.arange(len(found.J)), found.start] > before
        rows: Any = {
            'cost': found.J,
            'source': np.where(refined, 'refined', np.array(self.names)[found.start]),
            'converged': np.isfinite(found.J),
            'cycles': found.cycles,
            'candidates': candidates,
        }
        return Plan(found.u, found.x, warnings=warnings, observation=self.observation, **rows)


class Planning:
    """Solves problems for one plant, row by row.

    Args:
        checkpoint: the network and its plant.
        backend: a key of `BACKENDS`.
        device: where it runs.
        num_threads: the most that a batch may use; every core by default.
    """

    correction: Correction | None = None

    def __init__(
        self, checkpoint: Checkpoint, backend: str, device: str, num_threads: int | None
    ) -> None:
        self.system, self.representation = checkpoint.system, checkpoint.representation
        self.backend = BACKENDS[backend](checkpoint, device, num_threads)
        self._readable = backend == 'numpy'
        bind = _as_it_is if self._readable else compiled
        self._rollout, self._shift_rows = bind(rollout), bind(shift_rows)
        self._improve = bind(batch_improve)
        self._plant_of = binding.readable_plant_of if self._readable else binding.plant_of
        box = self.system.x0_box + self.system.goal_box
        self._prediction_tolerance = PREDICTION_TOLERANCE * box

    @property
    def kernels(self) -> list[Callable[..., Any]]:
        """Every kernel that planning calls."""
        return [self._rollout, self._shift_rows, self._improve, *self.backend.kernels]

    @property
    def is_compiled(self) -> bool:
        """Whether planning can start at once: machine code of plant and kernels is there."""
        if self._readable:
            return True
        return binding.is_compiled(self.system) and all(map(is_compiled, self.kernels))

    def solve(
        self, problems: Problems, history: History, budget: Budget, polish: int = 0
    ) -> Solution:
        """Solves every problem; no result costs more than any of its candidates.

        Args:
            problems: what to solve.
            history: the plans made before, if there are any; shifted, they are candidates.
            budget: of the refinement; its deadline also ends polishing.
            polish: box-iLQR sweeps on every result.
        """
        names = self.backend.candidates
        if history.plan is not None:
            earlier = self._trajectories(history.plan, len(problems.x0))
            shifted = self.shifted(problems, earlier, history.steps(self.system.dt))
            problems = problems._replace(previous=shifted.previous, trusted=shifted.trusted)
            names = (*names, 'previous')
        found = self.backend.plan(problems, budget)
        if sweeps := polish or int(problems.bounds is not None):
            self._polish(found, problems, sweeps, budget.deadline)
        return Solution(found, names)

    def shifted(self, problems: Problems, earlier: Trajectory, steps: float) -> Requests:
        """The problems with earlier trajectories, `steps` later, as `previous` and `trusted`."""
        requests = problems.requests(self.system)
        law, tolerance = self.representation.law, self._prediction_tolerance
        self._shift_rows(self._plant(problems), law, earlier, requests, float(steps), tolerance)
        return requests

    def fly(self, problems: Problems, b: int, law: Law, v: Array, trajectory: Trajectory) -> float:
        """Rolls out problem b by a law around v (T, n_u), into the trajectory; returns J."""
        plant, x0, r = self._plant(problems), problems.x0[b], problems.r[b]
        return float(self._rollout(plant, law, v, x0, r, trajectory))

    def _plant(self, problems: Problems) -> Plant:
        return problems.adjusted(self._plant_of(self.system))

    def _trajectories(self, plan: Plan, B: int) -> Trajectory:
        T, n_x, n_u = self.system.horizon, self.system.n_x, self.system.n_u
        x, u = plan.states.reshape(B, T + 1, n_x), plan.controls.reshape(B, T, n_u)
        return Trajectory(np.ascontiguousarray(x), np.ascontiguousarray(u))

    def _polish(self, found: Found, problems: Problems, sweeps: int, deadline: float) -> None:
        """Spends sweeps on every plan in place, one after the other where there is a deadline."""
        rows = np.flatnonzero(np.isfinite(found.J))
        B, plant = len(rows), self._plant(problems)
        plans = Trajectory(found.x[rows], found.u[rows])
        outcome = Outcome(found.J[rows], np.zeros(B, np.int64), np.zeros(B, np.bool_))
        r = problems.r[rows]
        at_once = sweeps if deadline == math.inf else 1
        for _ in range(0, sweeps, at_once):
            if outcome.converged.all() or now() >= deadline:
                break
            self._improve(plant, r, at_once, plans, outcome)
        found.x[rows], found.u[rows], found.J[rows] = plans.x, plans.u, outcome.J


def _as_it_is(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel as plain Python."""
    return kernel
