"""J* of test problems: the cost of the best known plan, computed once and cached."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.command_line import expected_time
from trc_core.compile.kernels import cache_folder
from trc_core.evaluation.problems import Problems
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
from trc_core.progress import progress_bar
from trc_core.solvers import multistart, nlp
from trc_core.solvers.detours import position_places
from trc_core.solvers.nlp import IPOPT, optimise
from trc_core.solvers.packing import call, killed_workers, packed
from trc_core.solvers.problem import Problem
from trc_core.solvers.search import Effort, best_of, search
from trc_core.whole_files import notice_unkept, read_arrays, write_arrays

ADVICE = 'set LOKY_MAX_CPU_COUNT=1 for fewer workers, or ask for fewer --states'
STARTS = 12  # of IPOPT, where one cannot be trusted
TRUTH = Effort(random=12, tried=1000, first=15, kept=10, sweeps=120)  # all that lie apart
POLISHED = 3  # plans of a search that IPOPT goes on from
TIMED, WORTH_SAYING = 3, 10.0  # optima of a core, and seconds of all the others


class Optima(NamedTuple):
    """The best known plans of N problems."""

    cost: Array
    """J* (N,)."""
    merit: Array
    """The merit of the same plans (N,); J* where there are no constraints."""
    solved: NDArray[np.bool_]
    """Whether any solver converged to it (N,)."""

    def rows(self, chosen: NDArray[np.bool_]) -> Optima:
        """The optima that are chosen (N,)."""
        return Optima(self.cost[chosen], self.merit[chosen], self.solved[chosen])


def best_known_optima(system: System, problems: Problems, starts: int) -> Optima:
    """The optimum of every problem; kept in the user's cache for the next call.

    Args:
        system: the plant.
        problems: N of them.
        starts: per problem; see `starts_needed`.
    """
    x0, goal, parameters = problems
    if not system.task.constraints and parameters is None:
        cost, solved = reference_optima(system, x0, goal, starts)
        return Optima(cost, cost, solved)
    own = parameters or [{}] * len(x0)
    key = [starts, x0.tolist(), goal.tolist(), own]

    def compute() -> dict[str, NDArray[Any]]:
        solve = partial(best_feasible, system, starts=starts)
        rows = list(zip(x0, goal, own, strict=True))
        return _arrays(Optima._fields, _on_every_core(system, solve, rows))

    kept = keep(system, 'searched_optima', key, compute)
    return Optima(kept['cost'], kept['merit'], kept['solved'])


def reference_optima(
    system: System, x0: Array, goal: Array, starts: int
) -> tuple[Array, NDArray[np.bool_]]:
    """J* of every problem, and whether any solver converged to it, each (N,).

    Computed on every core, and kept in the user's cache for the next call.

    Args:
        system: the plant.
        x0: initial states (N, n_x).
        goal: goal states (N, n_x).
        starts: of IPOPT per problem; see `starts_needed`.
    """
    key = [starts, x0.tolist(), goal.tolist()]

    def compute() -> dict[str, NDArray[Any]]:
        solve = partial(best_known, system, starts=starts)
        rows = list(zip(x0, goal, strict=True))
        return _arrays(('cost', 'solved'), _on_every_core(system, solve, rows, starts > 1))

    kept = keep(system, 'optima', key, compute)
    return kept['cost'], kept['solved']


def keep(
    system: System, name: str, key: Any, compute: Callable[[], Mapping[str, NDArray[Any]]]
) -> Mapping[str, NDArray[Any]]:
    """Arrays that belong to a system and a key (JSON values), computed once and kept on disk."""
    path = cache_folder() / f'{name}_{system.name}_{system.fingerprint(key)}.npz'
    kept = read_arrays(path)
    if kept is None:
        kept = dict(compute())
        try:
            write_arrays(path, **kept)
        except OSError as error:  # a full disk: what was computed is not lost to this call
            notice_unkept(path, error)
    return kept


def _on_every_core(
    system: System, solve: Callable[..., Any], rows: list[Any], away: bool = True
) -> list[Any]:
    """`solve` of every row, in other processes where it is worth their start."""
    import joblib

    if away:
        solve = partial(call, packed(solve, system))
    workers = joblib.Parallel(n_jobs=-1 if away else 1, return_as='generator')
    cores = joblib.effective_n_jobs(-1) if away else 1
    with killed_workers(ADVICE):
        jobs = workers(joblib.delayed(solve)(*row) for row in rows)
        bar = progress_bar(jobs, f'{system.name}: optimum', len(rows), leave=False)
        return list(_timed(bar, len(rows), cores))


def _timed(bar: Any, count: int, cores: int) -> Iterator[Any]:
    """Passes optima on, and says after a few how long the others are going to take.

    The first one of every core is not counted: it waits for a program to be built.
    """
    began = time.perf_counter()
    for done, one in enumerate(bar, start=1):
        yield one
        if done == cores:
            began = time.perf_counter()
        if done == TIMED * cores and count > done:
            left = count - done
            seconds = (time.perf_counter() - began) / (done - cores) * left
            if seconds >= WORTH_SAYING:
                bar.write(expected_time(seconds, f'{left:,} more optima', cores))


def _arrays(names: Iterable[str], found: list[Any]) -> dict[str, NDArray[Any]]:
    """The columns of rows, by name."""
    columns = zip(*found, strict=True)
    return {name: np.array(column) for name, column in zip(names, columns, strict=True)}


def best_known(system: System, x0: Array, goal: Array, starts: int) -> tuple[float, bool]:
    """The lowest J known for one problem, and whether any solver converged to it.

    By IPOPT; with several starts, also by multi-start iLQR, which is cheap beside them.
    """
    plans: list[Plan] = [nlp.solve(system, x0, goal, starts=starts)]
    if starts > 1:
        plans.append(multistart.solve(system, x0, goal))
    costs = [plan.cost for plan in plans if plan.converged]
    return (min(costs), True) if costs else (np.inf, False)


def best_feasible(
    system: System, x0: Array, goal: Array, parameters: Mapping[str, float], starts: int
) -> tuple[float, float, bool]:
    """J and merit of the best plan known for a problem with constraints or parameters.

    It is searched from the starts that labels are searched from (`solvers.search`), with more
    effort; IPOPT goes on from the best of what that finds, and from a start of its own. Where
    there are no obstacles with sides to choose, IPOPT and sweeps also get all `starting_points`.

    Args:
        system: the plant.
        x0: initial state (n_x,).
        goal: goal state (n_x,).
        parameters: those that differ from the system's own, by name.
        starts: of IPOPT and of sweeps.

    Returns:
        Both, and whether any solver converged, or sweeps found a plan that keeps the constraints.
    """
    problem = Problem.of(system, x0, goal, parameters)
    sides = len(position_places(system)) > 0
    own = 1 if sides else starts
    plans = [nlp.solve(system, x0, goal, starts=own, parameters=parameters)]
    if not sides:
        plans.append(multistart.solve(system, x0, goal, parameters=parameters))
    found = search(problem, TRUTH, np.random.default_rng(0))
    plans.append(best_of(problem, found))
    polished = range(min(POLISHED if starts > 1 else 1, len(found.merit)))
    plans += [optimise(IPOPT, problem, found.states[k], found.controls[k]) for k in polished]
    best = min(plans, key=lambda plan: (not plan.converged, plan.merit))
    return best.cost, best.merit, best.converged


def starts_needed(system: System) -> int:
    """Number of starts that the best known optimum takes: 1 unless local optima are likely.

    They are where there are obstacles and the like; limits of states alone hardly ever make any.
    """
    several = bool(system.task.stated) or multistart.is_needed(system)
    return STARTS if several else 1
