"""The `Controller`: all that a robot needs. Imports neither PyTorch nor a solver."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trc_core.checkpoint import Checkpoint, load_checkpoint
from trc_core.ilqr import batch_improve
from trc_core.plan import Plan
from trc_core.rollout import continued, rollout
from trc_core.rollout import plain as plain_law
from trc_core.runtime.backends import BACKENDS, Problems, choose, plain
from trc_core.runtime.clock import now
from trc_core.runtime.inputs import (
    batch_warnings,
    checked_goals,
    checked_state,
    checked_states,
    require_sweeps,
    warnings,
)
from trc_core.runtime.kernels import Budget, Found
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
        self._continued = bind(continued, self.system)
        self._improve = bind(batch_improve, self.system)
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
        kernels = self._rollout, self._continued, self._improve, *self._backend.kernels
        return self.backend == 'numpy' or all(map(is_compiled, kernels))

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
            polish: box-iLQR sweeps to spend on the refined plan; J never rises.

        Returns:
            The refined plan, never dearer in predicted cost than any of `plan.candidates`.

        Raises:
            ValueError: if x or goal has the wrong shape or is not finite, or polish is negative.
        """
        if deadline is not None and self._seconds is None:
            self.warm_up()
        budget = self._budget(math.inf if deadline is None else now() + deadline)
        x, goal = self._checked(x, goal)
        require_sweeps(polish)
        problems = Problems(x[None], goal[None])
        if warm_start is not None:
            problems = self._continuing(problems, warm_start, elapsed)
        found = self._polished(self._backend.plan(problems, budget), problems.goal, polish)
        names = self._names(found)
        start, J = int(found.start[0]), float(found.J[0])
        return Plan(
            found.u[0],
            found.x[0],
            J,
            'refined' if found.starts[0, start] > J else names[start],
            converged=math.isfinite(J),
            cycles=int(found.cycles[0]),
            candidates=dict(zip(names, found.starts[0].tolist(), strict=True)),
            warnings=warnings(self.system, x, goal),
        )

    def plan_batch(
        self,
        x: ArrayLike,
        goal: ArrayLike,
        warm_start: Plan | None = None,
        elapsed: float | None = None,
        polish: int = 0,
    ) -> Plan:
        """`plan` for a fleet: every row of x (B, n_x) to its row of goal, on `num_threads`.

        Args:
            x: states (B, n_x).
            goal: goals (B, n_x), or one for all (n_x,).
            warm_start: an earlier plan of the same fleet.
            elapsed: seconds since then, as `plan` takes it.
            polish: box-iLQR sweeps for every row.

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
        if warm_start is not None:
            problems = self._continuing(problems, warm_start, elapsed)
        found = self._polished(self._backend.plan(problems, self._budget(math.inf)), goal, polish)
        names = self._names(found)
        improved = found.starts[np.arange(len(x)), found.start] > found.J
        rows: Any = {
            'cost': found.J,
            'source': np.where(improved, 'refined', np.array(names)[found.start]),
            'converged': np.isfinite(found.J),
            'cycles': found.cycles,
            'candidates': dict(zip(names, found.starts.T, strict=True)),
        }
        return Plan(found.u, found.x, **rows, warnings=batch_warnings(self.system, x, goal))

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

    def _polished(self, found: Found, goal: Array, sweeps: int) -> Found:
        rows = np.flatnonzero(np.isfinite(found.J))
        if not sweeps or not len(rows):
            return found
        B = len(rows)
        x, u, J = found.x[rows], found.u[rows], np.empty(B)
        spent, converged = np.empty(B, dtype=np.int64), np.empty(B, dtype=np.bool_)
        self._improve(self.system.arrays, goal[rows], sweeps, x, u, J, spent, converged)
        found.x[rows], found.u[rows], found.J[rows] = x, u, J
        return found

    def _continuing(self, problems: Problems, plan: Plan, elapsed: float | None) -> Problems:
        """The problems with `plan`, shifted in time, as a candidate.

        A row is narrow where the plan predicted its state.
        """
        system, law = self.system, self._representation.law
        x0, goal = problems.x0, problems.goal
        B, T = len(x0), system.horizon
        states, controls = plan.states.reshape(-1, T + 1, system.n_x), plan.controls
        controls = controls.reshape(-1, T, system.n_u)
        if len(states) != B:
            raise ValueError(f'warm_start holds {len(states)} plans, expected {B}')
        steps = 1.0 if elapsed is None else max(elapsed, 0.0) / system.dt
        v = np.empty((B, T, system.n_u))
        for b in range(B):
            self._continued(system.arrays, law, states[b], controls[b], goal[b], steps, v[b])
        k = int(min(steps, T - 1))
        part = min(steps - k, 1.0)
        predicted = (1 - part) * states[:, k] + part * states[:, k + 1]
        surprise = np.abs(x0 - predicted) > SURPRISE * (system.x0_box + system.goal_box)
        return Problems(x0, goal, v, ~np.any(surprise, axis=-1))
