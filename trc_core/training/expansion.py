"""Quadratic forms of J about many optimal plans (`expansion_kernels.py`), on every core."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.numerics.batch import trims_by_row
from trc_core.numerics.cost import constant_reference, difference
from trc_core.numerics.lagrangian import Multipliers
from trc_core.numerics.representation import Representation
from trc_core.numerics.rollout import Law, Trajectory
from trc_core.problem.system import Array, System
from trc_core.solvers.labels import Labels
from trc_core.training.expansion_kernels import Form, Optima, batch_local_form

ROWS_PER_JOB = 64
LARGEST = 6e4  # entry of a form: half precision ends there


def plans_of(system: System, law: Law, labels: Labels) -> Array:
    """The plans v (B, T, n_u) that reproduce labels under the feedback of a law."""
    trim = trims_by_row(system, constant_reference(labels.goal, system.horizon), labels.parameters)
    error = difference(system, labels.states[:, :-1], labels.goal[:, None])
    size = np.einsum('bti,ij,btj->bt', error, law.G, error)
    feedback = np.einsum('tij,btj->bti', law.K, error)
    v: Array = labels.controls - trim + feedback / (1.0 + size * size)[..., None]
    return v


def local_forms(
    system: System, representation: Representation, s: Array, labels: Labels
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """The quadratic forms of many optimal plans, on every core.

    Half precision: 20,000 forms of 120 controls take 0.6 GB.

    Args:
        system: the plant.
        representation: of the plans.
        s: (B,), size of the initial errors.
        labels: B problems with their optimal plans.

    Returns:
        M (B, T n_u, T n_u) with |M o|^2 = (J - J*) / J*, float16, and held (B, T, n_u), float32:
        1 or -1 where the optimum holds a control at its upper or lower bound, else 0. Under
        constraints J - J* is that of the augmented Lagrangian.
    """
    B, T, n_u = labels.controls.shape
    assert labels.parameters.shape == (B, len(system.parameters))  # kernels do not check
    M, held = np.empty((B, T * n_u, T * n_u), np.float16), np.empty((B, T, n_u), np.float32)
    kernel, law, plant = compiled(batch_local_form), representation.law, plant_of(system)
    r = constant_reference(labels.goal, T)

    def fill(first: int) -> None:
        rows = slice(first, first + ROWS_PER_JOB)
        scale = (s[rows] / np.sqrt(labels.cost[rows]))[:, None, None, None]
        p = labels.parameters[rows]
        optima = Optima(
            p,
            trims_by_row(system, r[rows], p),
            r[rows],
            Trajectory(labels.states[rows], labels.controls[rows]),
            Multipliers(labels.multipliers[rows], labels.penalties[rows]),
        )
        own = Form(np.empty(M[rows].shape, np.float32), held[rows])
        kernel(plant, law, scale * representation.L_inverse, optima, own)
        M[rows] = own.M.clip(-LARGEST, LARGEST)

    with ThreadPoolExecutor() as threads:
        list(threads.map(fill, range(0, B, ROWS_PER_JOB)))
    return M, held
