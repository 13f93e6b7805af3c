"""The `Controller`, which plans for a plant. It imports neither PyTorch nor a solver."""

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
from trc_core.compile.kernels import is_compiled
from trc_core.network_config import TRCConfig
from trc_core.numerics.batch import empty_trajectory
from trc_core.numerics.classical import FIRST_SWEEPS
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.plan import Plan
from trc_core.numerics.representation import DESCENT
from trc_core.planner import inputs
from trc_core.planner.backends import choose
from trc_core.planner.clock import now
from trc_core.planner.constrained import ConstrainedPlanning
from trc_core.planner.corrected import CorrectedPlanning
from trc_core.planner.correction import Correction
from trc_core.planner.descent import DescentPlanning
from trc_core.planner.free_time import FIRST_SWEEPS as FIRST_FREE
from trc_core.planner.free_time import FREE_TIME, FreeTimePlanning
from trc_core.planner.planning import Planning
from trc_core.planner.rows import Budget
from trc_core.planner.statement import Statement
from trc_core.planner.weighted import for_weights, reads_weights
from trc_core.problem.system import Array
from trc_core.systems import System, get_system

TOLERANCE = 1e-6
TIMING_RUNS = 20
CLASSICAL = 'classical'  # instead of a checkpoint: no network


class Controller:
    """A planner for one plant, whose plans never have a higher predicted cost than clipped LQR.

    A controller must not be shared between threads while it plans. Use one for each thread.

    Args:
        checkpoint: the network and its plant.
        backend: 'numba' (compiled), 'numpy' (the same as plain Python), 'torch' or 'onnx';
            'auto' takes what suits the device and the model.
        device: 'cpu', or 'cuda' for the backend 'torch'.
        cycles: the most refinement cycles of a plan; the checkpoint's own number by default.
        tolerance: refinement ends when a cycle is expected to gain less than this share of J.
        num_threads: the most that a batch may use; every core by default. A single plan uses one.
        starts: random starts of a plan without `warm_start`, without a network; see `classical`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        backend: str = 'auto',
        device: str = 'cpu',
        cycles: int | None = None,
        tolerance: float = TOLERANCE,
        num_threads: int | None = None,
        starts: int = 0,
    ) -> None:
        model = TRCConfig.from_record(checkpoint.model)
        default = FIRST_SWEEPS if checkpoint.is_classical else model.cycles
        self.checkpoint = checkpoint
        self.system = checkpoint.system
        self.cycles = default if cycles is None else cycles
        self.tolerance = tolerance
        self._num_threads = num_threads
        self._starts = starts
        inputs.require_settings(self.cycles, tolerance, num_threads)
        inputs.require_starts(starts, checkpoint.is_classical)
        self._seconds: float | None = None
        self._twins: dict[bytes, Controller | None] = {}  # for the newest weights
        self._free_time: FreeTimePlanning | None = None
        if self.system.final_time is not None:
            self._plan_free_time(checkpoint, cycles)
            return
        self.backend, self.reason = choose(backend, device, checkpoint)
        """The reason why this backend was chosen."""
        by_sweeps = checkpoint.is_classical or len(self.system.task.constraints) > 0
        kind = ConstrainedPlanning if by_sweeps else Planning
        more = {'starts': starts} if starts else {}
        planning = kind(checkpoint, self.backend, device, num_threads, **more)
        corrected = bool(checkpoint.correction)
        self._planning: Any = CorrectedPlanning(planning, checkpoint) if corrected else planning
        self.watch = planning.watch  # tells what the newest plan had time for
        self.adjustable = planning.backend.adjustable
        """Whether plans may have other physical parameters, weights and narrower bounds."""
        if not self.system.task.is_plain and not self.adjustable:
            raise ValueError(
                f"backend '{self.backend}' knows nothing of constraints and residuals; those of "
                f"{self.system.name} need 'numba' or 'numpy'"
            )
        T = self.system.horizon
        self._times = np.linspace(0.0, T * self.system.dt, T + 1, dtype=np.float64)
        self._statement = Statement(checkpoint, self.backend, self.adjustable)

    def _plan_free_time(self, checkpoint: Checkpoint, cycles: int | None) -> None:
        """Sets up planning where the duration is free.

        Raises:
            ValueError: if there is a network, which plans a fixed duration.
        """
        if checkpoint.coordinates.kind == DESCENT:
            planning: FreeTimePlanning = DescentPlanning(checkpoint, cycles)
        elif checkpoint.is_classical:
            sweeps = FIRST_FREE if cycles is None else cycles
            planning = FreeTimePlanning(self.system, sweeps, self._starts)
        else:
            raise ValueError(
                f"'{self.system.name}' has a free duration, and this network plans a fixed one: "
                "load 'classical' with system=..."
            )
        self.backend, self.reason = FREE_TIME, 'the duration of its plans is free'
        self._free_time = self._planning = planning
        self.watch, self.adjustable = self._free_time.watch, True
        self._statement = Statement(checkpoint, self.backend, self.adjustable)

    @classmethod
    def classical(
        cls, system: System | str | Path, cycles: int | None = None, starts: int = 0
    ) -> Controller:
        """A controller without a network, which plans by iLQR sweeps.

        `system` is the plant, its name or the path of its file. Sweeps start from clipped LQRs of
        R and of 10 R, from u_trim held, from the `laws` of the system, and from the previous plan.
        `cycles` is the largest number of sweeps of a plan without a warm start. Such a plan also
        tries so many random `starts`, which find another way round: 64 for a pendulum's swing-up,
        some hundreds where it takes several swings. Plans that go on cost nothing more.
        """
        return cls(Checkpoint.classical(_found(system)), cycles=cycles, starts=starts)

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
        force: bool = False,
    ) -> Controller:
        """Loads a controller: a shipped one by name, or a `.safetensors` or `.onnx` file.

        The name 'classical' with a `system` makes one without a network, as `classical` does.
        `system` is the plant or the path of its .py file, if it is neither shipped nor installed;
        `parameters` are those of this very plant, like `{'mu': 1.3}`, where they differ from the
        ones the network was trained for. A `system` with other equations, `dt` or horizon than the
        file's is refused; `force` flies it all the same, with a warning. The other arguments are
        those of the class.

        Raises:
            FileNotFoundError, ValueError: one line that says what would work.
        """
        system = None if system is None else _found(system)
        if name_or_path == CLASSICAL:
            if system is None:
                raise ValueError("'classical' needs a plant: give system=, a name or a .py file")
            checkpoint = Checkpoint.classical(system)
        else:
            checkpoint = load_checkpoint(name_or_path, system, force)
        if parameters:
            checkpoint = checkpoint.with_parameters(parameters)
        return cls(checkpoint, backend, device, cycles, tolerance, num_threads)

    def with_input_gains(self) -> Controller:
        """A twin that takes the gain of every control as a parameter, like `force_gain` of force.

        They are 1 until a plan is asked for with others: what a plant's inputs turn out to be
        worth can be learned in flight.

        Raises:
            ValueError: if the backend takes no parameters.
        """
        self._require_fixed_time('gains of controls')
        self._statement.require_adjustable('for the parameters that it was loaded with; gains')
        checkpoint = self.checkpoint.with_input_gains()
        settings = 'cpu', self.cycles, self.tolerance, self._num_threads, self._starts
        return Controller(checkpoint, self.backend, *settings)

    @property
    def correction(self) -> Correction | None:
        """The correction of a fine-tuned controller, or None."""
        return self._planning.correction

    @property
    def is_compiled(self) -> bool:
        """Whether planning can start at once, because plant and kernels are compiled."""
        return self._planning.is_compiled

    @property
    def uncompiled(self) -> tuple[str, ...]:
        """The kernels of planning that are still to be compiled on this machine."""
        if self.is_compiled:
            return ()
        return tuple(k.__name__ for k in self._planning.kernels if not is_compiled(k))

    @property
    def bounds(self) -> tuple[Array, Array]:
        """The smallest and the largest control (n_u,) of a plan; by default those of the system.

        With narrower bounds, for which the network was not trained, every plan ends with an iLQR
        sweep.

        Raises:
            ValueError: when set beyond those or in the wrong order, or if not `adjustable`.
        """
        return self._statement.bounds or (self.system.u_min, self.system.u_max)

    @bounds.setter
    def bounds(self, bounds: tuple[ArrayLike, ArrayLike]) -> None:
        narrower = inputs.narrower_bounds(self.system, bounds[0], bounds[1])
        if narrower is not None:
            self._statement.require_adjustable(
                f'with the bounds of {self.system.name}; narrower ones'
            )
        self._statement.bounds = narrower
        if self._free_time is not None:
            self._free_time.bounds = narrower

    def warm_up(self) -> float:
        """Compiles or loads the kernels, and returns the median time of a plan [s]."""
        if self._free_time is not None:
            return self._free_time.warm_up()
        system = self.system
        x, goal = system.x0_centre + system.x0_box / 2, system.goal_centre
        first = self.plan(x, goal, polish=1)
        self.plan(x, goal, warm_start=replace(first, memory=None))
        self.plan(x, goal, warm_start=first)
        self.lqr_plan(x, goal)
        problems = self._statement.problems(
            x[None], constant_reference(goal[None], system.horizon)
        )
        self._planning.rehearse(problems)
        every_cycle = Budget(self.cycles, math.inf, tolerance=0.0, seconds=0.0)
        whole, cycle = [], []
        for _ in range(TIMING_RUNS):
            began = now()
            found = self._planning.backend.plan(problems, every_cycle)
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
        parameters: Mapping[str, float] | None = None,
        weights: Mapping[str, ArrayLike] | None = None,
    ) -> Plan:
        """Plans from the state x to a goal or along a reference.

        Args:
            x: state (n_x,), physical units. Joints in rad may be wrapped: they have made as many
                turns as `warm_start` predicts.
            goal: state (n_x,) to reach and hold, or a reference (T + 1, n_x) to follow, from now.
            warm_start: an earlier plan; shifted by `elapsed` it is one of the candidates. While it
                is the cheapest, and predicted x, nothing else is refined.
            deadline: seconds that may be spent: no cycle begins that would not fit, by the times
                measured in `warm_up` (called here if it has not been) and since.
            elapsed: seconds since the state of `warm_start`; the system's dt by default.
            polish: box-iLQR sweeps on the refined plan, none begun after a deadline; under
                constraints, where plans without warm_start end by sweeps, the most of them. Of a
                free duration: the most interior-point sweeps, 3 with a warm start.
            issued: control (n_u,) commanded since, for a fine-tuned controller; None: the plan's.
            p: parameters (n_p,) of the plant, in the order of `system.parameters`, where they
                are not those that the controller was loaded with.
            parameters: the same by name, as far as they differ: where obstacles are, a mass.
            weights: any of 'Q', 'R' and 'Q_f', diagonals or matrices, where they are not the
                system's. A network that reads them plans for those; others end by sweeps.

        Returns:
            The refined plan, of no higher merit (J, and violations by their weight) than any of
            `plan.candidates`. A fine-tuned controller then corrects it, whatever the model
            predicts. Where constraints cannot be met it is the least violation that was found,
            and `plan.warnings` say so.

        Raises:
            ValueError: if an argument has the wrong shape or is no number, if warm_start is no
                plan of this plant, or if the backend takes no parameters.
        """
        if self._free_time is not None:
            if weights:
                self._require_fixed_time('other weights than its own')
            return self._free_time.plan(
                x, goal, warm_start, deadline, elapsed, polish, p, parameters
            )
        if (twin := self._of_weights(weights)) is not None:
            past = warm_start, deadline, elapsed, polish, issued
            return twin.plan(x, goal, *past, p, parameters)
        # The checked problem, a batch of one.
        budget = self._budget(deadline)
        inputs.require_sweeps(polish)
        problems, history = self._statement.single(
            x, goal, warm_start, elapsed, issued, p, parameters, weights
        )
        solution = self._planning.solve(problems, history, budget, polish)
        x0, r = problems.x0[0], problems.r[0]
        unusual = self._statement.parameter_warnings(problems.p)
        warnings = (*inputs.warnings(self.system, x0, r[0]), *unusual)
        plan = solution.plan(self._times, warnings)
        if plan.violation > 0.0 and inputs.is_violated(self.system, plan):
            warning = inputs.violation_warning(self.system, plan, r, problems.p)
            plan = replace(plan, warnings=(*plan.warnings, warning))
        return plan

    def plan_batch(
        self,
        x: ArrayLike,
        goal: ArrayLike,
        warm_start: Plan | None = None,
        elapsed: ArrayLike | None = None,
        polish: int = 0,
        issued: ArrayLike | None = None,
        parameters: Mapping[str, ArrayLike] | None = None,
        weights: Mapping[str, ArrayLike] | None = None,
        deadline: float | None = None,
    ) -> Plan:
        """Plans for many states at once: from every row of x (B, n_x) to its row of goal.

        A goal (n_x,) is one for all, references are (B, T + 1, n_x); `warm_start` and `issued`
        (B, n_u) are of the same fleet; a parameter and `elapsed` are numbers for all or arrays
        (B,). After the `deadline`, the rows that are left stay as their best candidates are.

        Returns:
            A plan whose fields have a leading axis B; `warnings` say how many rows they are about.

        Raises:
            ValueError: if a shape is wrong or a number is not finite, as in `plan`.
        """
        self._require_fixed_time('batches; call plan for every state')
        if (twin := self._of_weights(weights)) is not None:
            past = warm_start, elapsed, polish, issued
            return twin.plan_batch(x, goal, *past, parameters, deadline=deadline)
        budget = self._budget(deadline)
        inputs.require_sweeps(polish)
        problems, history = self._statement.batch(
            x, goal, warm_start, elapsed, issued, parameters, weights
        )
        solution = self._planning.solve(problems, history, budget, polish)
        warnings = inputs.batch_warnings(self.system, problems.x0, problems.r[:, 0])
        unusual = self._statement.parameter_warnings(problems.p)
        return solution.plans(self._times, (*warnings, *unusual))

    def lqr_plan(self, x: ArrayLike, goal: ArrayLike) -> Plan:
        """The plan of the clipped LQR, rolled out by the dynamics."""
        self._require_fixed_time('an LQR')
        x, goal = inputs.checked_problem(self.system, x, goal)
        trajectory = empty_trajectory(self.system)
        problems = self._statement.problems(
            x[None], constant_reference(goal[None], self.system.horizon)
        )
        v = np.zeros_like(trajectory.u)
        J = self._planning.fly(problems, 0, self._planning.lqr, v, trajectory)
        return Plan(trajectory.u, trajectory.x, J, 'lqr')

    def _of_weights(self, weights: Mapping[str, ArrayLike] | None) -> Controller | None:
        """A controller for other weights, where the network reads them; kept while they stay."""
        if not weights or not reads_weights(self.checkpoint):
            return None
        own = inputs.checked_weights(self.system, weights)
        key = b''.join(weight.tobytes() for weight in own)
        if key not in self._twins:
            checkpoint = for_weights(self.checkpoint, own)
            settings = self.backend, 'cpu', self.cycles, self.tolerance, self._num_threads
            twin = None if checkpoint is None else Controller(checkpoint, *settings)
            self._twins = {key: twin}
        twin = self._twins[key]
        if twin is not None:
            twin._seconds = twin._seconds or self._seconds
            twin._statement.bounds = self._statement.bounds
            self.watch = twin.watch
        return twin

    def _require_fixed_time(self, what: str) -> None:
        """Raises a ValueError where the duration is free, for what needs a fixed one."""
        if self._free_time is not None:
            raise ValueError(f"'{self.system.name}' has a free duration, and takes no {what}")

    def _budget(self, deadline: float | None) -> Budget:
        """What planning that may take so many seconds from now on may spend."""
        if deadline is not None and self._seconds is None:
            self.warm_up()
        end = inputs.checked_end(deadline)
        return Budget(self.cycles, end, self.tolerance, self._seconds or 0.0)


def _found(system: System | str | Path) -> System:
    """A plant, which may be given by its name or the path of its file."""
    return get_system(str(system)) if isinstance(system, (str, Path)) else system
