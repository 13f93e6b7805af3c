"""Planning where the duration is free: interior-point sweeps, cold or from the plan before."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trc_core.compile.kernels import is_compiled
from trc_core.numerics.free_time.binding import code_is_kept, for_problem, timed_plant
from trc_core.numerics.free_time.flights import Solver, as_plan
from trc_core.numerics.free_time.solve import Outcome, Schedule
from trc_core.numerics.free_time.timed import DT, HIGH, LOW, TURN, Flight, Timed
from trc_core.numerics.plan import Plan
from trc_core.planner import inputs
from trc_core.planner.clock import now
from trc_core.planner.history import checked_history
from trc_core.planner.watch import Watch
from trc_core.problem.system import Array, System
from trc_core.systems.registry import why_impossible

FIRST_SWEEPS = 100  # of a start without a plan before
RESTARTS = 10
SWEEPS = 3  # of a plan that goes on
TICK = Schedule(3e-6, 1.0, 3e-6)
TICK_MARGIN = 1e-4  # share of the range by which a plan that goes on keeps off its bounds
TIMING_RUNS = 5
FREE_TIME = 'free_time'  # the name of what plans


class FreeTimePlanning:
    """Plans of a free duration for one plant.

    Args:
        system: a plant with `final_time`.
        sweeps: the most of a start without a plan before.
        starts: random ones that a plan without one before tries as well.
    """

    correction = None

    def __init__(self, system: System, sweeps: int = FIRST_SWEEPS, starts: int = 0) -> None:
        self.system, self.sweeps, self.starts = system, sweeps, starts
        self.watch = Watch()
        """Says when there is no time for more sweeps."""
        self.bounds: tuple[Array, Array] | None = None
        """Narrower bounds (n_u,) of controls that belong to no norm."""
        self._solver = Solver(system)
        self._seconds: float | None = None  # of a sweep
        self._problem: tuple[bytes, Timed] | None = None  # the last goal and parameters

    @property
    def kernels(self) -> list[Callable[..., Any]]:
        """Every kernel that planning calls."""
        return list(self._solver.kernels)

    @property
    def is_compiled(self) -> bool:
        """Whether planning can start at once: machine code of plant and kernels is there."""
        return code_is_kept(self.system) and all(map(is_compiled, self.kernels))

    def warm_up(self) -> float:
        """Compiles or loads the kernels; returns the median time of a plan that goes on [s]."""
        system = self.system
        x, goal = system.x0_centre, system.goal_centre
        plan = self.plan(x, goal)
        seconds = []
        for _ in range(TIMING_RUNS):
            began = now()
            self.plan(x, goal, plan, elapsed=0.0)
            seconds.append(now() - began)
        self._seconds = float(np.median(seconds)) / SWEEPS
        return float(np.median(seconds))

    def plan(
        self,
        x: ArrayLike,
        goal: ArrayLike,
        warm_start: Plan | None = None,
        deadline: float | None = None,
        elapsed: float | None = None,
        polish: int = 0,
        p: ArrayLike | None = None,
        parameters: Mapping[str, float] | None = None,
    ) -> Plan:
        """The plan from a state x (n_x,) to a goal (n_x,), as `Controller.plan` says.

        Args:
            x: state (n_x,).
            goal: goal (n_x,).
            warm_start: a plan before. Its controls are shifted by `elapsed` and shrunk into the
                time that is left, which is never less than one dt.
            deadline: seconds that may be spent.
            elapsed: seconds since the state of `warm_start`; the system's dt by default.
            polish: the most sweeps, from one start; by default 3 on a plan that goes on, 100 from
                each start without one.
            p: parameters (n_p,) of the plant.
            parameters: those that differ, by name.
        """
        system = self.system
        end = inputs.checked_end(deadline)
        inputs.require_sweeps(polish)
        if np.ndim(goal) != 1:
            raise ValueError(
                f'a plan of a free duration ends at a goal ({system.n_x},); references need a '
                'fixed one: leave final_time out'
            )
        state, target = inputs.checked_problem(system, x, goal)
        own = system.p if p is None else inputs.checked_state('p', p, len(system.p))
        if parameters:
            own = system.parameter_rows(parameters, None, own)
        self.watch.begin()
        is_over = partial(self.watch.is_over, end) if math.isfinite(end) else _never
        plant = self._bounded(self._plant(target, own))
        if warm_start is None:
            sweeps, restarts = polish or self._affordable(end), 0 if polish else RESTARTS
            flight, found = self._first(plant, state, sweeps, restarts, is_over)
            if self.starts and not is_over():
                more = self.starts, sweeps, is_over
                flight, found = self._solver.explore(plant, flight, found, *more)
            source = 'ipddp'
        else:
            history = checked_history(system, 1, warm_start, elapsed, None)
            if warm_start.times is None:
                raise ValueError('warm_start has no times; give a plan of this controller')
            seconds = float(history.steps(system.dt)) * system.dt
            plant, flight, found = self._go_on(plant, state, warm_start, seconds, polish, is_over)
            source = 'previous' if found.sweeps == 0 else 'refined'
        converged = bool(found.converged)
        plan = as_plan(system, plant, flight, source, converged, int(found.sweeps))
        plan = _finite(system, plan)
        warnings = self._warnings(plan, plant, state, target, own)
        return replace(plan, warnings=tuple(warnings)) if warnings else plan

    def _plant(self, goal: Array, p: Array) -> Timed:
        """The plant with a goal (n_x,) and parameters (n_p,); that of the last call is kept."""
        numbers = goal.tobytes() + p.tobytes()
        last = self._problem
        if last is None or last[0] != numbers:
            last = numbers, for_problem(self.system, timed_plant(self.system), goal, p)
            self._problem = last
        return last[1]

    def _first(
        self,
        plant: Timed,
        x0: Array,
        sweeps: int,
        restarts: int,
        is_over: Callable[[], bool],
    ) -> tuple[Flight, Outcome]:
        """The plan from x0 (n_x,) without one before."""
        return self._solver.cold(plant, x0, None, sweeps, restarts, is_over)

    def _affordable(self, end: float) -> int:
        """Sweeps of a start that fit before a moment, by the time that they took."""
        if not math.isfinite(end) or self._seconds is None:
            return self.sweeps
        return int(np.clip((end - now()) / self._seconds, 1, self.sweeps))

    def _go_on(
        self,
        plant: Timed,
        x: Array,
        before: Plan,
        elapsed: float,
        polish: int,
        is_over: Callable[[], bool],
    ) -> tuple[Timed, Flight, Outcome]:
        """A few sweeps on the plan before; many from a new start where that is of no use."""
        tick = self.system.dt / self.system.horizon
        plant = plant._replace(dt=np.array([min(0.9 * tick, plant.dt[0]), plant.dt[1]]))
        flight = self._solver.begin(plant, x, _shifted(self.system, before, elapsed))
        found_flight, found = self._solver.refine(
            plant, flight, polish or SWEEPS, TICK, TICK_MARGIN
        )
        if math.isfinite(found.missed + found.open) or is_over():
            return plant, found_flight, found
        flight, found = self._solver.cold(plant, x, None, self.sweeps, 0, is_over)
        return plant, flight, found

    def _bounded(self, plant: Timed) -> Timed:
        """The plant with narrower bounds of its controls."""
        if self.bounds is None:
            return plant
        bounds, low, high = plant.bounds.copy(), *self.bounds
        for i in np.flatnonzero(plant.kinds != TURN):
            if any(i == group[1] for group in plant.groups):
                continue
            bounds[LOW, i], bounds[HIGH, i] = low[i], high[i]
        return plant._replace(bounds=bounds)

    def _warnings(self, plan: Plan, plant: Timed, x: Array, goal: Array, p: Array) -> list[str]:
        """What a user should know of a plan."""
        system = self.system
        found = list(inputs.warnings(system, x, goal))
        if plan.violation <= system.constraint_tolerance:  # possible, as it seems
            return found
        reason = why_impossible(system, x, dict(zip(system.parameters, p, strict=True)))
        found += [] if reason is None else [reason]
        return [*found, _violated(system, plant, plan)]


def _never() -> bool:
    return False


def _shifted(system: System, plan: Plan, elapsed: float) -> Plan:
    """What is left of a plan after some seconds, as steps of equal length.

    A new step holds the mean of what the old ones held over its time.
    """
    assert plan.times is not None
    T, whole = system.horizon, float(plan.times[-1])
    left = max(whole - elapsed, system.dt)
    # plain indices: np.interp of every control would cost as much as a sweep
    begin, width = T * max(whole - left, 0.0) / whole, min(left / whole, 1.0)
    edges = begin + width * np.arange(T + 1)
    steps = np.minimum(edges.astype(np.int64), T - 1)
    held = np.zeros((T + 1, system.n_u))
    plan.controls.cumsum(0, out=held[1:])
    total = held[steps] + (edges - steps)[:, None] * plan.controls[steps]
    controls = (total[1:] - total[:-1]) / width
    return replace(plan, controls=controls, times=np.array([0.0, left]))


def _finite(system: System, plan: Plan) -> Plan:
    """The plan, and where its prediction is no number the last state that was one."""
    if math.isfinite(plan.cost) and np.isfinite(plan.states).all():
        return plan
    wrong = ~np.isfinite(plan.states).all(axis=1)
    states = plan.states.copy()
    for t in np.flatnonzero(wrong):
        states[t] = states[t - 1] if t > 0 else system.x0_centre
    values: dict[str, Any] = dict.fromkeys(('cost', 'merit', 'violation'), math.inf)
    return replace(plan, states=states, converged=False, candidates={}, memory=None, **values)


def _violated(system: System, plant: Timed, plan: Plan) -> str:
    """A line about the largest error of a plan."""
    if not math.isfinite(plan.violation):
        return 'no plan was found: its prediction leaves what numbers can hold'
    flight = plan.memory
    assert isinstance(flight, Flight)
    for place in plant.terminal:
        error = abs(flight.x[-1, place] - plant.goal[place])
        if error >= plan.violation:
            name, unit = system.state_names[place], system.state_units[place]
            return (
                f"the plan misses the goal of '{name}' by {error:.3g} {unit}: nothing better was "
                'found'
            )
    depth = np.where(plant.holds, flight.h, -math.inf)
    step, worst = np.unravel_index(np.argmax(depth), depth.shape)
    name, after = system.task.constraints.names[worst], step * flight.numbers[DT]
    return (
        f"constraint '{name}' is violated by {depth[step, worst]:.3g} after {after:.3g} s: "
        'nothing better was found'
    )
