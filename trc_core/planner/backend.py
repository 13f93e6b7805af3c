"""The interface of backends, which refine plans, and the one that flies compiled kernels."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.compile.binding import plant_of, readable_plant_of
from trc_core.compile.kernels import compiled
from trc_core.compile.plant import Plant
from trc_core.numerics.batch import empty_trajectory, memory_of
from trc_core.numerics.classical import STARTS
from trc_core.numerics.ilqr import batch_improve
from trc_core.numerics.rollout import Trajectory
from trc_core.planner import kernels
from trc_core.planner.kernels import Model, propose_rows
from trc_core.planner.network import network_of, settings_of
from trc_core.planner.problems import Problems
from trc_core.planner.rolled_out import RolledOutStarts, numbered
from trc_core.planner.rows import Budget, Found
from trc_core.planner.starts import Starts
from trc_core.planner.sweep_kernels import assess_rows, take_over_rows
from trc_core.planner.watch import Watch
from trc_core.problem.system import Array
from trc_core.systems import System

NO_CYCLES = Budget(0, math.inf, 0.0, 0.0)


class Backend(ABC):
    """Plans with one network for one plant.

    Args:
        checkpoint: both.
        device: where the network runs.
        num_threads: the most that a batch may use; every core by default.
    """

    devices: tuple[str, ...] = ('cpu',)

    adjustable = False
    """Whether a problem may have physical parameters and bounds of its own."""

    kernels: tuple[Callable[..., Any], ...] = ()
    """What it compiles for its plant."""

    def __init__(self, checkpoint: Checkpoint, device: str, num_threads: int | None) -> None:
        if device.split(':')[0] not in self.devices:
            raise ValueError(f"device '{device}' is not available; choose from {self.devices}")
        starts = len(checkpoint.representation.K_start)
        self.system = checkpoint.system
        self.num_threads = num_threads
        self.watch = Watch()
        """Tells when the deadline of a budget has passed; planning shares its own."""
        self.candidates = (
            *numbered('lqr', starts),
            *numbered('network', checkpoint.model.get('plans', 0)),
        )
        """The names of the candidates that every plan starts from."""

    @abstractmethod
    def plan(self, problems: Problems, budget: Budget) -> Found:
        """Solves every problem; no result is dearer than any of its candidates."""

    def best_candidates(self, problems: Problems) -> Found:
        """The candidate of every problem that is the best as it is."""
        return self.plan(problems, NO_CYCLES)

    def empty(self, problems: Problems) -> Found:
        """Arrays for the results."""
        B, system = len(problems.x0), self.system
        count = len(self.candidates) + (problems.previous is not None)
        return Found(
            x=np.empty((B, system.horizon + 1, system.n_x)),
            u=np.empty((B, system.horizon, system.n_u)),
            J=np.empty(B),
            start=np.empty(B, dtype=np.int64),
            cycles=np.empty(B, dtype=np.int64),
            seconds=np.empty(B),
            starts=np.empty((B, count)),
        )


class KernelBackend(Backend):
    """The kernels of `kernels.py`: plain Python, or compiled by Numba."""

    adjustable = True

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str,
        num_threads: int | None,
        readable: bool = False,
    ) -> None:
        super().__init__(checkpoint, device, num_threads)
        settings, net = settings_of(checkpoint), network_of(checkpoint)
        self._model = Model(checkpoint.representation, settings, net)
        self._plant_of = readable_plant_of if readable else plant_of
        self._plan_rows = kernels.plan_rows if readable else compiled(kernels.plan_rows)
        self._take_over = take_over_rows if readable else compiled(take_over_rows)
        self._propose_rows = propose_rows if readable else compiled(propose_rows)
        self._only_proposes = checkpoint.only_proposes
        self._rho = np.array(checkpoint.coordinates.penalties, dtype=np.float64)
        self._lowered = checkpoint.lowered
        own: list[Callable[..., Any]] = [
            self._propose_rows if self._only_proposes else self._plan_rows
        ]
        own += [self._take_over] if len(self._rho) else []
        self.kernels = () if readable else tuple(own)

    def plan(self, problems: Problems, budget: Budget) -> Found:
        found = self._refined(self._lowered, problems, budget)
        if len(self._rho):
            self._take_plans_over(found, problems)
        return found

    def best_candidates(self, problems: Problems) -> Found:
        return self._refined(self.system, problems, NO_CYCLES)

    def propose(self, problems: Problems) -> tuple[Trajectory, Array]:
        """Every candidate (B, N trajectories) as it is rolled out, and its merit (B, N).

        They are in the order of `candidates`, and `previous` behind them where there is one.
        """
        found, requests = self.empty(problems), problems.requests(self.system)
        candidates = empty_trajectory(self.system, *found.starts.shape)

        def run(plant: Plant, rows: slice) -> None:
            own, results = requests.rows(rows), found.rows(rows)
            plans = Trajectory(candidates.x[rows], candidates.u[rows])
            self._propose_rows(plant, self._model, own, results, plans)

        problems.share_out(self._plant_of(self.system), run, self.num_threads)
        return candidates, found.starts

    def _refined(self, system: System, problems: Problems, budget: Budget) -> Found:
        """What refinement finds that lowers the cost of a system."""
        found, requests = self.empty(problems), problems.requests(self.system)
        budget = NO_CYCLES if self._only_proposes else budget

        def run(plant: Plant, rows: slice) -> None:
            own, results = requests.rows(rows), found.rows(rows)
            self._plan_rows(plant, self._model, budget, own, results)

        problems.share_out(self._plant_of(system), run, self.num_threads)
        return found

    def _take_plans_over(self, found: Found, problems: Problems) -> None:
        """Makes what lowers the soft cost the beginning of sweeps under the constraints.

        The costs become merits, and the memory of the problems gets multipliers.
        """
        found.starts[:] = self.best_candidates(problems).starts
        memory = problems.memory or memory_of(self.system, len(found.J))
        requests = problems.requests(self.system)

        def run(plant: Plant, rows: slice) -> None:
            own, results = requests.rows(rows), found.rows(rows)
            self._take_over(plant, own, results, self._rho, memory.rows(rows))

        problems.share_out(self._plant_of(self.system), run)


class ClassicalBackend(Backend):
    """Starts that need no network: the LQR ladder, u_trim held, the laws of the plant.

    The best of them get a few sweeps, and the best after those is the plan; where `previous` is
    trusted and the cheapest, it goes on as it is.

    Args:
        checkpoint: without a network; its system and representation count.
    """

    adjustable = True

    tried = STARTS
    """How many starts of a problem get sweeps."""

    def __init__(self, checkpoint: Checkpoint, device: str, num_threads: int | None) -> None:
        super().__init__(checkpoint, device, num_threads)
        ladder = checkpoint.representation.K_start
        self._rolled_out = RolledOutStarts(self.system, ladder, ladder[:0], plant_of, compiled)
        self.candidates = self._rolled_out.names
        improve, assess = compiled(batch_improve), compiled(assess_rows)
        self._starts = Starts(self.system, improve, assess, self.tried)
        self.kernels = (self._rolled_out.kernel, improve, assess)

    def plan(self, problems: Problems, budget: Budget) -> Found:
        found, requests = self.empty(problems), problems.requests(self.system)
        memory = problems.memory or memory_of(self.system, len(problems.x0))
        plans = self._plans(problems, found)
        deadline = budget.deadline
        is_over = None if deadline == math.inf else partial(self.watch.is_over, deadline)

        def run(plant: Plant, rows: slice) -> None:
            own, results, left = requests.rows(rows), found.rows(rows), memory.rows(rows)
            starts = Trajectory(plans.x[rows], plans.u[rows])
            self._starts.choose(plant, own, starts, results, left, is_over)

        problems.share_out(plant_of(self.system), run, self.num_threads)
        return found

    def propose(self, problems: Problems) -> tuple[Trajectory, Array]:
        """Every start (B, N trajectories) as it is rolled out, and its merit (B, N).

        They are in the order of `candidates`, and `previous` behind them where there is one.
        """
        found = self.empty(problems)
        return self._plans(problems, found), found.starts

    def _plans(self, problems: Problems, found: Found) -> Trajectory:
        """Every start (B, N trajectories); fills the merits `found.starts` (B, N)."""
        return self._rolled_out.roll_out(problems, found, self.num_threads)


class Proposer(Protocol):
    """A backend whose network proposes plans."""

    candidates: tuple[str, ...]
    kernels: tuple[Callable[..., Any], ...]

    def propose(self, problems: Problems) -> tuple[Trajectory, Array]:
        """Every candidate (B, N trajectories), `previous` the last, and its merit (B, N)."""
        ...


class ProposingBackend(ClassicalBackend):
    """The plans of a network that only proposes, among the starts that need no network.

    Args:
        checkpoint: both.
        device: where the network runs.
        num_threads: the most that a batch may use; every core by default.
        proposer: the network; its candidates after those of the LQR are its plans.
    """

    tried = 2

    def __init__(
        self, checkpoint: Checkpoint, device: str, num_threads: int | None, proposer: Proposer
    ) -> None:
        super().__init__(Checkpoint.classical(checkpoint.system), device, num_threads)
        self._proposer, self._before = proposer, len(self.candidates)
        self._first = len(checkpoint.representation.K_start)
        self.candidates = (*self.candidates, *proposer.candidates[self._first :])
        self.kernels = (*self.kernels, *proposer.kernels)

    def _plans(self, problems: Problems, found: Found) -> Trajectory:
        plans = super()._plans(problems, found)
        proposed, merits = self._proposer.propose(problems)
        ours, theirs = slice(self._before, None), slice(self._first, None)
        plans.x[:, ours], plans.u[:, ours] = proposed.x[:, theirs], proposed.u[:, theirs]
        found.starts[:, ours] = merits[:, theirs]
        return plans
