"""Control-limited iLQR as an expert: fast, local, and monotone from where it starts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trc_core.compile.kernels import compiled
from trc_core.numerics.ilqr import batch_improve
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
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
    batch = _improved(system, goal[None], states[None], controls[None], sweeps)
    return Plan(
        controls,
        states,
        float(batch.cost[0]),
        'ilqr',
        bool(batch.converged[0]),
        int(batch.cycles[0]),
    )


def solve_batch(system: System, x0: ArrayLike, goal: ArrayLike, sweeps: int = 100) -> Plan:
    """`solve` from the clipped LQR for every row of x0 (B, n_x) and goal (B, n_x).

    Returns:
        A plan whose arrays, `cost`, `converged` and `cycles` have a leading batch axis.
    """
    x0, goal = np.atleast_2d(x0), np.ascontiguousarray(np.atleast_2d(goal), dtype=np.float64)
    B = x0.shape[0]
    states = np.empty((B, system.horizon + 1, system.n_x))
    controls = np.empty((B, system.horizon, system.n_u))
    for b in range(B):
        states[b], controls[b], _ = initial_guess(system, x0[b], goal[b])
    return _improved(system, goal, states, controls, sweeps)


def _improved(system: System, goal: Array, states: Array, controls: Array, sweeps: int) -> Any:
    """The batch of plans improved in place; one compiled kernel serves one plan and many."""
    B = len(goal)
    J, spent, converged = np.empty(B), np.zeros(B, dtype=np.int64), np.zeros(B, dtype=np.bool_)
    compiled(batch_improve, system)(
        system.arrays, goal, sweeps, states, controls, J, spent, converged
    )
    values: Any = (J, 'ilqr', converged, spent)
    return Plan(controls, states, *values)
