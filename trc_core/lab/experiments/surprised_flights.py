"""Flights of a car among circles of which one appears ahead of it, or which move."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from trc_core.compile.binding import plant_of, violation_weight
from trc_core.compile.kernels import compiled
from trc_core.lab.benchmark.constrained import AT_REST, NOISE, depth
from trc_core.numerics.cost import constant_reference, difference, stage_cost, terminal_cost
from trc_core.numerics.plan import Plan
from trc_core.numerics.rollout import Trajectory
from trc_core.planner.controller import Controller
from trc_core.planner.problems import Problems
from trc_core.planner.rows import Found
from trc_core.planner.sweeping import Sweeping
from trc_core.problem.parameters import moved
from trc_core.problem.system import FAR, Array, System
from trc_core.solvers import multistart
from trc_core.systems.bicycle_circles import CIRCLES, bicycle_circles, draw

TICKS = 90  # a horizon and a half
EARLIEST, LATEST = 5, 20  # tick at which a circle appears
AHEAD = (1.1, 1.8)  # [m] along the plan, where it does
ASIDE = 0.1  # [m] standard deviation, beside the plan
RADIUS = (0.3, 0.5)  # [m] of that circle
MOVING, LEFT = 0.6, 2.5  # speed [m/s] and way to go [m] of the car at that moment, at least
CLEAR = 0.25  # [m] from that circle to the goal, at least
WAYS = 24  # starts by which it is known whether there is a way at all
HIT = 0.02  # [m] inside a circle
INSIDE = 0.01  # [m] of a first plan that found no way

Tick = Callable[[Array, Array, Plan, Mapping[str, float]], Plan]
"""State, goal, plan of the tick before, parameters now -> plan."""


@dataclass(frozen=True)
class Situation:
    """A car on its way."""

    x: Array
    """Its state (n_x,)."""
    goal: Array
    """(n_x,)."""
    plan: Plan
    """Made a tick before, of what was known then."""
    parameters: Mapping[str, float]
    """The circles now."""
    noise: Array
    """(TICKS, n_x) added to the state."""
    has_way: bool
    """Whether sweeps from many starts find a plan that hits nothing."""


@dataclass
class Flight:
    """One flight from a situation."""

    cost: float
    deepest: float
    """How far it ever was inside a circle [m]; negative: how near it came."""
    seconds: list[float]
    """CPU time of every plan."""


class SweepsATick:
    """A planner that spends so many sweeps on the plan before, and tries nothing else.

    Args:
        system: the plant.
        sweeps: at every tick, at most.
    """

    def __init__(self, system: System, sweeps: int) -> None:
        self.system, self.sweeps = system, sweeps
        self._sweeping = Sweeping(system, plant_of, compiled)
        self._weight = violation_weight(system)

    def __call__(
        self, x: Array, goal: Array, previous: Plan, parameters: Mapping[str, float]
    ) -> Plan:
        """The plan before, shifted by its own gains and improved."""
        system, memory = self.system, previous.memory
        assert memory is not None
        r = constant_reference(goal[None], system.horizon)
        p = system.parameter_rows(parameters)
        problems = Problems(x[None], r, p=p, memory=memory.copied())
        found = Found(
            np.empty_like(previous.states)[None],
            np.empty_like(previous.controls)[None],
            np.empty(1),
            np.zeros(1, np.int64),
            np.zeros(1, np.int64),
            np.zeros(1),
            np.empty((1, 1)),
        )
        earlier = Trajectory(previous.states[None], previous.controls[None])
        violation = self._sweeping.gone_on(problems, earlier, found, 1.0, self.sweeps)
        merit, (total, largest) = float(found.J[0]), violation[0]
        cost = merit - self._weight * total
        state, controls = found.x[0], found.u[0]
        return Plan(
            controls, state, cost, 'sweeps', violation=largest, merit=merit, memory=problems.memory
        )


def as_it_flies(controller: Controller) -> Tick:
    """The controller's own plans."""

    def tick(x: Array, goal: Array, previous: Plan, parameters: Mapping[str, float]) -> Plan:
        return controller.plan(x, goal, previous, parameters=parameters)

    return tick


def fly(tick: Tick, start: Situation) -> Flight:
    """Flies from a situation; circles move as they are said to."""
    system, x, plan = bicycle_circles, start.x, start.plan
    J, deepest, seconds = 0.0, -np.inf, []
    for t, push in enumerate(start.noise):
        now = moved(system, start.parameters, t * system.dt)
        began = time.thread_time()
        plan = tick(x, start.goal, plan, now)
        seconds.append(time.thread_time() - began)
        u = plan.controls[0]
        J += float(stage_cost(system, difference(system, x, start.goal), u))
        x = system.step(x, u) + push
        then = moved(system, start.parameters, (t + 1) * system.dt)
        deepest = max(deepest, depth(system, x, then))
    J += float(terminal_cost(system, difference(system, x, start.goal)))
    return Flight(J, deepest, seconds)


def moving(controller: Controller, seed: list[int]) -> Iterator[Situation]:
    """Starts among circles that move, for which the controller finds a first plan."""
    rng = np.random.default_rng(seed)
    while True:
        x, goal, parameters = draw(rng, moving=True)
        plan = controller.plan(x, goal, parameters=parameters)
        noise = _noise(rng)
        if _found_way(plan):
            then = moved(bicycle_circles, parameters, bicycle_circles.dt)
            x = bicycle_circles.step(x, plan.controls[0])
            yield Situation(x, goal, plan, then, noise, has_way(x, goal, then))


def appearing(controller: Controller, seed: list[int]) -> Iterator[Situation]:
    """Cars on their way at the moment at which one more circle appears on it."""
    rng = np.random.default_rng(seed)
    while True:
        x, goal, parameters = draw(rng)
        wanted, noise = rng.integers(EARLIEST, LATEST + 1), _noise(rng)
        if f'x{CIRCLES}' in parameters:
            continue  # no row is left for one more
        plan = controller.plan(x, goal, parameters=parameters)
        if not _found_way(plan):
            continue
        for t in range(TICKS):
            x = bicycle_circles.step(x, plan.controls[0]) + noise[t]
            to_go = np.hypot(*(goal - x)[:2])
            if to_go < LEFT:
                break
            if t >= wanted and x[3] >= MOVING:
                known = {**parameters, **_one_more(rng, x, goal, plan, parameters)}
                if depth(bicycle_circles, goal, known) < -CLEAR:
                    way = has_way(x, goal, known)
                    yield Situation(x, goal, plan, known, _noise(rng), way)
                break
            plan = controller.plan(x, goal, plan, parameters=parameters)


def _one_more(
    rng: np.random.Generator,
    x: Array,
    goal: Array,
    plan: Plan,
    parameters: Mapping[str, float],
) -> dict[str, float]:
    """The parameters of a circle on the way of a plan, ahead of a car at x."""
    way = plan.states[1:, :2]
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=1))])
    ahead = rng.uniform(*AHEAD)
    centre = [np.interp(ahead, lengths, column) for column in way.T] + rng.normal(0.0, ASIDE, 2)
    k = next(k for k in range(1, CIRCLES + 1) if parameters.get(f'x{k}', FAR) >= FAR)
    values = (*centre, rng.uniform(*RADIUS), 0.0, 0.0)
    names = (f'{name}{k}' for name in ('x', 'y', 'r', 'vx', 'vy'))
    return dict(zip(names, map(float, values), strict=True))


def has_way(x: Array, goal: Array, parameters: Mapping[str, float]) -> bool:
    """Whether sweeps from many starts find a plan that hits nothing."""
    plan = multistart.solve(bicycle_circles, x, goal, WAYS, parameters=parameters)
    return plan.violation <= HIT


def _found_way(plan: Plan) -> bool:
    return plan.violation <= INSIDE and plan.source not in AT_REST


def _noise(rng: np.random.Generator) -> Array:
    return NOISE * rng.normal(size=(TICKS, bicycle_circles.n_x))
