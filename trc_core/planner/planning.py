"""Planning: candidates and refinement by a backend, warm starts, polishing; problems in rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.compile import binding
from trc_core.compile.kernels import compiled, is_compiled
from trc_core.compile.plant import Plant
from trc_core.numerics.batch import memory_of
from trc_core.numerics.ilqr import Memory
from trc_core.numerics.plan import Plan
from trc_core.numerics.riccati import finite_horizon_gains
from trc_core.numerics.rollout import Law, Trajectory, plain, rollout
from trc_core.planner.backends import BACKENDS
from trc_core.planner.correction import Correction, Observation
from trc_core.planner.history import History
from trc_core.planner.kernels import shift_rows
from trc_core.planner.problems import Problems
from trc_core.planner.rolled_out import RolledOutStarts
from trc_core.planner.rows import Budget, Found, Requests
from trc_core.planner.sweeping import Sweeping, rows_of, trajectories
from trc_core.problem.system import Array

CHANGED_SWEEPS = 3  # where weights changed or the goal moves, for which no network was trained
PREDICTION_TOLERANCE = 0.1  # half-widths of the training box between a state and its prediction


class Solution(NamedTuple):
    """Solutions of B problems, and where they come from."""

    found: Found
    """Its J are merits."""
    names: tuple[str, ...]
    """The candidates, in the order of `found.starts`."""
    memory: Memory | None = None
    """Gains and multipliers of the last sweeps, if there were any."""
    cost: Array | None = None
    """J (B,) where merits are something else."""
    violation: Array | None = None
    """The largest violation of a constraint (B,), where there are any."""
    uncorrected: Array | None = None
    """Merit (B,) before a fine-tuned controller corrected the plans."""
    observation: Observation | None = None

    def plan(self, times: Array, warnings: tuple[str, ...]) -> Plan:
        """The plan of a single problem."""
        found, start = self.found, int(self.found.start[0])
        merit = float(found.J[0])
        starts = found.starts[0].tolist()
        candidates = dict(zip(self.names, starts, strict=True))
        before = merit
        if self.uncorrected is not None:
            candidates['uncorrected'] = before = float(self.uncorrected[0])
        return Plan(
            found.u[0],
            found.x[0],
            merit if self.cost is None else float(self.cost[0]),
            'refined' if starts[start] > before else self.names[start],
            math.isfinite(merit),
            int(found.cycles[0]),
            candidates,
            0.0 if self.violation is None else float(self.violation[0]),
            merit,
            times,
            self.memory,
            warnings,
            self.observation,
        )

    def plans(self, times: Array, warnings: tuple[str, ...]) -> Plan:
        """The plans of all: every field but times and warnings has a leading axis B."""
        found, candidates = self.found, dict(zip(self.names, self.found.starts.T, strict=True))
        before = found.J
        if self.uncorrected is not None:
            candidates['uncorrected'] = before = self.uncorrected
        refined = found.starts[np.arange(len(found.J)), found.start] > before
        rows: Any = {
            'cost': found.J if self.cost is None else self.cost,
            'source': np.where(refined, 'refined', np.array(self.names)[found.start]),
            'converged': np.isfinite(found.J),
            'cycles': found.cycles,
            'candidates': candidates,
            'violation': np.zeros(len(found.J)) if self.violation is None else self.violation,
            'merit': found.J,
        }
        return Plan(
            found.u,
            found.x,
            times=times,
            memory=self.memory,
            warnings=warnings,
            observation=self.observation,
            **rows,
        )


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
        self._bind = bind = _as_it_is if self._readable else compiled
        self._rollout, self._shift_rows = bind(rollout), bind(shift_rows)
        self.law = self.representation.law
        """The feedback of a plan's coordinates."""
        self._plant_of = binding.readable_plant_of if self._readable else binding.plant_of
        self._sweeping = Sweeping(self.system, self._plant_of, bind)
        self.watch = self.backend.watch = self._sweeping.watch
        """Says when there is no time for more sweeps."""
        box = self.system.x0_box + self.system.goal_box
        self._prediction_tolerance = np.where(box > 0.0, PREDICTION_TOLERANCE * box, math.inf)

    @cached_property
    def lqr(self) -> Law:
        """The LQR about the middle of the goal box, without a gate."""
        ladder = self.representation.K_start
        return plain(ladder[0] if len(ladder) else finite_horizon_gains(self.system)[0])

    @property
    def kernels(self) -> list[Callable[..., Any]]:
        """Every kernel that planning calls."""
        return [*self._common_kernels, self._classical.kernel]

    @property
    def _common_kernels(self) -> list[Callable[..., Any]]:
        """Those of planning with constraints and without."""
        own = (self._rollout, self._shift_rows)
        return [*own, *self._sweeping.kernels, *self.backend.kernels]

    @cached_property
    def _classical(self) -> RolledOutStarts:
        """What needs no network, as far as the backend does not try it itself."""
        ladder = Checkpoint.classical(self.system).representation.K_start
        own = self.representation.K_start
        return RolledOutStarts(self.system, ladder, own, self._plant_of, self._bind)

    @property
    def is_compiled(self) -> bool:
        """Whether planning can start at once: machine code of plant and kernels is there."""
        if self._readable:
            return True
        return binding.is_compiled(self.system) and all(map(is_compiled, self.kernels))

    def rehearse(self, problems: Problems) -> None:
        """Compiles or loads what only rare plans need."""

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
        self.watch.begin()
        names = self.backend.candidates
        if history.plan is not None:
            problems = self.going_on(problems, history)
            names = (*names, 'previous')
        found = self.backend.plan(problems, budget)
        if problems.trusted is None or not problems.trusted.all():
            names = (*names, *self._classical.names)
            found = self._beside_classical(found, problems, budget)
        memory = None
        if sweeps := self._sweeps(problems, polish):
            memory = problems.memory or memory_of(self.system, len(found.J))
            self._sweeping.improve(found, problems, memory, sweeps, budget.deadline)
        return Solution(found, names, memory)

    def _beside_classical(self, found: Found, problems: Problems, budget: Budget) -> Found:
        """Takes a start that needs no network where it is cheaper than what refinement found.

        It then gets as many sweeps as the plan may have cycles: a network whose plans are that bad
        has nothing to add.
        """
        merits = np.empty((len(found.J), len(self._classical.names)))
        alone, others = problems._replace(previous=None), found._replace(starts=merits)
        plans = self._classical.roll_out(alone, others, self.backend.num_threads)
        best, before = merits.argmin(1), found.starts.shape[1]
        for b in np.flatnonzero(merits.min(1) < found.J).tolist():
            n = best[b]
            found.x[b], found.u[b], found.J[b] = plans.x[b, n], plans.u[b, n], merits[b, n]
            found.start[b] = before + n
        chosen = found.start >= before
        if chosen.any() and budget.cycles:
            memory, end = memory_of(self.system, len(chosen)), budget.deadline
            self._sweeping.improve(found, problems, memory, budget.cycles, end, chosen=chosen)
        return found._replace(starts=np.hstack([found.starts, merits]))

    def _sweeps(self, problems: Problems, polish: int) -> int:
        """Sweeps at the end: as asked for, and where no network was trained for the task."""
        if problems.weights is not None or problems.moving:
            return max(polish, CHANGED_SWEEPS)
        return polish or int(problems.bounds is not None)

    def going_on(self, problems: Problems, history: History) -> Problems:
        """The problems with the plans before as `previous`, `trusted` and `memory`."""
        plan, steps = history.plan, history.steps(self.system.dt)
        assert plan is not None
        earlier = trajectories(self.system, plan, len(problems.x0))
        if plan.memory is not None:
            law, tolerance, same = self.law, self._prediction_tolerance, float(steps)
            return self._sweeping.followed(problems, earlier, plan.memory, same, law, tolerance)
        requests = self.shifted(problems, earlier, steps)
        return problems._replace(previous=requests.previous, trusted=requests.trusted)

    def shifted(self, problems: Problems, earlier: Trajectory, steps: float | Array) -> Requests:
        """The problems with earlier trajectories as `previous` and `trusted`.

        Args:
            problems: without those.
            earlier: the plans (B).
            steps: since the plans were made, for all or (B,), in sampling periods.
        """
        requests, tolerance = problems.requests(self.system), self._prediction_tolerance

        def shift(plant: Plant, rows: slice, step: float) -> None:
            plans, own = rows_of(earlier, rows), requests.rows(rows)
            self._shift_rows(plant, self.law, plans, own, step, tolerance)

        def run(plant: Plant, rows: slice) -> None:
            if not isinstance(steps, np.ndarray):
                shift(plant, rows, float(steps))
                return
            for b in range(len(steps))[rows]:
                shift(plant, slice(b, b + 1), float(steps[b]))

        problems.share_out(self._plant_of(self.system), run)
        return requests

    def fly(self, problems: Problems, b: int, law: Law, v: Array, trajectory: Trajectory) -> float:
        """Rolls out problem b by a law around v (T, n_u), into the trajectory.

        Returns:
            Its merit, J where there are no constraints.
        """
        plant = problems.adjusted(self._plant_of(self.system), b)
        return float(self._rollout(plant, law, v, problems.x0[b], problems.r[b], trajectory))


def _as_it_is(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel as plain Python."""
    return kernel
