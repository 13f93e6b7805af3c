"""Control-limited iLQR as an expert: fast, local, and monotone from where it starts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trc_core.numerics.batch import empty_trajectory, improve_rows
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.plan import Plan
from trc_core.numerics.rollout import Trajectory
from trc_core.problem.system import System
from trc_core.solvers.initial_guess import initial_guess


def solve(
    system: System,
    x0: ArrayLike,
    goal: ArrayLike,
    warm_start: Plan | None = None,
    sweeps: int = 100,
) -> Plan:
    """Improves the clipped LQR plan, or `warm_start`, until nothing is left to gain.

    Args:
        system: the plant.
        x0: initial state (n_x,).
        goal: goal state (n_x,).
        warm_start: a plan to start from instead; it is tracked from x0.
        sweeps: the most sweeps to spend; 1, 2, 3 give the baselines 'LQR + n sweeps'.

    Returns:
        A plan never worse than its start. `converged` is False when the sweeps ran out first.
    """
    states, controls, _ = initial_guess(system, x0, goal, warm_start)
    goal = np.ascontiguousarray(goal, dtype=np.float64)
    one = Trajectory(states[None], controls[None])
    r = constant_reference(goal[None], system.horizon)
    J, spent, converged = improve_rows(system, r, sweeps, one)
    return Plan(controls, states, float(J[0]), 'ilqr', bool(converged[0]), int(spent[0]))


def solve_batch(system: System, x0: ArrayLike, goal: ArrayLike, sweeps: int = 100) -> Plan:
    """`solve` from the clipped LQR for every row of x0 (B, n_x) and goal (B, n_x).

    Returns:
        A plan whose arrays, `cost`, `converged` and `cycles` have a leading batch axis.
    """
    x0, goal = np.atleast_2d(x0), np.ascontiguousarray(np.atleast_2d(goal), dtype=np.float64)
    trajectories = empty_trajectory(system, len(x0))
    for b in range(len(x0)):
        trajectories.x[b], trajectories.u[b], _ = initial_guess(system, x0[b], goal[b])
    r = constant_reference(goal, system.horizon)
    J, spent, converged = improve_rows(system, r, sweeps, trajectories)
    rows: Any = {'cost': J, 'converged': converged, 'cycles': spent}
    return Plan(trajectories.u, trajectories.x, source='ilqr', **rows)
