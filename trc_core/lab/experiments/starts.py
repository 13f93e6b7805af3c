"""Sources of starts for a car among circles, all improved alike: the best by the merit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trc_core.compile.kernels import compiled
from trc_core.numerics.batch import empty_trajectory, memory_of
from trc_core.numerics.ilqr import Outcome, batch_improve, batch_replay
from trc_core.numerics.plan import distinct
from trc_core.numerics.rollout import Trajectory
from trc_core.planner.starts import SAME
from trc_core.problem.system import Array
from trc_core.solvers.detours import detours
from trc_core.solvers.problem import Problem
from trc_core.solvers.starting_points import random_detour

TRIAL, LAST = 12, 12  # sweeps on every start, and on the best of them then
LEADING = 'line'  # the law that drives to a goal
MIRROR = np.array([-1.0, 1.0, -1.0, 1.0, -1.0])  # of a point: seen in a mirror along the way
UNITS = np.array([1.2, 0.75, 0.3, 1.5, 1.2])  # heading, speed, steering; distance, heading of goal


class Starts(NamedTuple):
    """N starts, rolled out."""

    plans: Trajectory
    """Rows of x (N, T + 1, n_x) and of u (N, T, n_u)."""
    merit: Array
    """(N,)."""


class Improved(NamedTuple):
    """A plan in the end."""

    controls: Array
    """(T, n_u)."""
    states: Array
    """(T + 1, n_x)."""
    merit: float


def rolled_out(problem: Problem, controls: Array) -> Starts:
    """The starts of controls (N, T, n_u)."""
    plans = Trajectory(
        empty_trajectory(problem.system, len(controls)).x, np.ascontiguousarray(controls)
    )
    plans.x[:, 0] = problem.x0
    merit = np.empty(len(controls))
    compiled(batch_replay)(problem.plant, _references(problem, len(controls)), plans, merit)
    return Starts(plans, np.where(np.isfinite(merit), merit, np.inf))


def improve(
    problem: Problem, starts: Starts, best: int, trial: int = TRIAL, last: int = LAST
) -> Improved:
    """The best of a few starts after `trial` sweeps on each, then `last` more.

    Args:
        problem: of the starts.
        starts: any number.
        best: how many of them, by the merit, are improved.
        trial: sweeps on each; without any the best start is the answer.
        last: sweeps on the best then.
    """
    chosen = distinct(starts.merit, best, SAME)
    plans = Trajectory(starts.plans.x[chosen], starts.plans.u[chosen])
    outcome = _outcome(starts.merit[chosen])
    memory, r = memory_of(problem.system, len(chosen)), _references(problem, len(chosen))
    if trial:
        compiled(batch_improve)(problem.plant, r, trial, 0.0, plans, memory, outcome)
    n = int(np.argmin(outcome.J))
    one = slice(n, n + 1)
    if last and not outcome.converged[n]:
        row = Trajectory(plans.x[one], plans.u[one])
        own = Outcome(outcome.J[one], outcome.spent[one], outcome.converged[one])
        left = memory.rows(one)
        compiled(batch_improve)(problem.plant, r[one], last, 0.0, row, left, own)
    return Improved(plans.u[n], plans.x[n], float(outcome.J[n]))


def _references(problem: Problem, count: int) -> Array:
    return np.repeat(problem.r[None], count, 0)


def _outcome(merit: Array) -> Outcome:
    return Outcome(merit.copy(), np.zeros(len(merit), np.int64), np.zeros(len(merit), np.bool_))


def random_controls(problem: Problem, count: int, rng: np.random.Generator) -> Array:
    """Piecewise constant controls (count, T, n_u)."""
    system = problem.system
    segments = rng.integers(2, 17, (count, 1))
    levels = rng.uniform(system.u_min, system.u_max, (count, 16, system.n_u))
    places = np.arange(system.horizon) * segments // system.horizon
    return np.take_along_axis(levels, places[..., None], 1)


def left_right(problem: Problem) -> Starts:
    """What the plant's law does along every way left or right of the circles."""
    states, controls, merit = detours(problem)
    return Starts(Trajectory(states, controls), merit)


def random_detours(problem: Problem, count: int, rng: np.random.Generator) -> Starts:
    """What the plant's law does on its way by random places."""
    rows = [random_detour(problem, LEADING, rng) for _ in range(count)]
    return rolled_out(problem, np.array([controls for _, controls in rows]))


def by_law(problem: Problem, name: str) -> Starts:
    """What a law of the plant does."""
    x, u, merit = problem.fly_law(name, problem.r)
    return Starts(Trajectory(x[None], u[None]), np.array([merit]))


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
