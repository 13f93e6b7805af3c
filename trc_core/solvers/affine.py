"""Linear systems as solvers want them: every state as an affine function of all controls."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from trc_core.problem.system import Array, System

PROBES = 8
LINEAR_TOLERANCE = 1e-9


class Prediction(NamedTuple):
    """x_t = free_t + reach_t w, with w = (u_0 - u_trim, ..., u_{T-1} - u_trim)."""

    free: Array  # (T + 1, n_x)
    reach: Array  # (T + 1, n_x, T * n_u)


def predict(system: System, x0: Array) -> Prediction:
    """Every state from x0 (n_x,) as an affine function of the controls.

    Raises:
        ValueError: if the system is not linear.
    """
    reach = _reach(system)
    free = np.empty((system.horizon + 1, system.n_x))
    free[0] = x0
    for t in range(system.horizon):
        free[t + 1] = system.step(free[t], system.u_trim)
    return Prediction(free, reach)


@lru_cache(maxsize=16)
def _reach(system: System) -> Array:
    A, B = require_linear(system)
    T, n_x, n_u = system.horizon, system.n_x, system.n_u
    reach = np.zeros((T + 1, n_x, T * n_u))
    for t in range(T):
        reach[t + 1] = A @ reach[t]
        reach[t + 1, :, t * n_u : (t + 1) * n_u] = B
    return reach


def require_linear(system: System) -> tuple[Array, Array]:
    """A (n_x, n_x) and B (n_x, n_u) of a system whose step is affine.

    Raises:
        ValueError: if its Jacobians differ between random states and controls, or if its task is
            more than a quadratic J and bounds of the controls.
    """
    if not system.task.is_plain:
        raise ValueError(
            f"system '{system.name}' has constraints or residuals, which the experts for linear "
            'systems do not know; use the expert nlp, fatrop, ilqr or multistart'
        )
    rng = np.random.default_rng(0)
    A, B = system.step_jacobian(np.zeros(system.n_x), system.u_trim)
    scale = LINEAR_TOLERANCE * max(np.abs(A).max(), np.abs(B).max())
    for _ in range(PROBES):
        x = rng.normal(size=system.n_x) * np.maximum(system.x0_box, 1.0)
        u = rng.uniform(system.u_min, system.u_max)
        other_A, other_B = system.step_jacobian(x, u)
        if max(np.abs(A - other_A).max(), np.abs(B - other_B).max()) > scale:
            raise ValueError(
                f"system '{system.name}' is not linear; use the expert nlp, ilqr or multistart"
            )
    return A, B
