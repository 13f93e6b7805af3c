"""J* of test problems: the best that any solver is known to find, computed once and kept."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from trc_core.compile.kernels import cache_folder
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
from trc_core.solvers import multistart, nlp
from trc_core.solvers.packing import call, packed

STARTS = 12  # of IPOPT, where one cannot be trusted


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
    kept = keep(system, 'optima', key, lambda: _solve_all(system, x0, goal, starts))
    return kept['cost'], kept['solved']


def keep(
    system: System, name: str, key: Any, compute: Callable[[], Mapping[str, NDArray[Any]]]
) -> Mapping[str, NDArray[Any]]:
    """Arrays that belong to a system and a key (JSON values), computed once and kept on disk."""
    contract = [system.contract(), system.graph.digest, key]
    digest = hashlib.sha256(json.dumps(contract).encode()).hexdigest()[:16]
    path = cache_folder() / f'{name}_{system.name}_{digest}.npz'
    if not path.exists():
        temporary = path.with_name(f'{path.stem}.{os.getpid()}.npz')
        arrays: dict[str, Any] = dict(compute())
        np.savez(temporary, **arrays)
        temporary.replace(path)
    with np.load(path) as kept:
        return dict(kept)


def _solve_all(system: System, x0: Array, goal: Array, starts: int) -> Mapping[str, NDArray[Any]]:
    import joblib

    solve: Callable[..., tuple[float, bool]] = partial(best_known, system, starts=starts)
    away = starts > 1
    if away:
        solve = partial(call, packed(solve, system))
    workers = joblib.Parallel(n_jobs=-1 if away else 1, return_as='generator')
    jobs = workers(joblib.delayed(solve)(a, b) for a, b in zip(x0, goal, strict=True))
    found = list(tqdm(jobs, f'{system.name}: optimum', len(x0), leave=False))
    cost, solved = (np.array(part) for part in zip(*found, strict=True))
    return {'cost': cost, 'solved': solved}


def best_known(system: System, x0: Array, goal: Array, starts: int) -> tuple[float, bool]:
    """The lowest J known for one problem, and whether any solver converged to it.

    By IPOPT; with several starts, also by multi-start iLQR, which is cheap beside them.
    """
    plans: list[Plan] = [nlp.solve(system, x0, goal, starts=starts)]
    if starts > 1:
        plans.append(multistart.solve(system, x0, goal))
    costs = [plan.cost for plan in plans if plan.converged]
    return (min(costs), True) if costs else (np.inf, False)


def starts_needed(system: System) -> int:
    """Number of starts that the best known optimum takes: 1 unless local optima are likely."""
    return STARTS if multistart.is_needed(system) else 1
