"""The `CorrectedController`: a fine-tuned controller, which corrects the plans of a plain one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.numerics.batch import BatchStep
from trc_core.numerics.plan import Plan
from trc_core.planner.backends import Problems
from trc_core.planner.controller import TOLERANCE, Controller
from trc_core.planner.correction import Correction, Observation, Weights
from trc_core.planner.inputs import History
from trc_core.problem.system import Array


class CorrectedController(Controller):
    """Controller of a fine-tuned checkpoint: observes, plans from the predicted state, corrects.

    The first control of every plan is corrected, whatever the model predicts, and the rest of the
    plan is flown again from there. The cost of the plan before is the candidate 'uncorrected'.
    What one tick observed travels in `plan.observation`, and reaches the next by `warm_start`.
    It flies at the rate at which it was tuned, one plan every dt of the system.

    Its arguments are those of `Controller`; the checkpoint holds a correction.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        backend: str = 'auto',
        device: str = 'cpu',
        cycles: int | None = None,
        tolerance: float = TOLERANCE,
        num_threads: int | None = None,
    ) -> None:
        super().__init__(checkpoint, backend, device, cycles, tolerance, num_threads)
        self._step = BatchStep(self.system)
        weights = Weights.from_tensors(checkpoint.correction)
        self.correction = Correction(self.system, weights, self._step)

    @property
    def kernels(self) -> list[Callable[..., Any]]:
        """Every kernel that planning calls."""
        return [*super().kernels, self._step.kernel]

    def _solve(self, problems: Problems, history: History, polish: int, end: float) -> Plan:
        observation = self._observe(problems.x0, history)
        problems = problems._replace(x0=self.correction.predicted_state(observation))
        plan = super()._solve(problems, history, polish, end)
        first = plan.controls[:, 0].copy()
        observation = self.correction.with_plan(observation, problems.goal, first)
        corrected = self._fly_again(problems, plan, self.correction.corrected(observation))
        candidates = {**plan.candidates, 'uncorrected': plan.cost}
        return replace(corrected, candidates=candidates, observation=observation)

    def _observe(self, x: Array, history: History) -> Observation:
        """The tick at measured states x (B, n_x)."""
        plan, command = history.plan, history.issued
        if plan is None or plan.observation is None:
            return self.correction.start(x)
        if command is None:
            command = plan.controls.reshape(len(x), -1, self.system.n_u)[:, 0]
        ticks = round(history.steps(self.system.dt))
        return self.correction.update(plan.observation.state, command, x, ticks)

    def _fly_again(self, problems: Problems, plan: Plan, first: Array) -> Plan:
        """Makes `first` (B, n_u) the first control of every plan; its feedback flies the rest."""
        v, _ = self._shifted(problems, plan, steps=0.0)
        v[:, 0] += first - plan.controls[:, 0]
        x, u, J = plan.states.copy(), plan.controls.copy(), np.array(plan.cost)
        for b in np.flatnonzero(np.isfinite(J) & (first != u[:, 0]).any(1)).tolist():
            J[b] = self._fly(problems, b, self._representation.law, v[b], x[b], u[b])
        rows: Any = {'cost': J, 'converged': np.isfinite(J)}
        return replace(plan, controls=u, states=x, **rows)
