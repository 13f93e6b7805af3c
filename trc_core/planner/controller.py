"""The `Controller`: all that a robot needs. Imports neither PyTorch nor a solver."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trc_core.checkpoint import Checkpoint, load_checkpoint
from trc_core.compile.kernels import compiled, is_compiled
from trc_core.numerics.ilqr import batch_improve
from trc_core.numerics.plan import Plan
from trc_core.numerics.rollout import plain as plain_law
from trc_core.numerics.rollout import rollout
from trc_core.planner.backends import BACKENDS, Problems, choose, plain
from trc_core.planner.clock import now
from trc_core.planner.correction import Correction, Past, Sight, Weights
from trc_core.planner.inputs import (
    batch_warnings,
    checked_bounds,
    checked_goals,
    checked_past,
    checked_state,
    checked_states,
    require_sweeps,
    require_whole,
    warnings,
)
from trc_core.planner.kernels import Budget, Found, continue_rows
from trc_core.problem.system import Array
from trc_core.systems import System, get_system

TOLERANCE = 1e-6
SURPRISE = 0.1  # half-widths of the training box between a state and its prediction: start cold
TIMING_RUNS = 20


@dataclass(frozen=True)
class Solved:
    """What became of B problems."""

    found: Found
    names: tuple[str, ...]
    """Of the N candidates."""
    uncorrected: Array
    """Cost of every plan (B,) before fine-tuning corrected it."""
    sight: Sight | None
    """Of a fine-tuned controller."""


class Controller:
    """Plans with a trained network, never worse (by predicted cost) than clipped LQR.

    Not safe to share between threads while planning; two controllers are.

    Args:
        checkpoint: the network and its plant.
        backend: 'numba' (compiled), 'numpy' (the same as plain Python), 'torch' or 'onnx';
            'auto' takes what suits the device and the model.
        device: 'cpu', or 'cuda' for the backend 'torch'.
        cycles: the most refinement cycles of a plan; the checkpoint's own number by default.
        tolerance: refinement ends when a cycle promises to gain less than this share of the cost.
        num_threads: the most that a batch may use; every core by default. A single plan uses one.
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
        config = checkpoint.model
        default = config['H_cycles'] if config['use_two_level'] else config['num_outer_cycles']
        self.checkpoint = checkpoint
        self.system = checkpoint.system
        self.cycles = default if cycles is None else cycles
        self.tolerance = tolerance
        require_whole('cycles', self.cycles)
        if self.cycles < 0:
            raise ValueError(f'cycles must not be negative, got {self.cycles}')
        if not tolerance >= 0:
            raise ValueError(f'tolerance must not be negative, got {tolerance}')
        if num_threads is not None:
            require_whole('num_threads', num_threads)
            if num_threads < 1:
                raise ValueError(f'num_threads must be at least 1, got {num_threads}')
        self.backend, self.reason = choose(backend, device, checkpoint)
        """Which backend plans, and why it was taken."""
        self._backend = BACKENDS[self.backend](checkpoint, device, num_threads)
        self._representation = checkpoint.representation
        bind = plain if self.backend == 'numpy' else compiled
        self._rollout = bind(rollout, self.system)
        self._continue_rows = bind(continue_rows, self.system)
        self._improve = bind(batch_improve, self.system)
        held = checkpoint.correction
        self.correction = Correction(self.system, Weights.from_tensors(held)) if held else None
        """What fine-tuning has added, if it has."""
        self._surprise = SURPRISE * (self.system.x0_box + self.system.goal_box)
        self._seconds: float | None = None
        self._bounds: tuple[Array, Array] | None = None

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        backend: str = 'auto',
        device: str = 'cpu',
        cycles: int | None = None,
        system: System | str | Path | None = None,
        parameters: Mapping[str, float] | None = None,
        tolerance: float = TOLERANCE,
        num_threads: int | None = None,
    ) -> Controller:
        """A controller from a shipped checkpoint's name or a file; arguments as the class's.

        Args:
            name_or_path: `'van_der_pol'`, or the path of a `.safetensors` or `.onnx` file.
            backend: who plans.
            device: where.
            cycles: refinement cycles of a plan.
            system: the plant, if it is neither shipped nor installed; also the path of its .py
                file.
            parameters: physical parameters of this very plant, like `{'mu': 1.3}`, where they
                differ from the ones the network was trained for.
            tolerance: when to stop early.
            num_threads: of a batch.

        Raises:
            FileNotFoundError, ValueError: one line that says what would work.
        """
        if isinstance(system, (str, Path)):
            system = get_system(str(system))
        checkpoint = load_checkpoint(name_or_path, system)
        if parameters:
            checkpoint = checkpoint.with_parameters(parameters)
        return cls(checkpoint, backend, device, cycles, tolerance, num_threads)

    @property
    def is_compiled(self) -> bool:
        """Whether planning can start at once: machine code of every kernel is there."""
        kernels = [self._rollout, self._continue_rows, self._improve, *self._backend.kernels]
        if self.correction is not None:
            kernels.append(self.correction.kernel)
        return self.backend == 'numpy' or all(map(is_compiled, kernels))

    @property
    def adjustable(self) -> bool:
        """Whether plans may be asked for with other physical parameters and narrower bounds."""
        return self._backend.adjustable

    @property
    def bounds(self) -> tuple[Array, Array]:
        """The smallest and the largest control (n_u,) of a plan; the system's own at first.

        With narrower ones, which the network has not seen, a sweep of box-iLQR ends every plan.

        Raises:
            ValueError: when set beyond those, or in the wrong order, or if the backend plans with
                those of the system only.
        """
        return self._bounds or (self.system.u_min, self.system.u_max)

    @bounds.setter
    def bounds(self, bounds: tuple[ArrayLike, ArrayLike]) -> None:
        low, high = checked_bounds(self.system, *bounds)
        own = self.system.u_min, self.system.u_max
        narrower = bool((low > own[0]).any() or (high < own[1]).any())
        if narrower and not self.adjustable:
            raise ValueError(
                f"backend '{self.backend}' plans with the bounds of {self.system.name}; narrower "
                f"ones need 'numba' or 'numpy'"
            )
        self._bounds = (low, high) if narrower else None

    def warm_up(self) -> float:
        """Compiles (or loads) the kernels and times a cycle; returns the seconds of a plan."""
        x, goal = self.system.x0_box / 2, np.zeros(self.system.n_x)
        first = self.plan(x, goal, polish=1)
        self.plan(x, goal, warm_start=first)
        self.lqr_plan(x, goal)
        every_cycle = Budget(self.cycles, math.inf, tolerance=0.0, seconds=0.0)
        whole, cycle = [], []
        for _ in range(TIMING_RUNS):
            began = now()
            found = self._backend.plan(Problems(x[None], goal[None]), every_cycle)
            whole.append(now() - began)
            cycle.append(float(found.seconds[0]))
        self._seconds = statistics.median(cycle)
        return statistics.median(whole)

    def plan(
        self,
        x: ArrayLike,
        goal: ArrayLike,
        warm_start: Plan | None = None,
        deadline: float | None = None,
        elapsed: float | None = None,
        polish: int = 0,
        issued: ArrayLike | None = None,
        p: ArrayLike | None = None,
    ) -> Plan:
        """Plans from x to goal.

        Args:
            x: state (n_x,), physical units.
            goal: state (n_x,) to reach and hold.
            warm_start: an earlier plan; shifted by `elapsed` it is one of the candidates. While it
                is the cheapest, and predicted x, nothing else is refined.
            deadline: seconds that may be spent: no cycle begins that would not fit, by the times
                measured in `warm_up` (called here if it has not been) and since.
            elapsed: seconds since the state that `warm_start` was made for; the system's dt by
                default.
            polish: box-iLQR sweeps to spend on the refined plan; J never rises. With a deadline
                none begins after it.
            issued: the control (n_u,) that was really commanded since, for a fine-tuned
                controller; the first of `warm_start` by default.
            p: physical parameters (n_p,) of the plant, in the order of `system.parameters`, where
                they are not those that the controller was loaded with.

        Returns:
            The refined plan, never dearer in predicted cost than any of `plan.candidates`. That
            of a fine-tuned controller is then corrected, whatever the model predicts; what it was
            before is the candidate 'uncorrected'.

        Raises:
            ValueError: if x, goal, p or issued has the wrong shape or is not finite, if a time
                is no number, if warm_start is no plan of this plant, if polish is negative, or
                if the backend takes no parameters.
        """
        if deadline is not None and math.isnan(deadline):
            raise ValueError('deadline is nan; give seconds, or nothing for as long as it takes')
        if deadline is not None and self._seconds is None:
            self.warm_up()
        end = math.inf if deadline is None else now() + deadline
        x, goal = self._checked(x, goal)
        require_sweeps(polish)
        if issued is not None:
            issued = checked_state('issued', issued, self.system.n_u)[None]
        problems = Problems(
            x[None], goal[None], p=self._checked_parameters(p), bounds=self._bounds
        )
        past = checked_past(self.system, 1, warm_start, elapsed, issued)
        solved = self._solved(problems, past, polish, end)
        found, names = solved.found, solved.names
        start, J = int(found.start[0]), float(solved.uncorrected[0])
        candidates = dict(zip(names, found.starts[0].tolist(), strict=True))
        if solved.sight is not None:
            candidates['uncorrected'] = J
        return Plan(
            found.u[0],
            found.x[0],
            float(found.J[0]),
            'refined' if found.starts[0, start] > J else names[start],
            converged=math.isfinite(found.J[0]),
            cycles=int(found.cycles[0]),
            candidates=candidates,
            warnings=warnings(self.system, x, goal),
            sight=solved.sight,
        )

    def plan_batch(
        self,
        x: ArrayLike,
        goal: ArrayLike,
        warm_start: Plan | None = None,
        elapsed: float | None = None,
        polish: int = 0,
        issued: ArrayLike | None = None,
    ) -> Plan:
        """`plan` for a fleet: every row of x (B, n_x) to its row of goal, on `num_threads`.

        Args:
            x: states (B, n_x).
            goal: goals (B, n_x), or one for all (n_x,).
            warm_start: an earlier plan of the same fleet.
            elapsed: seconds since then, as `plan` takes it.
            polish: box-iLQR sweeps for every row.
            issued: the controls (B, n_u) that were really commanded since.

        Returns:
            A plan with a leading axis B: arrays, `cost`, `source`, `converged`, `cycles` and
            every value of `candidates`. `warnings` say how many rows they are about.

        Raises:
            ValueError: if a shape is wrong or a number is not finite, as in `plan`.
        """
        x = checked_states('x', x, self.system.n_x)
        goal = checked_goals(goal, len(x), self.system.n_x)
        require_sweeps(polish)
        if issued is not None:
            issued = checked_states('issued', issued, self.system.n_u)
        past = checked_past(self.system, len(x), warm_start, elapsed, issued)
        solved = self._solved(Problems(x, goal, bounds=self._bounds), past, polish, math.inf)
        found, names = solved.found, solved.names
        candidates = dict(zip(names, found.starts.T, strict=True))
        if solved.sight is not None:
            candidates['uncorrected'] = solved.uncorrected
        improved = found.starts[np.arange(len(x)), found.start] > solved.uncorrected
        rows: Any = {
            'cost': found.J,
            'source': np.where(improved, 'refined', np.array(names)[found.start]),
            'converged': np.isfinite(found.J),
            'cycles': found.cycles,
            'candidates': candidates,
        }
        warned = batch_warnings(self.system, x, goal)
        return Plan(found.u, found.x, **rows, warnings=warned, sight=solved.sight)

    def lqr_plan(self, x: ArrayLike, goal: ArrayLike) -> Plan:
        """The clipped LQR roll-out on the true dynamics, the fallback."""
        x, goal = self._checked(x, goal)
        T, n_u = self.system.horizon, self.system.n_u
        states, controls = np.empty((T + 1, self.system.n_x)), np.empty((T, n_u))
        law = plain_law(self._representation.K_start[0])
        plant = Problems(x[None], goal[None], bounds=self._bounds).plant(self.system)
        J = self._rollout(plant, law, np.zeros((T, n_u)), x, goal, states, controls)
        return Plan(controls, states, float(J), 'lqr')

    def _checked(self, x: ArrayLike, goal: ArrayLike) -> tuple[Array, Array]:
        n_x = self.system.n_x
        return checked_state('x', x, n_x), checked_state('goal', goal, n_x)

    def _checked_parameters(self, p: ArrayLike | None) -> Array | None:
        if p is None:
            return None
        if not self.adjustable:
            raise ValueError(
                f"backend '{self.backend}' plans for the parameters that it was loaded with; "
                f"those of a single plan need 'numba' or 'numpy'"
            )
        return checked_state('p', p, len(self.system.parameters))

    def _solved(self, problems: Problems, past: Past, polish: int, end: float) -> Solved:
        """What became of the problems, by `end` on the clock."""
        sight = None
        if self.correction is not None:
            sight = self.correction.see(problems.x0, past)
            problems = problems._replace(x0=self.correction.planned_from(sight))
        if past.plan is not None:
            problems = self._continuing(problems, past.plan, past.elapsed)
        budget = Budget(self.cycles, end, self.tolerance, self._seconds or 0.0)
        found = self._backend.plan(problems, budget)
        if sweeps := polish or int(problems.bounds is not None):
            self._polish(found, problems, sweeps, end)
        names = self._backend.candidates
        if past.plan is not None:
            names = (*names, 'previous')
        uncorrected = found.J
        if self.correction is not None and sight is not None:
            uncorrected = found.J.copy()
            first, sight = self.correction.corrected(sight, problems.goal, found.u)
            self._fly_first(first, found, problems)
        return Solved(found, names, uncorrected, sight)

    def _fly_first(self, first: Array, found: Found, problems: Problems) -> None:
        """Makes `first` (B, n_u) the first control of every plan; its feedback flies the rest."""
        plant, law, start = (
            problems.plant(self.system),
            self._representation.law,
            found.x[:, 0].copy(),
        )
        v, known = np.empty_like(found.u), np.empty(len(first), dtype=np.bool_)
        own = found.x, found.u, start, problems.goal
        self._continue_rows(plant, law, *own, 0.0, self._surprise, v, known)
        v[:, 0] += first - found.u[:, 0]
        for b in np.flatnonzero(np.isfinite(found.J) & (first != found.u[:, 0]).any(1)):
            row = v[b], start[b], problems.goal[b], found.x[b], found.u[b]
            found.J[b] = self._rollout(plant, law, *row)

    def _polish(self, found: Found, problems: Problems, sweeps: int, deadline: float) -> None:
        """Spends sweeps on every plan in place, one after the other where there is a deadline."""
        rows = np.flatnonzero(np.isfinite(found.J))
        B, plant = len(rows), problems.plant(self.system)
        x, u, J = found.x[rows], found.u[rows], found.J[rows]
        spent, converged = np.zeros(B, dtype=np.int64), np.zeros(B, dtype=np.bool_)
        at_once = sweeps if deadline == math.inf else 1
        for _ in range(0, sweeps, at_once):
            if converged.all() or now() >= deadline:
                break
            self._improve(plant, problems.goal[rows], at_once, x, u, J, spent, converged)
        found.x[rows], found.u[rows], found.J[rows] = x, u, J

    def _continuing(self, problems: Problems, plan: Plan, elapsed: float | None) -> Problems:
        """The problems with `plan`, shifted in time, as a candidate.

        A row is narrow where the plan predicted its state.
        """
        system, (x0, goal) = self.system, problems[:2]
        B, T = len(x0), system.horizon
        states = plan.states.reshape(-1, T + 1, system.n_x)
        controls = plan.controls.reshape(-1, T, system.n_u)
        steps = 1.0 if elapsed is None else max(elapsed, 0.0) / system.dt
        previous, narrow = np.empty((B, T, system.n_u)), np.empty(B, dtype=np.bool_)
        past = states, controls, x0, goal, steps, self._surprise
        law = self._representation.law
        self._continue_rows(system.arrays, law, *past, previous, narrow)
        return problems._replace(previous=previous, narrow=narrow)
