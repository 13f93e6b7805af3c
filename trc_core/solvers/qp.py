"""The optimum of a linear system inside its bounds: a condensed QP, solved by DAQP.

States are eliminated, so the only unknowns are the controls and the only constraints their
bounds. A plant that is strongly unstable over the horizon makes that ill-conditioned: then the
plan reports that it did not converge, and `nlp` is the expert to use.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
from trc_core.solvers.affine import Prediction, predict
from trc_core.solvers.problem import state_vector
from trc_core.solvers.replay import replay

SETTINGS = {'primal_tol': 1e-10, 'dual_tol': 1e-12, 'iter_limit': 10_000}
SOLVED = 1  # DAQP's exit flag of an optimum
DUALITY_GAP = 1e-8  # the most by which J may exceed the optimum, relative to J
TINY = 1e-6  # J below which the gap is absolute


def solve(system: System, x0: ArrayLike, goal: ArrayLike) -> Plan:
    """The global optimum of J inside the bounds.

    Args:
        system: a linear plant.
        x0: initial state (n_x,).
        goal: goal state (n_x,).

    Returns:
        The plan; `converged` is False unless DAQP found an optimum that meets the first-order
        conditions.

    Raises:
        ValueError: if the system is not linear, or DAQP is not installed.
    """
    try:
        import daqp
    except ModuleNotFoundError:
        raise ValueError('the expert qp needs DAQP; install it with pip install daqp') from None
    x0, goal = state_vector(system, 'x0', x0), state_vector(system, 'goal', goal)
    if system.trim is not None:  # numbers, for this goal
        system = replace(system, u_trim=system.trims(goal))
    # the QP in w = u - u_trim
    H, f = condensed(system, predict(system, x0), goal)
    lower = np.tile(system.u_min - system.u_trim, system.horizon)
    upper = np.tile(system.u_max - system.u_trim, system.horizon)
    w, _, flag, info = daqp.solve(H, f, np.empty((0, len(f))), upper, lower, **SETTINGS)
    w = w.clip(lower, upper)
    # Adding the trim may round a control beyond its bound.
    controls = (system.u_trim + w.reshape(-1, system.n_u)).clip(system.u_min, system.u_max)
    states, J = replay(system, x0, goal, controls)
    # first-order conditions: the gain that the bounds still allow
    slope = H @ w + f
    on_offer = np.sum(np.where(slope > 0.0, slope * (w - lower), slope * (w - upper)))
    optimal = flag == SOLVED and on_offer <= DUALITY_GAP * max(J, TINY)
    return Plan(controls, states, J, 'qp', bool(optimal), int(info['iterations']))


def condensed(system: System, prediction: Prediction, goal: Array) -> tuple[Array, Array]:
    """H (n, n) and f (n,) of J = w' H w / 2 + f' w + constant, with n = T * n_u."""
    T, n_u = system.horizon, system.n_u
    H, f = 2.0 * np.kron(np.eye(T), system.R), np.zeros(T * n_u)
    for t in range(1, T + 1):
        weighted = 2.0 * prediction.reach[t].T @ (system.Q_f if t == T else system.Q)
        H += weighted @ prediction.reach[t]
        f += weighted @ (prediction.free[t] - goal)
    return 0.5 * (H + H.T), f
