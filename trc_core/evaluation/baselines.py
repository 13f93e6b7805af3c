"""The experts as baselines: what a controller has to beat, on any system."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

import numpy as np

from trc_core.evaluation.evaluator import Planner
from trc_core.plan import Plan
from trc_core.solvers import ilqr, lqr, minimum_energy, multistart, nlp, qp
from trc_core.systems.base import Array, System

EXPERTS = {
    'lqr': lqr.solve,
    'ilqr': ilqr.solve,
    'multistart': multistart.solve,
    'nlp': nlp.solve,
    'qp': qp.solve,
    'minimum_energy': minimum_energy.solve,
}
STARTS = 12  # of IPOPT, where one cannot be trusted


def expert_planners(system: System, names: Iterable[str]) -> dict[str, Planner]:
    """Planners by name: an expert, or `ilqr<n>` for n sweeps from the clipped LQR.

    Raises:
        ValueError: if a name is unknown; the message lists the known ones.
    """
    table: dict[str, Planner] = {}
    for name in names:
        sweeps = re.fullmatch(r'ilqr(\d+)', name)
        if sweeps:
            table[name] = partial(ilqr.solve, system, sweeps=int(sweeps[1]))
        elif name in EXPERTS:
            table[name] = partial(EXPERTS[name], system)
        else:
            raise ValueError(
                f"unknown expert '{name}'; choose from {list(EXPERTS)} or ilqr<sweeps>"
            )
    return table


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
    """How many starts the best known optimum takes: 1 unless local optima are likely."""
    return STARTS if multistart.is_needed(system) else 1
