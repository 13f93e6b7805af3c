"""Control-limited iLQR as an expert: fast, local, and monotone from where it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trc_core.numerics.plan import Plan
from trc_core.problem.system import System
from trc_core.solvers.initial_guess import cheapest_start
from trc_core.solvers.problem import Problem

SOURCE = 'ilqr'


def solve(
    system: System,
    x0: ArrayLike,
    goal: ArrayLike,
    warm_start: Plan | None = None,
    sweeps: int = 100,
    parameters: Mapping[str, float] | None = None,
) -> Plan:
    """Improves the clipped LQR plan, or `warm_start`, until nothing is left to gain.

    Where the plant has constraints or laws, the start is the cheapest by the merit of the clipped
    LQR, the trim, held, and what the laws do.

    Args:
        system: the plant.
        x0: initial state (n_x,).
        goal: goal state (n_x,), or a reference (T + 1, n_x).
        warm_start: a plan to start from instead; it is tracked from x0.
        sweeps: the most sweeps to spend; 1, 2, 3 give the baselines 'LQR + n sweeps'.
        parameters: those that differ from the system's own, by name.

    Returns:
        A plan never worse than its start, by the merit. `converged` is False when the sweeps ran
        out first.
    """
    problem = Problem.of(system, x0, goal, parameters)
    states, controls, _ = cheapest_start(problem, warm_start)
    merit, spent, converged = problem.improve(sweeps, states, controls)
    return problem.plan(controls, states, merit, SOURCE, converged, spent)


def solve_batch(system: System, x0: ArrayLike, goal: ArrayLike, sweeps: int = 100) -> Plan:
    """`solve` from its own start for every row of x0 (B, n_x) and goal (B, n_x).

    Returns:
        A plan whose arrays, `cost`, `converged`, `cycles`, `violation` and `merit` have a leading
        batch axis.
    """
    rows = zip(np.atleast_2d(x0), np.atleast_2d(goal), strict=True)
    plans = [solve(system, a, b, sweeps=sweeps) for a, b in rows]
    names = ('controls', 'states', 'cost', 'converged', 'cycles', 'violation', 'merit')
    columns: Any = {name: np.array([getattr(plan, name) for plan in plans]) for name in names}
    return Plan(source=SOURCE, **columns)
