"""Analyses of latent states: where they start, how they move, what can be read from them."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from trc_core.lab.experiments.frame import Figures
from trc_core.models.recursive_reasoning import INITIAL_STATE_SCALE, TwoLevelReasoning
from trc_core.models.search import Latents
from trc_core.problem.system import Array

COMPONENTS = 8
EXPLAINED = 0.95
RIDGE = 1e-3  # of the linear probes, relative to the mean variance of a latent


def initial_states(H: Array, L: Array) -> Figures:
    """Norms of H_init and L_init (latent_dim,), and the angle between them [degrees]."""
    cosine = float(H @ L / (np.linalg.norm(H) * np.linalg.norm(L)))
    return {
        'H_init norm': float(np.linalg.norm(H)),
        'L_init norm': float(np.linalg.norm(L)),
        'untrained norm': float(INITIAL_STATE_SCALE * np.sqrt(len(H))),
        'cosine': cosine,
        'angle': float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))),
    }


def relative_steps(z: Tensor) -> list[float]:
    """Mean |z(k) - z(k - 1)| / |z(k)| of a latent (K + 1, N, latent_dim), by cycle."""
    moved = (z[1:] - z[:-1]).norm(dim=-1) / z[1:].norm(dim=-1)
    return [float(value) for value in moved.mean(1)]


def pca(z: Array) -> Figures:
    """Principal components of points (M, latent_dim).

    Returns:
        `shares` of the variance, largest first; `dimensions`, how many hold `EXPLAINED` of it;
        `participation`, (sum of variances)^2 / sum of their squares: a dimension that needs no
        threshold.
    """
    variances = np.linalg.svd(z - z.mean(0), compute_uv=False) ** 2
    shares = variances / variances.sum()
    return {
        'shares': shares[:COMPONENTS].tolist(),
        'dimensions': int(np.searchsorted(np.cumsum(shares), EXPLAINED) + 1),
        'participation': float(1 / np.square(shares).sum()),
    }


def probe(z: Array, target: Array) -> float:
    """R^2 of a linear reading of `target` (N, k) from latents (N, latent_dim), held out.

    Ridge regression on the even rows, judged on the odd ones.
    """
    known, asked = z[::2], z[1::2]
    centre, mean = known.mean(0), target[::2].mean(0)
    X = known - centre
    strength = RIDGE * len(X) * X.var(0).mean()
    weights = np.linalg.solve(X.T @ X + strength * np.eye(X.shape[1]), X.T @ (target[::2] - mean))
    missed = np.square(target[1::2] - mean - (asked - centre) @ weights).sum()
    return float(1 - missed / np.square(target[1::2] - target[1::2].mean(0)).sum())


def inner_changes(
    reasoning: TwoLevelReasoning, latents: Latents, z_initial: Tensor, context: Tensor, count: int
) -> list[float]:
    """|new - old| / |new| of z_L, update by update, mean over the rows."""
    z_H, z_L = latents
    changes = []
    for _ in range(count):
        new = reasoning.L_level(z_L, z_H + z_initial + context)
        changes.append(float(((new - z_L).norm(dim=-1) / new.norm(dim=-1)).mean()))
        z_L = new
    return changes


def plane_coordinates(z: Array, count: int) -> list[list[list[float]]]:
    """The first two principal coordinates of some latents (K + 1, N, latent_dim), by cycle."""
    cycles = z[1:4]
    points = cycles.reshape(-1, z.shape[-1])
    _, _, axes = np.linalg.svd(points - points.mean(0), full_matrices=False)
    rows = cycles[:, : max(1, count // len(cycles))] - points.mean(0)
    return [[[round(float(c), 3) for c in p @ axes[:2].T] for p in cycle] for cycle in rows]
