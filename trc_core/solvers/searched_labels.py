"""Labels by merit: problems with constraints or changing parameters, searched one by one.

Half of the problems are drawn as the system draws them to learn from. The others begin along
plans that were found, where a controller will be: with a little noise, and with obstacles that
have moved on. Problems without any plan that keeps the constraints are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.numerics.ilqr import batch_improve, batch_replay
from trc_core.numerics.parallel import cores
from trc_core.numerics.rollout import fly_law, reproject, rollout
from trc_core.problem.parameters import moved
from trc_core.problem.system import Array, System
from trc_core.solvers.detour_kernels import fly_ways
from trc_core.solvers.kernels import tracking_gains
from trc_core.solvers.labels import Labels
from trc_core.solvers.problem import Problem
from trc_core.solvers.search import best_of, searched
from trc_core.systems.draws import drawn_problem, may_start

ROUND = 256  # problems between two calls of `progress`
HOPELESS = 20  # problems left out for each one that is not, where nothing is likely to come
NOISE = 0.01  # of states along plans, as a share of the largest reach in the same unit
NOISES = 8  # draws of it, until no constraint is violated
KERNELS = fly_law, fly_ways, tracking_gains, reproject, rollout, batch_replay, batch_improve

notices = logging.getLogger('trc')


class _Label(NamedTuple):
    """One label; `Labels` has rows of them."""

    x0: Array
    goal: Array
    states: Array
    controls: Array
    cost: float
    box: bool
    parameters: Array
    merit: float
    multipliers: Array
    penalties: Array


def needs_search(system: System) -> bool:
    """Whether labels of a system are searched by merit, problem by problem."""
    return bool(system.task.constraints) or bool(system.ranges)


def searched_labels(
    system: System,
    count: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Labels:
    """Labels of `count` problems; the same for the same arguments, whatever the machine's load.

    Args:
        system: the plant.
        count: how many, at least 1.
        seed: of the problems and the random starts.
        progress: called now and then with the labels so far and `count`.

    Raises:
        ValueError: if hardly any problem has a plan that keeps the constraints.
    """
    with ThreadPoolExecutor(cores(), thread_name_prefix='trc-labels') as threads:
        pool = _Pool(system, seed, threads, lambda done: progress and progress(done, count))
        pool.fill(count - count // 2, pool.drawn)
        known = tuple(pool.labels)
        pool.fill(count, lambda number: pool.along(known, number))
    if pool.left_out:
        notices.warning(
            "'%s': %d of %d problems have no plan that keeps the constraints; they are left out",
            system.name,
            pool.left_out,
            pool.left_out + count,
        )
    columns = (np.array(values) for values in zip(*pool.labels, strict=True))
    return Labels(*columns)


class _Pool:
    """The labels so far. Every problem has a number, and random numbers of its own."""

    def __init__(
        self,
        system: System,
        seed: int,
        threads: ThreadPoolExecutor,
        progress: Callable[[int], object],
    ) -> None:
        self.system, self.seed, self.threads, self.progress = system, seed, threads, progress
        self.labels: list[_Label] = []
        self.left_out = 0
        self._number = 0
        units = np.array(system.state_units)
        self._noise = NOISE * np.array([system.reach[units == unit].max() for unit in units])
        for kernel in KERNELS:  # not in the jobs: threads must not import the same binding at once
            compiled(kernel)
        _ = plant_of(system)

    def fill(self, count: int, make: Callable[[int], _Label | None]) -> None:
        """Makes labels until there are `count`."""
        while len(self.labels) < count:
            numbers = range(self._number, self._number + min(ROUND, count - len(self.labels)))
            self._number = numbers.stop
            made = list(self.threads.map(make, numbers))
            found = [label for label in made if label is not None]
            self.labels += found
            self.left_out += len(made) - len(found)
            if self.left_out > HOPELESS * (len(self.labels) + 1):
                raise ValueError(
                    f"'{self.system.name}': no plan keeps the constraints in {self.left_out} of "
                    f'{self.left_out + len(self.labels)} problems; draw easier ones, by a '
                    'smaller x0_box or narrower ranges'
                )
            self.progress(len(self.labels))

    def drawn(self, number: int) -> _Label | None:
        """A problem as the system draws it to learn from."""
        rng = np.random.default_rng([self.seed, number])
        x0, goal, parameters = drawn_problem(self.system, rng, learning=True)
        return self.solved(Problem.of(self.system, x0, goal, parameters), rng, True)

    def along(self, known: tuple[_Label, ...], number: int) -> _Label | None:
        """A problem that begins along a plan, from a third to two thirds of its way."""
        system, rng = self.system, np.random.default_rng([self.seed, number])
        T = system.horizon
        label = known[rng.integers(len(known))]
        t = int(rng.integers(max(1, T // 3), max(2, 2 * T // 3 + 1)))
        earlier = dict(zip(system.parameters, label.parameters.tolist(), strict=True))
        parameters = moved(system, earlier, t * system.dt)
        x0 = label.states[t]
        for _ in range(NOISES):
            near = x0 + self._noise * rng.uniform(-1.0, 1.0, system.n_x)
            if may_start(system, near, label.goal, parameters):
                x0 = near
                break
        problem = Problem.of(system, x0, label.goal, parameters)
        ahead = np.minimum(np.arange(t, t + T + 1), T)
        held = np.concatenate([label.controls[t:], problem.trim[:t]])
        _, controls, _ = problem.track(label.states[ahead], held)
        return self.solved(problem, rng, False, controls[None])

    def solved(
        self, problem: Problem, rng: np.random.Generator, box: bool, known: Array | None = None
    ) -> _Label | None:
        """The label of a problem; None where no plan keeps the constraints."""
        found = searched(problem, rng, known)
        plan = best_of(problem, found)
        kept = plan.violation <= self.system.constraint_tolerance
        if not (kept and np.isfinite(plan.merit)):
            return None
        memory = found.memory
        return _Label(
            problem.x0,
            problem.goal,
            plan.states,
            plan.controls,
            plan.cost,
            box,
            problem.p,
            plan.merit,
            memory.lam[0],
            memory.rho[0],
        )
