"""Labels of nonconvex systems by a library of tails: the optimum of one state serves many others.

What is left of an optimal plan after t steps is nearly optimal from the state x_t, so N labels
hold N T good plans. Some states find theirs from random starts; then the set doubles until it is
full, and each new state follows the known tails that begin near it, improving the best of them.
Half of the new states come from the box, half lie near known plans, where a controller will be.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.numerics.batch import improve_rows
from trc_core.numerics.cost import constant_reference, difference
from trc_core.numerics.ilqr import batch_improve, batch_replay
from trc_core.numerics.parallel import cores
from trc_core.numerics.random_controls import SEGMENTS
from trc_core.numerics.representation import catching_law, is_odd
from trc_core.numerics.rollout import Trajectory
from trc_core.problem.system import Array, System
from trc_core.solvers.labels import Labels
from trc_core.solvers.library_kernels import (
    Goals,
    Tails,
    batch_fly,
    batch_follow_tails,
    batch_gains,
)
from trc_core.solvers.searched_labels import needs_search, searched_labels

FIRST, STARTS = 600, 12  # states that begin from random plans, and how many plans each
FIRST_ROUNDS = 3  # how often those states then ask each other
LIBRARY, NEAR = 6000, 32  # plans in a library, and tails that a state follows
RETRIED = 8000  # states that ask again after a doubling, so that late finds spread
PROBED, PROBES = 600, 2  # new states that also try random plans, and how many each
KEEP_NEW, KEEP_RETRIED, KEEP_LAST, KEEP_RANDOM = 4, 3, 2, 3  # plans improved to the end
TRIAL = {'tail': 10, 'random': 15}  # sweeps before plans are compared
SWEEPS = 200  # at most, for those that are kept
SAME_OPTIMUM = 1e-6  # relative gap in J within which plans improved briefly are one
SPREAD = 0.03  # of the states near known plans, in half widths of the box
ANGLE_WEIGHT = 3.0
ROWS_PER_JOB = 32
TIMED = 16  # labels, too few to be shared out, by which the time of all is foretold
KERNELS = batch_fly, batch_follow_tails, batch_gains, batch_replay, batch_improve

Rows = NDArray[np.int64]


def library_labels(
    system: System,
    count: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Labels:
    """Labels for `count` states; the same for the same arguments, whatever the machine's load.

    Problems with constraints, or with parameters that have ranges, are searched one by one
    (`searched_labels.py`). Those of others help each other by the tails of their plans: tails are
    near in units of the boxes, by their errors and their goals. An angle (a half width of pi or
    more) weighs three times: a swing-up's cost and its local optima change fastest along it.

    Args:
        system: the plant.
        count: how many labels, at least 1; a few thousand serve each other best.
        seed: of the states and the random plans.
        progress: called after every round with the labels so far and `count`.

    Raises:
        ValueError: if `count` is less than 1, a state is left from which every plan diverges, or
            hardly any problem has a plan that keeps the constraints.
    """
    if count < 1:
        raise ValueError(f'count is {count}, expected at least 1')
    if needs_search(system):
        return searched_labels(system, count, seed, progress)
    with ThreadPoolExecutor(cores(), thread_name_prefix='trc-library') as threads:
        pool = _Pool(system, np.random.default_rng(seed), threads)
        pool.begin(min(FIRST, (count + 1) // 2))
        while len(pool.cost) < count:
            if progress is not None:
                progress(len(pool.cost), count)
            pool.grow(min(len(pool.cost), count - len(pool.cost)))
        pool.ask(pool.library(), np.arange(count), KEEP_LAST)
    if progress is not None:
        progress(count, count)
    return pool.labels()


def seconds_of_labels(system: System, count: int, seed: int = 0) -> float:
    """The time that `count` labels are going to take on this machine, from that of a few."""
    library_labels(system, 2, seed)  # compiles
    began = time.perf_counter()
    library_labels(system, TIMED, seed)
    at_once = 1 if needs_search(system) else cores()  # those were shared out already
    return (time.perf_counter() - began) / TIMED * count / at_once


@dataclass(frozen=True)
class _Library:
    """Tails, and where each of them begins."""

    tails: Tails
    tree: Any
    """A KD-tree over the tails, by `_Metric`."""

    def near(self, points: Array) -> Rows:
        """Numbers (B, at most NEAR) of the tails that begin nearest to points (B, n)."""
        rank = np.arange(1, min(NEAR, self.tree.n) + 1)
        return np.ascontiguousarray(self.tree.query(points, rank)[1], dtype=np.int64)


class _Metric:
    """The units of errors and goals, in which tails are near."""

    def __init__(self, system: System) -> None:
        width = system.x0_box + system.goal_box
        turns = np.where(system.x0_box >= np.pi, ANGLE_WEIGHT, 1.0)
        self._error = turns / np.where(width > 0.0, width, 1.0)
        reach = system.goal_box + np.abs(system.goal_centre)
        self._goal = np.where(reach > 0.0, 1.0 / np.where(reach > 0.0, reach, 1.0), 0.0)

    def __call__(self, error: Array, goal: Array) -> Array:
        """Points (..., n) of errors and goals (..., n_x); goals only where there are several."""
        if not self._goal.any():
            return error * self._error
        return np.concatenate([error * self._error, goal * self._goal], -1)


class _Pool:
    """The best plans so far; random numbers are drawn here, before the work is shared out."""

    def __init__(
        self, system: System, rng: np.random.Generator, threads: ThreadPoolExecutor
    ) -> None:
        T, n_x = system.horizon, system.n_x
        self.system, self.rng, self.threads = system, rng, threads
        self.law, self.metric = catching_law(system, system.goal_centre), _Metric(system)
        for kernel in KERNELS:  # not in the jobs: threads must not import the same binding at once
            compiled(kernel)
        _ = plant_of(system)
        self.goals = Goals(np.zeros((0, n_x)), np.zeros((0, T, system.n_u)))
        self.states = np.zeros((0, T + 1, n_x))
        self.controls = np.zeros((0, T, system.n_u))
        self.cost = np.zeros(0)
        self.box = np.zeros(0, dtype=np.bool_)

    def begin(self, count: int) -> None:
        """The first states: random starts, then the tails of each other's plans."""
        rows = self.add(*self.system.sample(self.rng, count), box=True)
        self.start_randomly(rows, STARTS)
        for _ in range(FIRST_ROUNDS):
            self.ask(self.library(), rows, KEEP_NEW)

    def grow(self, count: int) -> None:
        """Adds `count` states, and lets old ones profit from what they found."""
        library, along = self.library(), self.path_states(count - count // 2)
        box = self.add(*self.system.sample(self.rng, count // 2), box=True)
        new = np.concatenate([box, self.add(*along, box=False)])
        self.ask(library, new, KEEP_NEW)
        self.start_randomly(self.some(new, PROBED), PROBES)
        self.ask(self.library(), self.some(np.arange(len(self.cost)), RETRIED), KEEP_RETRIED)

    def path_states(self, count: int) -> tuple[Array, Array]:
        """States near the first two thirds of known plans, and their goals, each (count, n_x)."""
        row = self.rng.choice(self.known(), count)
        t = self.rng.integers(1, max(2, self.system.horizon * 2 // 3), count)
        noise = self.rng.normal(size=(count, self.system.n_x))
        x0 = self.states[row, t] + SPREAD * self.system.x0_box * noise
        return x0, self.goals.x[row]

    def some(self, rows: Rows, count: int) -> Rows:
        """At most `count` of the rows, in order."""
        return np.sort(self.rng.permutation(rows)[:count])

    def known(self) -> Rows:
        """The rows that have a plan.

        Raises:
            ValueError: if none has.
        """
        rows = np.flatnonzero(np.isfinite(self.cost))
        if not len(rows):
            raise ValueError(f"every plan of system '{self.system.name}' diverges")
        return rows

    def add(self, x0: Array, goal: Array, *, box: bool) -> Rows:
        """New rows for the states x0 and goals (B, n_x), without a plan yet."""
        old, B, T = len(self.cost), len(x0), self.system.horizon
        trim = np.repeat(self.system.trims(goal)[:, None], T, 1)
        self.goals = Goals(
            np.concatenate([self.goals.x, goal]), np.concatenate([self.goals.u_trim, trim])
        )
        self.states = _extended(self.states, B, 0.0)
        self.controls = _extended(self.controls, B, 0.0)
        self.cost, self.box = _extended(self.cost, B, np.inf), _extended(self.box, B, box)
        self.states[old:, 0] = x0
        return np.arange(old, old + B)

    def library(self) -> _Library:
        """A library of the known plans, or of a random choice where there are many."""
        from scipy.spatial import cKDTree

        system, rows = self.system, self.some(self.known(), LIBRARY)
        states, controls, goals = self.states[rows], self.controls[rows], self.goals.rows(rows)
        gains = np.empty((*controls.shape, system.n_x))
        compiled(batch_gains)(plant_of(system), goals, Trajectory(states, controls), gains)
        starts = max(1, system.horizon // 2)
        errors, efforts = difference(system, states, goals.x[:, None]), controls - goals.u_trim
        goal = np.repeat(goals.x[:, None], starts, 1)
        points = self.metric(errors[:, :starts], goal)
        begins = points.reshape(-1, points.shape[-1])
        if is_odd(system):
            begins = np.concatenate([begins, -begins])
        return _Library(Tails(errors, efforts, gains, self.law.K, starts), cKDTree(begins))

    def ask(self, library: _Library, rows: Rows, keep: int) -> None:
        """Every row follows the nearest tails and improves the `keep` cheapest."""
        follow, system = compiled(batch_follow_tails), self.system

        def job(part: Rows) -> None:
            x0, goals = self.states[part, 0], self.goals.rows(part)
            near = library.near(self.metric(difference(system, x0, goals.x), goals.x))
            candidates = np.empty((len(part), keep, system.horizon, system.n_u))
            count = np.empty(len(part), dtype=np.int64)
            follow(plant_of(system), goals, library.tails, near, x0, candidates, count)
            controls = candidates[np.arange(keep) < count[:, None]]
            self.compete(np.repeat(part, count), controls, TRIAL['tail'], keep)

        self.share_out(job, rows)

    def start_randomly(self, rows: Rows, starts: int) -> None:
        """Every row improves the clipped LQR and random plans, caught near the goal."""
        fly, system = compiled(batch_fly), self.system
        v = self.random_plans(len(rows), starts)
        v[:, 0] = 0.0

        def job(part: Rows) -> None:
            candidates = np.empty_like(v[part])
            x0 = self.states[rows[part], 0]
            goals = self.goals.rows(rows[part])
            fly(plant_of(system), goals, self.law, v[part], x0, candidates)
            controls = candidates.reshape(-1, system.horizon, system.n_u)
            self.compete(np.repeat(rows[part], starts), controls, TRIAL['random'], KEEP_RANDOM)

        self.share_out(job, np.arange(len(rows)))

    def random_plans(self, count: int, starts: int) -> Array:
        """Piecewise constant v (count, starts, T, n_u)."""
        T, (fewest, most) = self.system.horizon, SEGMENTS
        low, high = (u - self.system.u_trim for u in (self.system.u_min, self.system.u_max))
        segments = self.rng.integers(fewest, most + 1, (count, starts, 1))
        levels = self.rng.uniform(low, high, (count, starts, most, self.system.n_u))
        return np.take_along_axis(levels, (np.arange(T) * segments // T)[..., None], 2)

    def compete(self, rows: Rows, controls: Array, trial: int, keep: int) -> None:
        """Improves controls (C, T, n_u), one each for the rows (C,), of which some are equal.

        All get `trial` sweeps, the `keep` cheapest of a row all they need; the best plan of a row
        replaces the one that it has, if it is cheaper.
        """
        _, J = self.improve(rows, controls, trial)
        chosen = _distinct(rows, J, self.cost[rows], keep)
        rows, controls = rows[chosen], controls[chosen]
        states, J = self.improve(rows, controls, SWEEPS)
        for n, row in enumerate(rows):
            if J[n] < self.cost[row]:
                self.cost[row], self.states[row], self.controls[row] = J[n], states[n], controls[n]

    def improve(self, rows: Rows, controls: Array, sweeps: int) -> tuple[Array, Array]:
        """Sweeps over controls (C, T, n_u), in place; returns their states and J."""
        C, T, n_x = len(rows), self.system.horizon, self.system.n_x
        plans = Trajectory(np.empty((C, T + 1, n_x)), controls)
        plans.x[:, 0] = self.states[rows, 0]
        r = constant_reference(self.goals.x[rows], T)
        outcome = improve_rows(self.system, r, sweeps, plans)
        return plans.x, outcome.J

    def share_out(self, job: Callable[[Rows], None], rows: Rows) -> None:
        """Runs `job` on parts of the rows on every core; no row depends on another."""
        parts = np.array_split(rows, -(-len(rows) // ROWS_PER_JOB))
        for _ in self.threads.map(job, parts):
            pass

    def labels(self) -> Labels:
        """Labels of all rows, once none is left without a plan."""
        lost = np.flatnonzero(~np.isfinite(self.cost))
        if len(lost):
            raise ValueError(
                f"every plan of system '{self.system.name}' diverges from {len(lost)} of "
                f'{len(self.cost)} states, first from {self.states[lost[0], 0].tolist()}'
            )
        x0, p = self.states[:, 0].copy(), np.tile(self.system.p, (len(self.cost), 1))
        return Labels(x0, self.goals.x, self.states, self.controls, self.cost, self.box, p)


def _distinct(rows: Rows, J: Array, known: Array, keep: int) -> Rows:
    """Plans to improve further: of each row the `keep` cheapest different optima.

    J (C,) are the costs of the plans of rows (C,), known (C,) those of the rows' own plans.
    """
    chosen: list[int] = []
    row, taken, last = -1, 0, -1.0
    for n in np.lexsort((J, rows)):
        if rows[n] != row:
            row, taken, last = int(rows[n]), 0, -1.0
        gap = SAME_OPTIMUM * J[n]
        if taken < keep and np.isfinite(J[n]) and min(J[n] - last, abs(J[n] - known[n])) > gap:
            chosen.append(int(n))
            taken, last = taken + 1, J[n]
    return np.array(chosen, dtype=np.int64)


def _extended(array: NDArray[Any], rows: int, value: float) -> NDArray[Any]:
    added = np.full((rows, *array.shape[1:]), value, dtype=array.dtype)
    return np.concatenate([array, added])
