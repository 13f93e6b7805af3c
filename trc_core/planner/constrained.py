"""Planning under constraints, and planning without a network: sweeps find the last centimetre."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.compile.binding import violation_weight
from trc_core.compile.kernels import compiled
from trc_core.compile.plant import Plant
from trc_core.numerics.batch import memory_of
from trc_core.numerics.classical import FIRST_SWEEPS
from trc_core.numerics.ilqr import Memory
from trc_core.numerics.plan import Plan
from trc_core.planner.backend import ClassicalBackend
from trc_core.planner.classical_kernels import yield_rows
from trc_core.planner.history import History
from trc_core.planner.planning import Planning, Solution
from trc_core.planner.problems import Problems
from trc_core.planner.random_starts import RandomStarts
from trc_core.planner.rows import Budget, Found
from trc_core.planner.stiffer import StifferStarts
from trc_core.planner.sweeping import trajectories
from trc_core.problem.system import Array

LAST_SWEEPS = 12  # of the best of several starts, after those by which it was chosen
SURPRISED_SWEEPS = 20  # where violations are more than noise
UNSAFE = 5.0  # times the tolerance of constraints, beyond which safety comes first


class ConstrainedPlanning(Planning):
    """Planning whose plans are compared by the merit, and go on from tick to tick by sweeps.

    A plan that was good goes on with its own gains and multipliers, and gets a sweep; nothing
    else is tried. Where it then violates constraints by more than noise it gets more sweeps, then
    other starts are tried, and the best by the merit flies.

    Args:
        checkpoint: the plant, and perhaps a network.
        backend: a key of `BACKENDS`.
        device: where it runs.
        num_threads: the most that a batch may use; every core by default.
        starts: random ones that a plan without one before tries as well.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        backend: str,
        device: str,
        num_threads: int | None,
        starts: int = 0,
    ) -> None:
        super().__init__(checkpoint, backend, device, num_threads)
        self._random = RandomStarts(self.system, starts, self._sweeping, self.fly)
        self._weight = violation_weight(self.system)
        self._yield_rows = compiled(yield_rows) if backend != 'numpy' else yield_rows
        self._is_classical = checkpoint.is_classical
        self._has_starts = isinstance(self.backend, ClassicalBackend)
        self._safe = ('trim', *self.system.laws)

    @property
    def kernels(self) -> list[Callable[..., Any]]:
        """Every kernel that planning calls."""
        return [*self._common_kernels, *self._sweeping.constrained_kernels, self._yield_rows]

    def rehearse(self, problems: Problems) -> None:
        """Compiles or loads what plans need that break constraints: in flight it is too late."""
        problems = problems._replace(memory=memory_of(self.system, len(problems.x0)))
        nothing_violated = np.zeros((len(problems.x0), 2))
        found = self.backend.empty(problems)
        self._yield(self.backend.candidates, found, problems, nothing_violated)

    def solve(
        self, problems: Problems, history: History, budget: Budget, polish: int = 0
    ) -> Solution:
        """Solves every problem; no result has a larger merit than any of its candidates."""
        self.watch.begin()
        plan = history.plan
        if plan is not None and plan.memory is not None:
            problems, found, violation = self._gone_on(problems, history, max(polish, 1))
        else:
            if plan is not None:
                problems = self.going_on(problems, history)
            problems, found = self._started(problems, budget, self._first_sweeps(budget, polish))
            if plan is None and self._random.count:
                assert problems.memory is not None
                self._random.improve(found, problems, problems.memory, budget.deadline)
            violation = self._sweeping.violations(found, problems)
            if not polish and self._is_surprised(found, violation):
                violation = self._kept_off(found, problems, violation, budget)
            if not polish and plan is None:
                violation = self._stiffer(found, problems, violation, budget)
        if plan is not None and self._is_surprised(found, violation):
            rested = plan.memory is None or self._is_rested(plan, max(polish, 1))
            found, violation = self._again(found, problems, budget, rested)
        names = self.backend.candidates
        names = (*names, 'previous') if plan is not None else names
        if self._is_beyond(found, violation, UNSAFE):
            names, found = self._yield(names, found, problems, violation)
        cost = found.J - self._weight * violation[:, 0]
        return Solution(found, names, problems.memory, cost, violation[:, 1])

    def _first_sweeps(self, budget: Budget, polish: int) -> int:
        """The most sweeps of a plan that nothing came before, after those of its starts."""
        if not self._has_starts:
            return polish or FIRST_SWEEPS
        return max(polish, budget.cycles, 0 if self._is_classical else LAST_SWEEPS)

    def _gone_on(
        self, problems: Problems, history: History, sweeps: int
    ) -> tuple[Problems, Found, Array]:
        """The plans that go on with those before, and their violations (B, 2)."""
        plan = history.plan
        assert plan is not None and plan.memory is not None
        earlier = trajectories(self.system, plan, len(problems.x0))
        problems = problems._replace(memory=plan.memory.copied(), previous=earlier.u)
        found = self.backend.empty(problems)
        found.starts[:], found.start[:] = math.inf, found.starts.shape[1] - 1
        steps = float(history.steps(self.system.dt))
        violation = self._sweeping.gone_on(problems, earlier, found, steps, sweeps)
        return problems, found, violation

    def _started(self, problems: Problems, budget: Budget, sweeps: int) -> tuple[Problems, Found]:
        """The best of the backend's plans, after sweeps."""
        memory = problems.memory or memory_of(self.system, len(problems.x0))
        problems = problems._replace(memory=memory)
        found = self.backend.plan(problems, budget)
        self._improve(found, problems, memory, sweeps, budget)
        self._keep_better_candidates(found, problems, memory)
        return problems, found

    def _keep_better_candidates(self, found: Found, problems: Problems, memory: Memory) -> None:
        """Goes back to a candidate where too few sweeps left a plan with a larger merit.

        A network may lower a soft cost, by which its plans break constraints until sweeps follow.
        """
        worse = found.starts.min(1) < found.J
        if not worse.any():
            return
        best = self.backend.best_candidates(problems)
        for ours, theirs in zip(found[:4], best[:4], strict=True):
            ours[worse] = theirs[worse]
        for values in memory:
            values[worse] = 0.0

    def _improve(
        self, found: Found, problems: Problems, memory: Memory, sweeps: int, budget: Budget
    ) -> None:
        """Spends sweeps on every plan; without cycles of a network they are those of a plan."""
        spent = self._sweeping.improve(found, problems, memory, sweeps, budget.deadline)
        if self._has_starts:
            found.cycles[:] += spent

    def _kept_off(
        self, found: Found, problems: Problems, violation: Array, budget: Budget
    ) -> Array:
        """More sweeps on plans that ended beyond the tolerance; the new violations (B, 2)."""
        beyond, memory = violation[:, 1] > self.system.constraint_tolerance, problems.memory
        assert memory is not None
        sweeping, deadline = self._sweeping, budget.deadline
        sweeping.improve(found, problems, memory, FIRST_SWEEPS, deadline, sweeping.margin, beyond)
        return self._sweeping.violations(found, problems)

    def _stiffer(
        self, found: Found, problems: Problems, violation: Array, budget: Budget
    ) -> Array:
        """Plans anew under stiffer penalties, where sweeps led nowhere; the violations (B, 2).

        Those are plans beyond the tolerance, and starts that no sweep has improved. A network has
        proposed other ways, so its plans stay.
        """
        backend, deadline = self.backend, budget.deadline
        if not (self._is_classical and isinstance(backend, ClassicalBackend)):
            return violation
        kept = (violation[:, 1] <= self.system.constraint_tolerance) & np.isfinite(found.J)
        lost = ~kept | (found.starts.min(1) <= found.J)
        if not (self._sweeping.is_constrained and lost.any()):
            return violation
        memory, starts = problems.memory, backend.propose(problems)
        assert memory is not None
        StifferStarts(self._sweeping).improve(found, problems, memory, starts, lost, deadline)
        return self._sweeping.violations(found, problems)

    def _is_rested(self, plan: Plan, sweeps: int) -> bool:
        """Whether other starts are worth a try, after a tick that began with so many sweeps.

        Where that has tried some and no way was found, others a tick later hardly find one: they
        are tried every other tick.
        """
        tried = np.asarray(plan.cycles) > sweeps + SURPRISED_SWEEPS
        lost = ~(np.asarray(plan.violation) <= self.system.constraint_tolerance)
        return not bool(np.all(tried & lost))

    def _again(
        self, found: Found, problems: Problems, budget: Budget, rested: bool
    ) -> tuple[Found, Array]:
        """More sweeps on plans that violate constraints, then other starts; the better ones.

        Other starts are left out where the tick before has tried some.
        """
        memory = problems.memory
        assert memory is not None
        self._improve(found, problems, memory, SURPRISED_SWEEPS, budget)
        violation = self._sweeping.violations(found, problems)
        if not rested or not self._is_surprised(found, violation):
            return found, violation
        if self.watch.is_over(budget.deadline):
            return found, violation
        afresh = problems._replace(memory=None, previous=None, trusted=None)
        afresh, other = self._started(afresh, budget, SURPRISED_SWEEPS)
        assert afresh.memory is not None
        better, spent = other.J < found.J, found.cycles + other.cycles
        last = found.starts.shape[1] - 1
        found.starts[:, :last] = other.starts
        for ours, theirs in zip(found[:-1], other[:-1], strict=True):
            ours[better] = theirs[better]
        for ours, theirs in zip(memory, afresh.memory, strict=True):
            ours[better] = theirs[better]
        found.cycles[:] = spent
        return found, self._sweeping.violations(found, problems)

    def _is_surprised(self, found: Found, violation: Array) -> bool:
        """Whether violations are more than noise."""
        return self._is_beyond(found, violation, 1.0)

    def _is_beyond(self, found: Found, violation: Array, factor: float) -> bool:
        """Whether one of the violations (B, 2) exceeds so many times the tolerance."""
        most = factor * self.system.constraint_tolerance
        if len(violation) == 1:  # plain numbers: NumPy's calls would cost more than their work
            return not (float(violation[0, 1]) <= most and math.isfinite(found.J[0]))
        return bool((~(violation[:, 1] <= most) | ~np.isfinite(found.J)).any())

    def _yield(
        self, names: tuple[str, ...], found: Found, problems: Problems, violation: Array
    ) -> tuple[tuple[str, ...], Found]:
        """Plans that would break constraints for the sake of J give way to safer ones.

        A merit is a price: where the only way to a goal leads through an obstacle, it may be worth
        it. Not to a robot: then u_trim or a law of the plant, like 'stop', flies.
        """
        if 'trim' not in names:  # what flies then is a candidate that was not tried before
            untried = np.full((len(found.J), len(self._safe)), math.inf)
            found = found._replace(starts=np.hstack([found.starts, untried]))
            names = (*names, *self._safe)
        requests, memory = problems.requests(self.system), problems.memory
        assert memory is not None
        trim = names.index('trim')
        before, most = found.start.copy(), UNSAFE * self.system.constraint_tolerance
        unsafe = ~(violation[:, 1] <= most) | ~np.isfinite(found.J)
        judged = np.where(unsafe[:, None], violation, 0.0)  # the others keep their plans

        def run(plant: Plant, rows: slice) -> None:
            own, results = requests.rows(rows), found.rows(rows)
            self._yield_rows(plant, own, results, judged[rows], trim)

        problems.share_out(self._plant_of(self.system), run)
        violation[unsafe] = judged[unsafe]
        for values in memory:
            values[found.start != before] = 0.0
        return names, found
