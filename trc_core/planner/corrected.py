"""Corrected planning: a fine-tuned controller observes, looks ahead, plans and corrects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.numerics.batch import BatchStep
from trc_core.numerics.rollout import Trajectory
from trc_core.planner.correction import Correction, Observation, Weights
from trc_core.planner.history import History
from trc_core.planner.planning import Planning, Solution
from trc_core.planner.problems import Problems
from trc_core.planner.rows import Budget, Found
from trc_core.problem.system import Array


class CorrectedPlanning:
    """A wrapper around `Planning`: the first control of every plan is corrected.

    It plans from the state that is predicted for the moment at which a command takes effect,
    corrects the first control, whatever the model predicts, and flies the rest of the plan again
    from there. What one tick observed travels in `plan.observation`, and reaches the next by
    `warm_start`.

    Args:
        planning: of the plan before it is corrected.
        checkpoint: holds the correction.
    """

    def __init__(self, planning: Planning, checkpoint: Checkpoint) -> None:
        self._planning, self.system = planning, planning.system
        self._step = BatchStep(self.system)
        weights = Weights.from_tensors(checkpoint.correction)
        self.correction = Correction(self.system, weights, self._step)
        self.backend, self.fly, self.watch = planning.backend, planning.fly, planning.watch
        self.lqr = planning.lqr

    @property
    def kernels(self) -> list[Callable[..., Any]]:
        """Every kernel that planning calls."""
        return [*self._planning.kernels, self._step.kernel]

    @property
    def is_compiled(self) -> bool:
        """Whether planning can start at once."""
        return self._planning.is_compiled and self._step.is_compiled

    @property
    def representation(self) -> Any:
        """The coordinates of the plans."""
        return self._planning.representation

    def rehearse(self, problems: Problems) -> None:
        """Compiles or loads what only rare plans need."""
        self._planning.rehearse(problems)

    def solve(
        self, problems: Problems, history: History, budget: Budget, polish: int = 0
    ) -> Solution:
        """`Planning.solve`, corrected; the cost before is that of the candidate 'uncorrected'."""
        observation = self._observe(problems.x0, history)
        problems = problems._replace(x0=self.correction.predicted_state(observation))
        solution = self._planning.solve(problems, history, budget, polish)
        found = solution.found
        first = found.u[:, 0].copy()
        observation = self.correction.with_plan(observation, problems.r[:, 0], first)
        uncorrected = found.J.copy()
        self._fly_again(problems, found, self.correction.corrected(observation))
        return solution._replace(
            cost=None, memory=None, uncorrected=uncorrected, observation=observation
        )

    def _observe(self, x: Array, history: History) -> Observation:
        """The tick at measured states x (B, n_x)."""
        plan, command = history.plan, history.issued
        if plan is None or plan.observation is None:
            return self.correction.start(x)
        if command is None:
            command = plan.controls.reshape(len(x), -1, self.system.n_u)[:, 0]
        ticks = round(float(history.steps(self.system.dt)))
        return self.correction.update(plan.observation.state, command, x, ticks)

    def _fly_again(self, problems: Problems, found: Found, first: Array) -> None:
        """Makes `first` (B, n_u) the first control of every plan; its feedback flies the rest."""
        plans = Trajectory(found.x.copy(), found.u.copy())
        v = self._planning.shifted(problems, plans, steps=0.0).previous
        v[:, 0] += first - found.u[:, 0]
        for b in np.flatnonzero(np.isfinite(found.J) & (first != found.u[:, 0]).any(1)).tolist():
            trajectory = Trajectory(found.x[b], found.u[b])
            law = self._planning.law
            found.J[b] = self._planning.fly(problems, b, law, v[b], trajectory)
