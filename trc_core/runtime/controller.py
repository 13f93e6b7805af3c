"""The `Controller`: all that a robot needs. Imports neither PyTorch nor a solver."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trc_core.checkpoint import Checkpoint, load_checkpoint
from trc_core.ilqr import improve
from trc_core.plan import Plan
from trc_core.rollout import plain, reproject, rollout
from trc_core.runtime import kernels
from trc_core.runtime.network import network_of
from trc_core.systems import System
from trc_core.systems.base import Array
from trc_core.systems.compiled import compiled

OUTSIDE_FACTOR = 1.5  # a state this many half-widths out of the training box is worth a warning
TIMING_RUNS = 20


def _numba(kernel: Callable[..., Any], system: System) -> Callable[..., Any]:
    return compiled(kernel, system)


def _numpy(kernel: Callable[..., Any], system: System) -> Callable[..., Any]:
    return functools.partial(kernel, system.functions.step, system.functions.step_jacobian)


BACKENDS: dict[str, Callable[[Callable[..., Any], System], Callable[..., Any]]] = {
    'auto': _numba,
    'numba': _numba,
    'numpy': _numpy,
}


class Controller:
    """Plans with a trained network, never worse (by predicted cost) than clipped LQR.

    Not safe to share between threads while planning; two controllers are.
    """

    def __init__(
        self, checkpoint: Checkpoint, backend: str = 'auto', cycles: int | None = None
    ) -> None:
        if backend not in BACKENDS:
            raise ValueError(f"unknown backend '{backend}'; choose from {sorted(BACKENDS)}")
        config = checkpoint.model
        default = config['H_cycles'] if config['use_two_level'] else config['num_outer_cycles']
        self.checkpoint = checkpoint
        self.backend = backend
        self.system = checkpoint.system
        self.cycles = default if cycles is None else cycles
        if self.cycles < 0:
            raise ValueError(f'cycles must not be negative, got {self.cycles}')
        self._representation = checkpoint.representation
        self._network = network_of(checkpoint)
        self._starts = (
            *_numbered('lqr', len(self._representation.K_start)),
            *_numbered('network', self._network.plans),
        )
        self._plan = BACKENDS[backend](kernels.plan, self.system)
        self._rollout = BACKENDS[backend](rollout, self.system)
        self._improve = BACKENDS[backend](improve, self.system)
        self._no_plan = np.zeros((self.system.horizon, self.system.n_u))
        self._start_seconds = self._cycle_seconds = math.inf

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        backend: str = 'auto',
        device: str = 'cpu',
        cycles: int | None = None,
        system: System | None = None,
        parameters: Mapping[str, float] | None = None,
    ) -> Controller:
        """A controller from a shipped checkpoint's name or a file.

        Args:
            name_or_path: `'van_der_pol'`, or the path of a `.safetensors` file.
            backend: 'numba' (compiled, the default of 'auto') or 'numpy' (plain Python).
            device: 'cpu'.
            cycles: refinement cycles of a plan; the checkpoint's own number by default.
            system: the plant, if it is neither shipped nor installed (`get_system('mine.py')`).
            parameters: physical parameters of this very plant, like `{'mu': 1.3}`, where they
                differ from the ones the network was trained for.

        Raises:
            FileNotFoundError, ValueError: one line that says what would work.
        """
        if device != 'cpu':
            raise ValueError(f"device '{device}' is not available; choose 'cpu'")
        checkpoint = load_checkpoint(name_or_path, system)
        if parameters:
            checkpoint = checkpoint.with_parameters(parameters)
        return cls(checkpoint, backend, cycles)

    def warm_up(self) -> float:
        """Compiles (or loads) the kernels and times a cycle; returns the seconds of a plan."""
        system = self.system
        x, goal = system.x0_box / 2, np.zeros(system.n_x)
        self.plan(x, goal)
        self.lqr_plan(x, goal)
        start = _median_seconds(lambda: self._run(x, goal, None, 0))
        whole = _median_seconds(lambda: self._run(x, goal, None, 10))
        self._start_seconds = start
        self._cycle_seconds = max(whole - start, 0.0) / 10
        return start + self.cycles * self._cycle_seconds

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
            warm_start: an earlier plan; shifted by `elapsed` it is one of the starts.
            deadline: seconds that may be spent; as many cycles are done as fit, by the times
                measured in `warm_up` (called here if it has not been).
            elapsed: seconds since the state that `warm_start` was made for; the system's dt by
                default.
            polish: box-iLQR sweeps to spend on the refined plan; J never rises.

        Returns:
            The refined plan, never dearer in predicted cost than any of `plan.candidates`.

        Raises:
            ValueError: if x or goal has the wrong shape or is not finite, or polish is negative.
        """
        if polish < 0:
            raise ValueError(f'polish must not be negative, got {polish}')
        x, goal = self._checked('x', x), self._checked('goal', goal)
        cycles = self.cycles if deadline is None else self._cycles_within(deadline)
        return self._run(x, goal, self._shifted(warm_start, goal, elapsed), cycles, polish)

    def lqr_plan(self, x: ArrayLike, goal: ArrayLike) -> Plan:
        """The clipped LQR roll-out on the true dynamics, the fallback."""
        x, goal = self._checked('x', x), self._checked('goal', goal)
        states, controls = self._buffers()
        law = plain(self._representation.K_start[0])
        J = self._rollout(self.system.arrays, law, self._no_plan, x, goal, states, controls)
        return Plan(controls, states, float(J), 'lqr')

    def _run(
        self, x: Array, goal: Array, previous: Array | None, cycles: int, polish: int = 0
    ) -> Plan:
        states, controls = self._buffers()
        names = self._starts if previous is None else (*self._starts, 'previous')
        starts = np.empty(len(names))
        J, start, improved = self._plan(
            self.system.arrays,
            self._representation,
            self._network,
            x,
            goal,
            self._no_plan if previous is None else previous,
            cycles,
            states,
            controls,
            starts,
        )
        if polish and math.isfinite(J):
            refined = J
            J, _, _ = self._improve(self.system.arrays, goal, polish, states, controls)
            improved = improved or refined > J
        return Plan(
            controls,
            states,
            float(J),
            'refined' if improved else names[start],
            converged=math.isfinite(J),
            cycles=cycles,
            candidates=dict(zip(names, starts.tolist(), strict=True)),
            warnings=self._warnings(x, goal),
        )

    def _buffers(self) -> tuple[Array, Array]:
        system = self.system
        states = np.empty((system.horizon + 1, system.n_x))
        return states, np.empty((system.horizon, system.n_u))

    def _checked(self, name: str, value: ArrayLike) -> Array:
        vector = np.ascontiguousarray(value, dtype=np.float64)
        if vector.shape != (self.system.n_x,):
            raise ValueError(f'{name} has shape {vector.shape}, expected ({self.system.n_x},)')
        if not np.isfinite(vector).all():
            raise ValueError(f'{name} is not finite: {vector}')
        return vector

    def _warnings(self, x: Array, goal: Array) -> tuple[str, ...]:
        system = self.system
        reach = OUTSIDE_FACTOR * (system.x0_box + system.goal_box)
        return tuple(
            f'{system.state_names[i]} is {x[i]:.3g}, far outside the training box around the goal'
            for i in np.flatnonzero(np.abs(x - goal) > reach)
        )

    def _cycles_within(self, deadline: float) -> int:
        if not math.isfinite(self._cycle_seconds):
            self.warm_up()
        spare = max(deadline - self._start_seconds, 0.0)
        return min(self.cycles, int(spare / max(self._cycle_seconds, 1e-9)))

    def _shifted(self, plan: Plan | None, goal: Array, elapsed: float | None) -> Array | None:
        """The feedback plan v (T, n_u) that continues `plan`, LQR taking over at its end."""
        if plan is None:
            return None
        system = self.system
        shift = 1.0 if elapsed is None else max(elapsed, 0.0) / system.dt
        place = np.arange(system.horizon) + shift
        whole = np.minimum(place.astype(int), system.horizon - 1)
        following = np.minimum(whole + 1, system.horizon - 1)
        part = (place - whole)[:, None]
        u = (1 - part) * plan.controls[whole] + part * plan.controls[following]
        x = (1 - part) * plan.states[whole] + part * plan.states[whole + 1]
        v = np.empty_like(u)
        reproject(system.arrays, self._representation.law, x, u, goal, v)
        v[place > system.horizon - 1] = 0.0
        return v


def _numbered(name: str, count: int) -> list[str]:
    return [name, *(f'{name} {i}' for i in range(2, count + 1))]


def _median_seconds(call: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(TIMING_RUNS):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))
