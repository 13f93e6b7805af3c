"""The numbers of solved descents (`numerics/descent.py`): how thrusts become coefficients.

The direction of thrust is fitted as it is. The switching function is fitted to the one that has
exactly its sizes, and then refined until the sizes agree: far from a switch they hardly depend on
it.
"""

from __future__ import annotations

import numpy as np

from trc_core.numerics.descent import DIRECTION, STEEP, Descent, chebyshev
from trc_core.problem.system import Array, System
from trc_core.solvers.descents import Descents

NEAREST = 1e-6  # share of the range of sizes within which one is as good as at its bound
ROUNDS = 12  # of Gauss-Newton
PULL = 1e-4  # weight of the first fit beside that of the sizes


def numbers_of(system: System, solved: Descents) -> Array:
    """The numbers (B, NUMBERS) of solved descents, with dimensions."""
    (norm,) = system.norms
    basis, size = chebyshev(system.horizon), np.linalg.norm(solved.controls, axis=-1)
    direction = solved.controls / size[..., None]
    B, T = size.shape
    along = np.linalg.lstsq(
        basis[:, :DIRECTION], direction.transpose(1, 2, 0).reshape(T, -1), rcond=None
    )[0]
    share = np.clip((size - norm.low) / (norm.high - norm.low), NEAREST, 1.0 - NEAREST)
    switching = _switching(basis, np.log(share / (1.0 - share)) / STEEP, share)
    return np.concatenate(
        [
            along.reshape(DIRECTION, 3, B).transpose(2, 1, 0).reshape(B, -1),
            switching,
            np.log(solved.seconds)[:, None],
            solved.prices,
        ],
        axis=1,
    )


def _switching(basis: Array, wanted: Array, share: Array) -> Array:
    """The coefficients (B, n) of S whose sizes fit shares (B, T), near what is wanted (B, T)."""
    c = np.linalg.lstsq(basis, wanted.T, rcond=None)[0].T
    damping, pull = np.full(len(c), 1e-3), PULL * basis.T @ basis

    def misfit(c: Array) -> tuple[Array, Array]:
        S = c @ basis.T
        found = 1.0 / (1.0 + np.exp(-np.clip(STEEP * S, -60.0, 60.0)))
        worth = np.square(found - share).sum(1) + PULL * np.square(S - wanted).sum(1)
        return found, worth

    found, worth = misfit(c)
    for _ in range(ROUNDS):
        J = (STEEP * found * (1.0 - found))[..., None] * basis
        H = np.einsum('bti,btj->bij', J, J) + pull + damping[:, None, None] * np.eye(c.shape[1])
        g = np.einsum('bti,bt->bi', J, found - share) + PULL * (c @ basis.T - wanted) @ basis
        tried = c - np.linalg.solve(H, g[..., None])[..., 0]
        again, cheaper = misfit(tried)
        better = cheaper < worth
        c, found = np.where(better[:, None], tried, c), np.where(better[:, None], again, found)
        worth, damping = np.where(better, cheaper, worth), damping * np.where(better, 0.3, 4.0)
    return c


def coordinates_of(system: System, solved: Descents, numbers: Array) -> Descent:
    """The coordinates in which the numbers (B, NUMBERS) of solved descents are of size 1."""
    read = solved.x0[:, [0, 2, 3, 4, 5, 6]]
    return Descent.blank(system)._replace(
        centre=numbers.mean(0),
        spread=np.maximum(numbers.std(0), 1e-6),
        middle=read.mean(0),
        width=read.std(0),
    )
