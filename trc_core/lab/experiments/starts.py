"""Sources of starts for a car among circles, all improved alike: the best by the merit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trc_core.numerics.plan import distinct
from trc_core.planner.starts import SAME
from trc_core.problem.system import Array
from trc_core.solvers.detours import detours
from trc_core.solvers.plans import Plans, improved, rolled_out
from trc_core.solvers.problem import Problem
from trc_core.solvers.starting_points import random_detour

TRIAL, LAST = 12, 12  # sweeps on every start, and on the best of them then
LEADING = 'line'  # the law that drives to a goal
MIRROR = np.array([-1.0, 1.0, -1.0, 1.0, -1.0])  # of a point: seen in a mirror along the way
UNITS = np.array([1.2, 0.75, 0.3, 1.5, 1.2])  # heading, speed, steering; distance, heading of goal


class Improved(NamedTuple):
    """A plan in the end."""

    controls: Array
    """(T, n_u)."""
    states: Array
    """(T + 1, n_x)."""
    merit: float


def improve(
    problem: Problem, starts: Plans, best: int, trial: int = TRIAL, last: int = LAST
) -> Improved:
    """The best of a few starts after `trial` sweeps on each, then `last` more.

    Args:
        problem: of the starts.
        starts: any number.
        best: how many of them, by the merit, are improved.
        trial: sweeps on each; without any the best start is the answer.
        last: sweeps on the best then.
    """
    tried = starts.rows(distinct(starts.merit, best, SAME))
    if trial:
        tried = improved(problem, tried, trial)
    winner = tried.rows(np.array([np.argmin(tried.merit)]))
    if last and not winner.converged[0]:
        winner = improved(problem, winner, last)
    return Improved(winner.controls[0], winner.states[0], float(winner.merit[0]))


def random_controls(problem: Problem, count: int, rng: np.random.Generator) -> Array:
    """Piecewise constant controls (count, T, n_u)."""
    system = problem.system
    segments = rng.integers(2, 17, (count, 1))
    levels = rng.uniform(system.u_min, system.u_max, (count, 16, system.n_u))
    places = np.arange(system.horizon) * segments // system.horizon
    return np.take_along_axis(levels, places[..., None], 1)


def left_right(problem: Problem) -> Plans:
    """What the plant's law does along every way left or right of the circles."""
    return Plans.begun(problem.system, *detours(problem))


def random_detours(problem: Problem, count: int, rng: np.random.Generator) -> Plans:
    """What the plant's law does on its way by random places."""
    rows = [random_detour(problem, LEADING, rng) for _ in range(count)]
    return rolled_out(problem, np.array([controls for _, controls in rows]))


def by_law(problem: Problem, name: str) -> Plans:
    """What a law of the plant does."""
    x, u, merit = problem.fly_law(name, problem.r)
    return Plans.begun(problem.system, x[None], u[None], np.array([merit]))


# Plans that are kept.


@dataclass(frozen=True)
class StoredPlans:
    """Optimal plans of other problems, and their mirror images."""

    points: Array
    """(N, 5): heading, speed and steering of the start, distance and heading of the goal, in
    `UNITS`."""
    controls: Array
    """(N, T, n_u)."""

    @classmethod
    def of(cls, x0: Array, goal: Array, controls: Array) -> StoredPlans:
        """The plans of starts and goals (N, n_x), in any frame; controls are (N, T, n_u)."""
        points = _points(x0, goal)
        other = points * MIRROR
        mirrored = controls * np.array([1.0, -1.0])
        return cls(np.vstack([points, other]), np.concatenate([controls, mirrored]))

    def nearest(self, problem: Problem, count: int) -> Array:
        """Controls (count, T, n_u) of the plans of the most similar starts and goals."""
        here = _points(problem.x0[None], problem.goal[None])
        distance = np.square(self.points - here).sum(-1)
        if count >= len(distance):
            return self.controls
        return self.controls[np.argpartition(distance, count)[:count]]


def _points(x0: Array, goal: Array) -> Array:
    """Starts and goals (N, n_x) as points (N, 5), seen along the line between them."""
    along = goal[:, :2] - x0[:, :2]
    bearing = np.arctan2(along[:, 1], along[:, 0])
    headings = [np.remainder(x[:, 2] - bearing + np.pi, 2.0 * np.pi) - np.pi for x in (x0, goal)]
    gap = np.hypot(*along.T)
    return np.stack([headings[0], x0[:, 3], x0[:, 4], gap, headings[1]], -1) / UNITS
