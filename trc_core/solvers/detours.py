"""Starts that pass every obstacle on its left or on its right, for any plant with obstacles.

`System.obstacles` names parameters; the states that are the plant's position are those that move
a constraint as the obstacle does, the other way. A law of the plant that drives to a goal is led
along each way (`detour_kernels.py`).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trc_core.compile.kernels import compiled
from trc_core.numerics.batch import empty_trajectory
from trc_core.problem.system import STOP, Array, System
from trc_core.solvers.detour_kernels import Field, fly_ways
from trc_core.solvers.problem import Problem

MOST = 6  # obstacles with a choice, so that there are at most 64 ways
CLEARANCE = 1.05  # times the radius, by which ways keep off
PROBES, STEP, SAME = 3, 1e-5, 1e-4  # of the slopes that tell where a position is


@lru_cache(maxsize=64)
def position_places(system: System) -> NDArray[np.int64]:
    """The places of the position among the states: (2,) or (3,), or (0,) where none is found.

    A constraint that keeps off an obstacle changes by the position as it changes by the centre,
    the other way. Slopes at random states near the obstacle tell.
    """
    if not system.obstacles or not system.task.constraints:
        return np.zeros(0, dtype=np.int64)
    obstacle, places = system.obstacles[0], system.places
    names = [name for name in (obstacle.x, obstacle.y, obstacle.z) if name is not None]
    rng = np.random.default_rng(0)
    x, goal = system.sample(rng, PROBES)
    found = []
    for name in names:
        matches = np.ones(system.n_x, dtype=np.bool_)
        for k in range(PROBES):
            p = system.p.copy()
            p[[places[n] for n in names]] = rng.normal(size=len(names))
            p[places[obstacle.radius]] = 1.0
            step = STEP * np.eye(len(p))[places[name]]
            by_centre = _values(system, x[k], goal[k], p + step) - _values(
                system, x[k], goal[k], p - step
            )
            for i in range(system.n_x):
                move = STEP * np.eye(system.n_x)[i]
                by_state = _values(system, x[k] + move, goal[k], p) - _values(
                    system, x[k] - move, goal[k], p
                )
                row = np.argmax(np.abs(by_centre))
                matches[i] &= abs(by_centre[row] + by_state[row]) <= SAME * STEP
                matches[i] &= abs(by_centre[row]) > SAME * STEP
        if matches.sum() != 1:
            return np.zeros(0, dtype=np.int64)
        found.append(int(matches.argmax()))
    return np.array(found)


def _values(system: System, x: Array, goal: Array, p: Array) -> Array:
    return np.array(system.task.constraints.evaluate(x, system.u_trim, goal, list(p), 0.0))


def leading_laws(system: System) -> list[str]:
    """The laws of a plant that drive to a goal: all but the one that stops."""
    return [name for name in system.laws if name != STOP]


def detours(problem: Problem) -> tuple[Array, Array, Array]:
    """What the laws of the plant do along every way around the obstacles.

    Returns:
        States (S, T + 1, n_x), controls (S, T, n_u) and merits (S,), inf where there is no such
        way; S is 0 where the plant has no obstacles or no law.
    """
    system, law_names = problem.system, list(problem.system.laws)
    places = position_places(system)
    leading = leading_laws(system)
    T = system.horizon
    if not len(places) or not leading:
        return np.empty((0, T + 1, system.n_x)), np.empty((0, T, system.n_u)), np.empty(0)
    parts = []
    for name in leading:
        states, _, _ = problem.fly_law(name, problem.r)
        field = _field(problem, places, states)
        count = 2 ** len(field.radii)
        flown, merits = empty_trajectory(system, count), np.empty(count)
        number = law_names.index(name)
        compiled(fly_ways)(problem.plant, number, field, problem.x0, problem.r, flown, merits)
        parts.append((flown.x, flown.u, merits))
    states, controls, merits = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return states, controls, merits


def _field(problem: Problem, places: NDArray[np.int64], flown: Array) -> Field:
    """The obstacles as the plant will find them, by a flight (T + 1, n_x) that ignores them."""
    system, p, n = problem.system, problem.p, len(places)
    start, along = problem.x0[places], problem.goal[places] - problem.x0[places]
    length = max(float(np.hypot(along[0], along[1])), 1e-9)
    forward = along[:2] / length
    left = np.array([-forward[1], forward[0]])
    time = system.dt * np.arange(system.horizon + 1)
    progress = (flown[:, places[:2]] - start[:2]) @ forward
    rows: list[tuple[float, float, float, float]] = []
    for obstacle in system.obstacles:
        centre, speed = (
            np.array([p[system.places[name]] if name else 0.0 for name in names])
            for names in (
                (obstacle.x, obstacle.y, obstacle.z),
                (obstacle.vx, obstacle.vy, obstacle.vz),
            )
        )
        then = centre + time[:, None] * speed - np.append(start, np.zeros(3 - n))
        share = then[:, :2] @ forward
        passing = int(np.argmax(progress >= share)) if (progress >= share).any() else -1
        at, aside = float(share[passing]), float(then[passing, :2] @ left)
        radius = CLEARANCE * float(p[system.places[obstacle.radius]])
        if obstacle.z is not None:
            above = then[passing, 2] - at / length * along[2]
            radius = math.sqrt(max(0.0, radius**2 - float(above) ** 2))
        if radius > 0.0 and -radius < at < length + radius:
            rows.append((abs(aside) - radius, at / length, aside, radius))
    rows = sorted(rows)[:MOST]
    table = np.array(rows).reshape(-1, 4)
    beside = np.append(left, np.zeros(n - 2))
    return Field(
        np.ascontiguousarray(start),
        np.ascontiguousarray(along),
        beside,
        np.ascontiguousarray(table[:, 1:3]),
        np.ascontiguousarray(table[:, 3]),
        places,
    )
