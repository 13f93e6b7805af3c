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
from trc_core.numerics.ilqr import Memory, Outcome
from trc_core.numerics.plan import Plan
from trc_core.numerics.rollout import Law, Trajectory, rollout
from trc_core.planner.backend import Problems
from trc_core.planner.backends import BACKENDS
from trc_core.planner.clock import now
from trc_core.planner.correction import Correction, Observation
from trc_core.planner.inputs import SURPRISE, History
from trc_core.planner.kernels import Budget, Found, Requests, shift_rows
from trc_core.planner.sweep_kernels import assess_rows, follow_rows, go_on_rows, improve_rows
from trc_core.problem.system import Array

CHANGED_SWEEPS = 3  # where weights changed or the goal moves, for which no network was trained
FIRST_SWEEPS = 60  # at most, of a plan that nothing came before and that no network refines
SURPRISED_SWEEPS = 20  # where violations are more than noise
SWEEPS_AT_ONCE = 4  # where there is a deadline
PREDICTION_TOLERANCE = 0.1  # half-widths of the training box between a state and its prediction


class Solution(NamedTuple):
    """Solutions of B problems, and where they come from."""

    found: Found
    """Its J are merits."""
    names: tuple[str, ...]
    """The candidates, in the order of `found.starts`."""
    cost: Array
    """J (B,)."""
    violation: Array
    """The largest violation of a constraint (B,)."""
    swept: bool = False
    """Whether sweeps left gains and multipliers."""
    uncorrected: Array | None = None
    """Merit (B,) before a fine-tuned controller corrected the plans."""
    observation: Observation | None = None

    @property
    def memory(self) -> Memory | None:
        """What the next plans go on with; None if there were no sweeps."""
        return Memory(self.found.K, self.found.lam, self.found.rho) if self.swept else None

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
            float(self.cost[0]),
            'refined' if starts[start] > before else self.names[start],
            math.isfinite(merit),
            int(found.cycles[0]),
            candidates,
            float(self.violation[0]),
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
            'cost': self.cost,
            'source': np.where(refined, 'refined', np.array(self.names)[found.start]),
            'converged': np.isfinite(found.J),
            'cycles': found.cycles,
            'candidates': candidates,
            'violation': self.violation,
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
        bind = _as_it_is if self._readable else compiled
        self._rollout, self._shift_rows = bind(rollout), bind(shift_rows)
        self._follow_rows, self._assess_rows = bind(follow_rows), bind(assess_rows)
        self._improve, self._go_on_rows = bind(improve_rows), bind(go_on_rows)
        self._plant_of = binding.readable_plant_of if self._readable else binding.plant_of
        box = self.system.x0_box + self.system.goal_box
        self._prediction_tolerance = np.where(box > 0.0, PREDICTION_TOLERANCE * box, math.inf)
        self._constrained = len(self.system.task.constraints) > 0
        self._weight = binding.violation_weight(self.system)
        self._is_classical = checkpoint.is_classical

    @property
    def kernels(self) -> list[Callable[..., Any]]:
        """Every kernel that planning calls."""
        own = (self._rollout, self._shift_rows, self._follow_rows, self._improve)
        more = [self._assess_rows] if self._constrained else []
        more += [self._go_on_rows] if self._is_classical else []
        return [*own, *more, *self.backend.kernels]

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
        if self._is_classical and history.plan is not None and history.plan.memory is not None:
            solution = self._gone_on(problems, history, max(polish, 1))
            if solution is not None:
                return solution
        if history.plan is not None:
            problems = self.going_on(problems, history.plan, history.steps(self.system.dt))
            names = (*names, 'previous')
        found = self.backend.plan(problems, budget)
        sweeps = self._sweeps(problems, found, budget, polish)
        violation = np.zeros((len(found.J), 2))
        if sweeps:
            self._polish(found, problems, sweeps, budget.deadline)
        if self._constrained:
            violation = self._assessed(found, problems)
            if sweeps and self._is_surprised(found, violation):
                found, violation = self._again(found, problems, budget)
        cost = found.J - self._weight * violation[:, 0] if self._constrained else found.J
        return Solution(found, names, cost, violation[:, 1], swept=sweeps > 0)

    def _gone_on(self, problems: Problems, history: History, sweeps: int) -> Solution | None:
        """Plans that go on with those before; None where constraints then are violated."""
        plan, B = history.plan, len(problems.x0)
        assert plan is not None and plan.memory is not None
        memory = Memory(*(values.copy() for values in plan.memory))
        earlier = self._trajectories(plan, B)
        problems = problems._replace(memory=memory, previous=earlier.u)
        found, requests = self.backend.empty(problems), problems.requests(self.system)
        found.starts[:], found.start[:] = math.inf, found.starts.shape[1] - 1
        outcome = Outcome(np.empty(B), np.zeros(B, np.int64), np.zeros(B, np.bool_))
        steps = float(history.steps(self.system.dt))
        violation = np.empty((B, 2))

        def run(plant: Plant, rows: slice) -> None:
            self._go_on_rows(
                plant,
                Trajectory(earlier.x[rows], earlier.u[rows]),
                requests.rows(rows),
                steps,
                sweeps,
                found.rows(rows),
                Outcome(outcome.J[rows], outcome.spent[rows], outcome.converged[rows]),
                violation[rows],
            )

        problems.share_out(self._plant_of(self.system), run, 1)
        if self._is_surprised(found, violation):
            return None
        found.cycles[:], found.seconds[:] = outcome.spent, 0.0
        cost = found.J - self._weight * violation[:, 0] if self._constrained else found.J
        names = (*self.backend.candidates, 'previous')
        return Solution(found, names, cost, violation[:, 1], swept=True)

    def _sweeps(self, problems: Problems, found: Found, budget: Budget, polish: int) -> int:
        """How many sweeps the plans get: those that were asked for, and where refinement by the
        network alone would not do, some more."""
        if self._is_classical or self._constrained:
            last = found.starts.shape[1] - 1
            trusted = problems.trusted is not None and bool(problems.trusted.all())
            goes_on = trusted and bool((found.start == last).all())
            first = budget.cycles if self._is_classical else FIRST_SWEEPS
            return max(polish, 1 if goes_on else first)
        if problems.weights is not None or problems.moving:
            return max(polish, CHANGED_SWEEPS)
        return polish or int(problems.bounds is not None)

    def _again(self, found: Found, problems: Problems, budget: Budget) -> tuple[Found, Array]:
        """More sweeps, then other starts, where constraints are violated; the better plans."""
        self._polish(found, problems, SURPRISED_SWEEPS, budget.deadline)
        violation = self._assessed(found, problems)
        if now() >= budget.deadline or not self._is_surprised(found, violation):
            return found, violation
        untrusted = problems._replace(trusted=np.zeros(len(found.J), dtype=np.bool_))
        other = self.backend.plan(untrusted._replace(memory=None), budget)
        self._polish(other, problems, SURPRISED_SWEEPS, budget.deadline)
        better = other.J < found.J
        for ours, theirs in zip(found, other, strict=True):
            ours[better] = theirs[better]
        return found, self._assessed(found, problems)

    def _is_surprised(self, found: Found, violation: Array) -> bool:
        """Whether violations are more than noise: a share of the merit of any plan."""
        dear = self._weight * violation[:, 1] > SURPRISE * np.abs(found.J)
        return bool((dear | ~np.isfinite(found.J)).any())

    def _assessed(self, found: Found, problems: Problems) -> Array:
        """The sum and the largest of the violations of every plan (B, 2)."""
        requests, violation = problems.requests(self.system), np.empty((len(found.J), 2))

        def run(plant: Plant, rows: slice) -> None:
            self._assess_rows(plant, requests.rows(rows), found.rows(rows), violation[rows])

        problems.share_out(self._plant_of(self.system), run, 1)
        return violation

    def going_on(self, problems: Problems, plan: Plan, steps: float) -> Problems:
        """The problems with earlier plans, `steps` later, as `previous`; `trusted` and `memory`
        too."""
        B, memory = len(problems.x0), None
        earlier = self._trajectories(plan, B)
        if plan.memory is None:
            requests = self.shifted(problems, earlier, steps)
        else:
            memory = Memory(*(values.copy() for values in plan.memory))
            requests = self._followed(problems, earlier, steps, memory)
        return problems._replace(
            previous=requests.previous, trusted=requests.trusted, memory=memory
        )

    def _followed(
        self, problems: Problems, earlier: Trajectory, steps: float, memory: Memory
    ) -> Requests:
        requests, law = problems.requests(self.system), self.representation.law

        def run(plant: Plant, rows: slice) -> None:
            own = Memory(*(values[rows] for values in memory))
            plans = Trajectory(earlier.x[rows], earlier.u[rows])
            tolerance = self._prediction_tolerance
            self._follow_rows(plant, law, plans, requests.rows(rows), float(steps), tolerance, own)

        problems.share_out(self._plant_of(self.system), run, 1)
        return requests

    def shifted(self, problems: Problems, earlier: Trajectory, steps: float) -> Requests:
        """The problems with earlier trajectories, `steps` later, as `previous` and `trusted`."""
        requests, law = problems.requests(self.system), self.representation.law

        def run(plant: Plant, rows: slice) -> None:
            plans = Trajectory(earlier.x[rows], earlier.u[rows])
            tolerance = self._prediction_tolerance
            self._shift_rows(plant, law, plans, requests.rows(rows), float(steps), tolerance)

        problems.share_out(self._plant_of(self.system), run, 1)
        return requests

    def fly(self, problems: Problems, b: int, law: Law, v: Array, trajectory: Trajectory) -> float:
        """Rolls out problem b by a law around v (T, n_u), into the trajectory; returns J."""
        plant = problems.adjusted(self._plant_of(self.system), b)
        return float(self._rollout(plant, law, v, problems.x0[b], problems.r[b], trajectory))

    def _trajectories(self, plan: Plan, B: int) -> Trajectory:
        T, n_x, n_u = self.system.horizon, self.system.n_x, self.system.n_u
        x, u = plan.states.reshape(B, T + 1, n_x), plan.controls.reshape(B, T, n_u)
        return Trajectory(np.ascontiguousarray(x), np.ascontiguousarray(u))

    def _polish(self, found: Found, problems: Problems, sweeps: int, deadline: float) -> None:
        """Spends sweeps on every plan in place, one after the other where there is a deadline."""
        B, requests = len(found.J), problems.requests(self.system)
        outcome = Outcome(found.J.copy(), np.zeros(B, np.int64), ~np.isfinite(found.J))
        few = SWEEPS_AT_ONCE if self._constrained else 1
        at_once = sweeps if deadline == math.inf else min(sweeps, few)

        def run(plant: Plant, rows: slice) -> None:
            J, spent, converged = outcome
            results = Outcome(J[rows], spent[rows], converged[rows])
            self._improve(plant, requests.rows(rows), at_once, found.rows(rows), results)

        for _ in range(0, sweeps, at_once):
            if outcome.converged.all() or now() >= deadline:
                break
            problems.share_out(self._plant_of(self.system), run, 1)
            if self._is_classical:
                found.cycles[:] += outcome.spent


def _as_it_is(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel as plain Python."""
    return kernel
