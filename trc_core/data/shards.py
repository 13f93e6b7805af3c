"""Shards of a dataset: each is solved from a random stream of its own, and kept."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from trc_core.command_line import counted, expected_time
from trc_core.data.backends import run
from trc_core.data.recipe import Recipe
from trc_core.data.trajectories import ARRAYS, DURATION, PARAMETERS, TrajectoryData
from trc_core.numerics.plan import Plan
from trc_core.progress import progress_bar
from trc_core.solvers.experts import EXPERTS
from trc_core.solvers.packing import killed_workers, packed, unpacked
from trc_core.solvers.starting_points import agreement
from trc_core.whole_files import read_arrays, write_arrays

TIMED, ENOUGH = 4, 5.0  # samples, and seconds, by which the time of all is foretold
REJECTIONS = 10  # give up when a shard rejects this many times its own size
ADVICE = 'the same command with fewer --workers goes on: what is solved is kept'
KEYS = (*ARRAYS, 'rejected', 'candidates', 'agreed')
HOPELESS = 'hopeless'  # draws that a certificate says have no plan


def solve_shards(
    recipe: Recipe, folder: Path, workers: int, backend: str, seconds: float | None = None
) -> None:
    """Solves the shards that `folder` lacks, or holds damaged, and writes each when it is done.

    Says first how long that will take, where it is known that a sample takes `seconds`.

    Raises:
        ChildProcessError: if a worker is killed.
    """
    from joblib import effective_n_jobs

    missing = [(i, n) for i, n in recipe.shards() if read_shard(recipe, folder, i, n) is None]
    if not missing:
        return
    away = backend != 'loky' or effective_n_jobs(workers) > 1
    job = packed(recipe, recipe.system) if away else recipe
    tasks = [(job, i, n, away and backend == 'loky') for i, n in missing]
    label = f'{recipe.system.name} by {recipe.expert}'
    count = sum(n for _, n in missing)
    done, cores = recipe.num_samples - count, effective_n_jobs(workers)
    if backend == 'loky' and seconds is not None:
        at_once = min(cores, len(missing))
        line = expected_time(seconds * count / at_once, counted(count, 'sample'), at_once)
        print(line, flush=True)
    with (
        killed_workers(ADVICE),
        progress_bar(total=recipe.num_samples, initial=done, unit='samples', label=label) as bar,
    ):
        for index, arrays in run(solve_shard, tasks, backend, workers):
            write_arrays(_file(folder, index), **arrays)
            bar.update(len(arrays['cost']))


def prepare(recipe: Recipe) -> float:
    """Compiles what the recipe needs, and tells whether its expert fits its system.

    In a child process: code that Numba has just compiled and the same code from its cache differ
    in the last bits. Afterwards everybody, with any number of workers, takes it from the cache.

    Returns:
        The seconds that a sample takes, of a few.

    Raises:
        ValueError: if the expert refuses the system.
        ChildProcessError: if the child is killed.
    """
    from joblib import Parallel, delayed

    with killed_workers(ADVICE):
        jobs = Parallel(n_jobs=2)([delayed(_solve_first)(packed(recipe, recipe.system))])
    return float(jobs[0])


def _solve_first(job: bytes) -> float:
    recipe: Recipe = unpacked(job)
    rows = 2 if EXPERTS[recipe.expert].solve_batch else 1  # neighbours need a neighbour
    x0, goal, p = recipe.problems(np.random.default_rng(recipe.seed), TIMED)

    def solve(part: slice) -> int:
        return len(list(recipe.solve(x0[part], goal[part], p and p[part])))

    solve(slice(rows))
    began, solved = time.perf_counter(), 0
    while solved < TIMED and time.perf_counter() - began < ENOUGH:
        solved += solve(slice(solved, solved + rows))
    return (time.perf_counter() - began) / solved


def solve_shard(
    job: Recipe | bytes, index: int, n: int, ignore_interrupts: bool
) -> tuple[int, dict[str, Any]]:
    """The index again, and the arrays of shard `index` with n samples.

    Raises:
        ValueError: if the expert fails on too many states.
    """
    if ignore_interrupts:
        # Ctrl-C reaches the whole process group; the parent alone decides how to stop.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    # draw states until n of them are solved
    recipe: Recipe = unpacked(job) if isinstance(job, bytes) else job
    rng = np.random.default_rng([recipe.seed, index])
    samples: list[tuple[Any, ...]] = []
    rejected: list[Any] = []
    hopeless: list[tuple[Any, Any]] = []
    while len(samples) < n:
        x0, goal, parameters = recipe.problems(rng, n - len(samples), hopeless)
        plans = recipe.solve(x0, goal, parameters)
        own = parameters or [{}] * len(x0)
        for a, b, changed, plan in zip(x0, goal, own, plans, strict=True):
            if plan.converged:
                p = (recipe.system.parameter_rows(changed),) if recipe.draws else ()
                seconds = () if plan.times is None else (plan.times[-1],)
                samples.append((*_sample(a, b, plan), *p, *seconds))
                continue
            rejected.append((a, b))
            if len(rejected) > REJECTIONS * n:
                raise ValueError(
                    f"the expert '{recipe.expert}' solved only {len(samples)} of "
                    f"{len(samples) + len(rejected)} states of '{recipe.system.name}'"
                )
    # stack the samples
    columns = zip(*samples, strict=True)
    keys = (*ARRAYS, 'candidates', 'agreed', *_own(recipe))
    arrays = {key: np.array(column) for key, column in zip(keys, columns, strict=True)}
    arrays['rejected'] = np.array(rejected).reshape(-1, 2, recipe.system.n_x)
    if recipe.is_free:
        arrays[HOPELESS] = np.array(hopeless).reshape(-1, 2, recipe.system.n_x)
    return index, arrays


def read_shard(recipe: Recipe, folder: Path, index: int, n: int) -> dict[str, Any] | None:
    """The arrays of a shard; None if it is absent, cut short or damaged (a power cut)."""
    system = recipe.system
    arrays = read_arrays(_file(folder, index), *_keys(recipe))
    if arrays is None:
        return None
    shapes = [arrays[key].shape for key in ('controls', 'states', 'cost')]
    expected = [
        (n, system.horizon, system.n_u),
        (n, system.horizon + 1, system.n_x),
        (n,),
    ]
    return arrays if shapes == expected else None


def joined(recipe: Recipe, folder: Path) -> TrajectoryData:
    """The dataset whose shards `folder` holds.

    Raises:
        OSError: if a shard cannot be read back.
    """
    shards: list[dict[str, Any]] = []
    for index, n in recipe.shards():
        shard = read_shard(recipe, folder, index, n)
        if shard is None:
            raise OSError(
                f"cannot read '{_file(folder, index)}'; the same command solves it again"
            )
        shards.append(shard)
    arrays = {key: np.concatenate([s[key] for s in shards]) for key in _keys(recipe)}
    rejected = arrays.pop('rejected').tolist()
    hopeless = arrays.pop(HOPELESS).tolist() if recipe.is_free else []
    candidates, agreed = arrays.pop('candidates'), arrays.pop('agreed')
    metadata = {
        **recipe.record(),
        'drawn': recipe.num_samples + len(rejected) + len(hopeless),
        'rejected': [{'current_state': x0, 'target_state': goal} for x0, goal in rejected],
        **({'hopeless': [x0 for x0, _ in hopeless]} if recipe.is_free else {}),
        'agreement': {
            'unanimous': float(np.mean(agreed == candidates)),
            'share': float(np.mean(agreed / candidates)),
        },
    }
    return TrajectoryData(**arrays, metadata=metadata, plant=recipe.system)


def _own(recipe: Recipe) -> tuple[str, ...]:
    """The keys of what samples of a recipe have more: parameters, a duration."""
    return (*((PARAMETERS,) if recipe.draws else ()), *((DURATION,) if recipe.is_free else ()))


def _keys(recipe: Recipe) -> tuple[str, ...]:
    """The keys of a shard."""
    return (*KEYS, *_own(recipe), *((HOPELESS,) if recipe.is_free else ()))


def _sample(x0: Any, goal: Any, plan: Plan) -> tuple[Any, ...]:
    counts = max(1, len(plan.candidates)), agreement(plan)
    return (x0, goal, plan.controls, plan.states, plan.cost, *counts)


def _file(folder: Path, index: int) -> Path:
    return folder / f'{index:06d}.npz'
