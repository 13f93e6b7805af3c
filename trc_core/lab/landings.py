"""Powered descents in closed loop: plans that shrink, on a lander that is not quite its model."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from trc_core.flight.adaptation import ParameterEstimator
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.problem.system import Array, System
from trc_core.simulation.plant import rotation

TICK = 1.0  # [s] between plans
SWEEPS = 3  # on a plan that goes on
GUST_SECONDS = 3.0  # correlation time of gusts
STEP = 0.1  # [s] of the simulated lander
MOST_SECONDS = 400.0  # of a flight, beyond which it is lost
NOISE = (1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 1.0)  # of the estimator: m, m/s, kg


@dataclass(frozen=True)
class Lander:
    """The simulated lander: how it differs from its model."""

    missing: float = 0.0
    """Share of the thrust that is missing."""
    misaligned: float = 0.0
    """Angle [rad] by which the thrust is turned, about an axis that a flight draws."""
    heavier: float = 0.0
    """Share by which the mass is above the measured one."""
    gusts: float = 0.0
    """Standard deviation [m/s^2] of what gusts accelerate it by, along each axis."""


ALL = Lander(missing=0.03, misaligned=math.radians(2.0), heavier=0.02, gusts=0.05)


@dataclass(frozen=True)
class Landing:
    """How a flight ended."""

    states: Array
    """(N, 7), true, once per tick."""
    fuel: float
    """Mass that was burnt [kg]."""
    milliseconds: float
    """Median CPU time of a tick's plan."""

    @property
    def place(self) -> float:
        """Distance from the target at the end [m]."""
        return float(np.linalg.norm(self.states[-1, :3]))

    @property
    def speed(self) -> float:
        """Speed at the end [m/s]."""
        return float(np.linalg.norm(self.states[-1, 3:6]))


def fly(
    controller: Controller,
    x0: Array,
    lander: Lander,
    rng: np.random.Generator,
    first_sweeps: int = 5,
    reserve: float = 0.0,
    estimator: ParameterEstimator | None = None,
    given_up: float = 0.0,
) -> Landing:
    """Flies one descent: plans once per `TICK`, goes on with the last plan, and lands.

    Args:
        controller: of the lander's model.
        x0: true state (7,) at the start.
        lander: how it differs.
        rng: draws the axis of misalignment and the gusts.
        first_sweeps: on the first plan.
        reserve: share of the thrust that plans do not count with.
        estimator: learns the thrust in flight, if given.
        given_up: share of the reserve that plans count with in the end, and by and by before.
    """
    system, x, known = controller.system, np.array(x0), 1.0
    world = _World(system, lander, rng)
    estimate = None if estimator is None else estimator.prior()
    seen, states, spent = world.measured(x), [np.array(x)], []
    plan = partial(controller.plan, goal=np.zeros(system.n_x))
    own = plan(seen, polish=first_sweeps, parameters={'thrust_gain': 1.0 - reserve})
    first = math.inf if own.times is None else float(own.times[-1])
    while own.times is not None and len(states) * TICK < MOST_SECONDS:
        seconds = min(TICK, float(own.times[-1]))
        held = list(held_between(own, 0.0, seconds))
        before = seen
        for thrust, duration in held:
            x = world.moved(x, thrust, duration)
        seen = world.measured(x)
        states.append(x)
        if seconds < TICK or own.times[-1] - seconds < 1e-6:
            break
        if estimator is not None and estimate is not None:
            thrusts, durations = (np.array(column) for column in zip(*held, strict=True))
            estimate = estimator.update(estimate, before, thrusts, durations, seen)
            known = float(estimator.parameters(estimate)[0])
        began = time.thread_time()
        flown = max(0.0, 1.0 - float(own.times[-1]) / first)
        parameters = {'thrust_gain': (1.0 - reserve * (1.0 - given_up * flown)) * known}
        own = plan(seen, warm_start=own, elapsed=seconds, polish=SWEEPS, parameters=parameters)
        spent.append(time.thread_time() - began)
    fuel = float(x0[6] - x[6])
    return Landing(np.array(states), fuel, 1e3 * float(np.median(spent or [0.0])))


def held_between(plan: Plan, begin: float, end: float) -> Iterator[tuple[Array, float]]:
    """The controls of a plan between two times, and for how long each is held."""
    assert plan.times is not None
    for control, start, stop in zip(plan.controls, plan.times[:-1], plan.times[1:], strict=True):
        seconds = min(stop, end) - max(start, begin)
        if seconds > 0.0:
            yield control, float(seconds)


class _World:
    """The true lander."""

    def __init__(self, system: System, lander: Lander, rng: np.random.Generator) -> None:
        self.system, self.lander, self.rng = system, lander, rng
        axis = rng.normal(size=3)
        self._turn = rotation(axis / np.linalg.norm(axis), lander.misaligned)
        self._gust = rng.normal(0.0, lander.gusts, 3)

    def measured(self, x: Array) -> Array:
        """The state as it is measured."""
        seen = np.array(x)
        seen[6] /= 1.0 + self.lander.heavier
        return seen

    def moved(self, x: Array, thrust: Array, seconds: float) -> Array:
        """The state after holding a commanded thrust."""
        count = max(1, round(seconds / STEP))
        dt, kept = seconds / count, math.exp(-seconds / count / GUST_SECONDS)
        with_gain = (1.0 - self.lander.missing) * (self._turn @ thrust)
        for _ in range(count):
            burnt = x[6]
            x = self.system.step(x, with_gain, dt)
            # an engine that is weak burns what it was told to
            x[6] = burnt - (burnt - x[6]) / (1.0 - self.lander.missing)
            x[3:6] += dt * self._gust
            fresh = math.sqrt(1.0 - kept * kept) * self.lander.gusts
            self._gust = kept * self._gust + self.rng.normal(0.0, 1.0, 3) * fresh
        return x
