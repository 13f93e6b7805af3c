"""Controls that move along a reference: the trim of J where the goal does not stand still."""

from __future__ import annotations

import numpy as np

from trc_core.numerics.batch import BatchStep
from trc_core.numerics.cost import difference
from trc_core.problem.system import Array, System

STEPS = 2  # of Gauss-Newton; one is enough where the plant is affine in its controls
NUDGE = 1e-6  # of the control range, for slopes
DAMPING = 1e-9  # of the least squares, relative to their largest slope


def trims_along(system: System, reference: Array, p: Array | None, moving: bool) -> Array:
    """The controls (B, T, n_u) that J counts efforts from along references (B, T + 1, n_x).

    They hold states that stand still and follow those that move; `p` is as in `moving_trims`.
    """
    if moving:
        return moving_trims(system, reference, p)
    return np.ascontiguousarray(system.trims(reference[:, :-1], p))


def moving_trims(system: System, reference: Array, p: Array | None = None) -> Array:
    """The controls (B, T, n_u) that follow references (B, T + 1, n_x), within the bounds.

    They are the inverse dynamics of the discrete step: |r_{t+1} - step(r_t, u_t)|_Q is least,
    with Q made definite. Where J counts efforts from a constant u_trim instead, following is
    never free, and a plan lags behind what moves.

    Args:
        system: the plant; where it states a trim of its own, that is returned.
        reference: states to follow.
        p: parameters (n_p,) or (B, n_p); the system's own by default.
    """
    now, then = reference[:, :-1], reference[:, 1:]
    if system.trim is not None:
        return trims_along(system, reference, p, moving=False)
    shape, step = (*now.shape[:-1], system.n_u), BatchStep(system)
    now, then = now.reshape(-1, system.n_x), then.reshape(-1, system.n_x)
    rows = (
        None
        if p is None
        else np.repeat(np.atleast_2d(p), len(now) // np.atleast_2d(p).shape[0], 0)
    )
    span, W = system.u_max - system.u_min, _metric(system)
    u = np.tile(system.u_trim, (len(now), 1))
    for _ in range(STEPS):
        reached = step(now, u, rows)
        off = difference(system, then, reached)
        slopes = np.empty((len(now), system.n_x, system.n_u))
        for i in range(system.n_u):
            nudged = u.copy()
            nudged[:, i] += NUDGE * span[i]
            slopes[:, :, i] = (step(now, nudged, rows) - reached) / NUDGE  # by the share of range
        weighted = slopes.transpose(0, 2, 1) @ W
        H = weighted @ slopes
        H += DAMPING * max(float(np.abs(H).max()), 1e-300) * np.eye(system.n_u)
        u = u + span * np.linalg.solve(H, weighted @ off[..., None])[..., 0]
        u = np.clip(np.where(np.isfinite(u), u, system.u_trim), system.u_min, system.u_max)
    return u.reshape(shape)


def _metric(system: System) -> Array:
    """Q, with a little of the boxes where it weighs nothing."""
    width = system.x0_box + system.goal_box
    box = np.diag(1.0 / np.where(width > 0.0, width, 1.0) ** 2)
    return np.asarray(system.Q + 1e-6 * float(np.abs(system.Q).max()) * box / box.max())
