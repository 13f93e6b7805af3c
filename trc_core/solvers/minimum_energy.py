"""The closed-form transfer of least energy between two states of a linear system."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from trc_core.numerics.plan import Plan
from trc_core.problem.system import System
from trc_core.solvers.affine import predict
from trc_core.solvers.problem import state_vector
from trc_core.solvers.replay import replay

RANK_TOLERANCE = 1e-12  # of the Gramian's eigenvalues, relative to the largest


def solve(system: System, x0: ArrayLike, goal: ArrayLike) -> Plan:
    """The controls of least sum |u_t - u_trim|^2 that bring x0 to the goal in T steps.

    With x_T = free_T + S w, w_t = u_t - u_trim, they are w = S' W^-1 (goal - free_T), where
    W = S S' = sum over t of A^t B B' A'^t is the reachability Gramian (e.g. Kailath, Linear
    Systems, 1980). States on the way cost nothing here, so this is not the optimum of J.

    Args:
        system: a linear plant.
        x0: initial state (n_x,).
        goal: goal state (n_x,).

    Returns:
        The controls, clipped into the bounds, and their trajectory. `converged` is False when
        clipping changed them: the plan then misses the goal.

    Raises:
        ValueError: if the system is not linear, or cannot reach every state in T steps.
    """
    x0, goal = state_vector(system, 'x0', x0), state_vector(system, 'goal', goal)
    # reachability
    prediction = predict(system, x0)
    S = prediction.reach[-1]  # (n_x, T * n_u)
    gramian = S @ S.T
    eigenvalues = np.linalg.eigvalsh(gramian)
    if eigenvalues[0] <= RANK_TOLERANCE * eigenvalues[-1]:
        raise ValueError(
            f"system '{system.name}' is not controllable in {system.horizon} steps; "
            f'minimum energy cannot choose its final state'
        )
    # the transfer of least energy, inside the bounds
    w = S.T @ np.linalg.solve(gramian, goal - prediction.free[-1])
    wanted = system.u_trim + w.reshape(system.horizon, system.n_u)
    controls = wanted.clip(system.u_min, system.u_max)
    states, J = replay(system, x0, goal, controls)
    return Plan(controls, states, J, 'minimum_energy', bool(np.array_equal(controls, wanted)))
