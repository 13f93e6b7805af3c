"""The `Controller`: all that a robot needs. Imports neither PyTorch nor a solver."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trc_core.checkpoint import Checkpoint, load_checkpoint
from trc_core.ilqr import batch_improve
from trc_core.plan import Plan
from trc_core.rollout import plain as plain_law
from trc_core.rollout import rollout
from trc_core.runtime.backends import BACKENDS, Problems, choose, plain
from trc_core.runtime.clock import now
from trc_core.runtime.correction import Correction, Sight, Weights
from trc_core.runtime.inputs import (
    batch_warnings,
    checked_goals,
    checked_state,
    checked_states,
    require_sweeps,
    warnings,
)
from trc_core.runtime.kernels import Budget, Found, continue_rows
from trc_core.systems import System
from trc_core.systems.base import Array
from trc_core.systems.compiled import compiled, is_compiled

TOLERANCE = 1e-6
SURPRISE = 0.1  # half-widths of the training box between a state and its prediction: start cold
TIMING_RUNS = 20


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
        if self.cycles < 0:
            raise ValueError(f'cycles must not be negative, got {self.cycles}')
        if not tolerance >= 0:
            raise ValueError(f'tolerance must not be negative, got {tolerance}')
        if num_threads is not None and num_threads < 1:
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

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        backend: str = 'auto',
        device: str = 'cpu',
        cycles: int | None = None,
        system: System | None = None,
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
            system: the plant, if it is neither shipped nor installed (`get_system('mine.py')`).
            parameters: physical parameters of this very plant, like `{'mu': 1.3}`, where they
                differ from the ones the network was trained for.
            tolerance: when to stop early.
            num_threads: of a batch.

        Raises:
            FileNotFoundError, ValueError: one line that says what would work.
        """
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
    def takes_parameters(self) -> bool:
        """Whether a plan may be asked for other physical parameters."""
        return self._backend.takes_parameters

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
            ValueError: if x, goal or p has the wrong shape or is not finite, if polish is
                negative, or if the backend takes no parameters.
        """
        if deadline is not None and self._seconds is None:
            self.warm_up()
        budget = self._budget(math.inf if deadline is None else now() + deadline)
        x, goal = self._checked(x, goal)
        require_sweeps(polish)
        problems = Problems(x[None], goal[None], p=self._checked_parameters(p))
        command = (
            None if issued is None else checked_state('issued', issued, self.system.n_u)[None]
        )
        sight, problems = self._seen(problems, warm_start, elapsed, command)
        if warm_start is not None:
            problems = self._continuing(problems, warm_start, elapsed)
        found = self._backend.plan(problems, budget)
        if polish:
            self._polish(found, problems, polish, budget.deadline)
        names = self._names(found)
        start, J = int(found.start[0]), float(found.J[0])
        plan = Plan(
            found.u[0],
            found.x[0],
            J,
            'refined' if found.starts[0, start] > J else names[start],
            converged=math.isfinite(J),
            cycles=int(found.cycles[0]),
            candidates=dict(zip(names, found.starts[0].tolist(), strict=True)),
            warnings=warnings(self.system, x, goal),
        )
        return plan if sight is None else self._corrected(plan, sight, problems.goal)

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
            ValueError: if a shape is wrong or a number is not finite.
        """
        x = checked_states('x', x, self.system.n_x)
        goal = checked_goals(goal, len(x), self.system.n_x)
        require_sweeps(polish)
        problems = Problems(x, goal)
        command = None if issued is None else checked_states('issued', issued, self.system.n_u)
        sight, problems = self._seen(problems, warm_start, elapsed, command)
        if warm_start is not None:
            problems = self._continuing(problems, warm_start, elapsed)
        found = self._backend.plan(problems, self._budget(math.inf))
        if polish:
            self._polish(found, problems, polish, math.inf)
        names = self._names(found)
        improved = found.starts[np.arange(len(x)), found.start] > found.J
        rows: Any = {
            'cost': found.J,
            'source': np.where(improved, 'refined', np.array(names)[found.start]),
            'converged': np.isfinite(found.J),
            'cycles': found.cycles,
            'candidates': dict(zip(names, found.starts.T, strict=True)),
        }
        plan = Plan(found.u, found.x, **rows, warnings=batch_warnings(self.system, x, goal))
        return plan if sight is None else self._corrected(plan, sight, goal)

    def lqr_plan(self, x: ArrayLike, goal: ArrayLike) -> Plan:
        """The clipped LQR roll-out on the true dynamics, the fallback."""
        x, goal = self._checked(x, goal)
        T, n_u = self.system.horizon, self.system.n_u
        states, controls = np.empty((T + 1, self.system.n_x)), np.empty((T, n_u))
        law = plain_law(self._representation.K_start[0])
        nothing = np.zeros((T, n_u))
        J = self._rollout(self.system.arrays, law, nothing, x, goal, states, controls)
        return Plan(controls, states, float(J), 'lqr')

    def _checked(self, x: ArrayLike, goal: ArrayLike) -> tuple[Array, Array]:
        n_x = self.system.n_x
        return checked_state('x', x, n_x), checked_state('goal', goal, n_x)

    def _budget(self, deadline: float) -> Budget:
        return Budget(self.cycles, deadline, self.tolerance, self._seconds or 0.0)

    def _names(self, found: Found) -> tuple[str, ...]:
        names = self._backend.candidates
        return names if found.starts.shape[1] == len(names) else (*names, 'previous')

    def _checked_parameters(self, p: ArrayLike | None) -> Array | None:
        if p is None:
            return None
        if not self.takes_parameters:
            raise ValueError(
                f"backend '{self.backend}' plans for the parameters that it was loaded with; "
                f"those of a single plan need 'numba' or 'numpy'"
            )
        return checked_state('p', p, len(self.system.parameters))

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

    def _seen(
        self, problems: Problems, plan: Plan | None, elapsed: float | None, issued: Array | None
    ) -> tuple[Sight | None, Problems]:
        """What the correction sees, and the problems from where a command will act."""
        if self.correction is None:
            return None, problems
        x, n_u = problems.x0, self.system.n_u
        if plan is None or plan.sight is None:
            return self.correction.start(x), problems
        ticks = 1 if elapsed is None else round(max(elapsed, 0.0) / self.system.dt)
        command = plan.controls.reshape(len(x), -1, n_u)[:, 0] if issued is None else issued
        sight = self.correction.observe(plan.sight.memory, command, x, ticks)
        return sight, problems._replace(x0=self.correction.planned_from(sight))

    def _corrected(self, plan: Plan, sight: Sight, goal: Array) -> Plan:
        """The plan with its first control corrected; its feedback flies the rest."""
        assert self.correction is not None
        system, law = self.system, self._representation.law
        T, B, single = system.horizon, len(goal), plan.controls.ndim == 2
        u = plan.controls.reshape(B, T, system.n_u).copy()
        x = plan.states.reshape(B, T + 1, system.n_x).copy()
        J = np.array(plan.cost, dtype=np.float64).reshape(B)
        first, sight = self.correction.corrected(sight, goal, u)
        uncorrected, start = J.copy(), x[:, 0].copy()
        v, known = np.empty_like(u), np.empty(B, dtype=np.bool_)
        self._continue_rows(system.arrays, law, x, u, start, goal, 0.0, self._surprise, v, known)
        v[:, 0] += first - u[:, 0]
        for b in np.flatnonzero(np.isfinite(J) & (first != u[:, 0]).any(1)):
            J[b] = self._rollout(system.arrays, law, v[b], start[b], goal[b], x[b], u[b])
        before: Any = float(uncorrected[0]) if single else uncorrected
        return replace(
            plan,
            controls=u[0] if single else u,
            states=x[0] if single else x,
            cost=float(J[0]) if single else J,  # type: ignore[arg-type]
            candidates={**plan.candidates, 'uncorrected': before},
            sight=sight,
        )

    def _continuing(self, problems: Problems, plan: Plan, elapsed: float | None) -> Problems:
        """The problems with `plan`, shifted in time, as a candidate.

        A row is narrow where the plan predicted its state.
        """
        system, (x0, goal) = self.system, problems[:2]
        B, T = len(x0), system.horizon
        states = plan.states.reshape(-1, T + 1, system.n_x)
        controls = plan.controls.reshape(-1, T, system.n_u)
        if len(states) != B:
            raise ValueError(f'warm_start holds {len(states)} plans, expected {B}')
        steps = 1.0 if elapsed is None else max(elapsed, 0.0) / system.dt
        previous, narrow = np.empty((B, T, system.n_u)), np.empty(B, dtype=np.bool_)
        past = states, controls, x0, goal, steps, self._surprise
        law = self._representation.law
        self._continue_rows(system.arrays, law, *past, previous, narrow)
        return problems._replace(previous=previous, narrow=narrow)
