"""Quadratic forms of J about many optimal plans (`expansion_kernels.py`), on every core."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.representation import Representation
from trc_core.numerics.rollout import Trajectory
from trc_core.problem.system import Array, System
from trc_core.solvers.library import Labels
from trc_core.training.expansion_kernels import Form, batch_local_form

ROWS_PER_JOB = 64


def local_forms(
    system: System, representation: Representation, s: Array, labels: Labels
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The quadratic forms of many optimal plans, on every core.

    Args:
        system: the plant.
        representation: of the plans.
        s: (B,), size of the initial errors.
        labels: B problems with their optimal plans.

    Returns:
        M (B, T n_u, T n_u) with |M o|^2 = (J - J*) / J*, and held (B, T, n_u): 1 or -1 where the
        optimum holds a control at its upper or lower bound, else 0; both float32.
    """
    B, T, n_u = labels.controls.shape
    form = Form(np.empty((B, T * n_u, T * n_u), np.float32), np.empty((B, T, n_u), np.float32))
    kernel, law = compiled(batch_local_form), representation.law
    plant, trims = plant_of(system), np.repeat(system.trims(labels.goal)[:, None], T, 1)

    def fill(first: int) -> None:
        rows = slice(first, first + ROWS_PER_JOB)
        scale = (s[rows] / np.sqrt(labels.cost[rows]))[:, None, None, None]
        trajectories = Trajectory(labels.states[rows], labels.controls[rows])
        r = constant_reference(labels.goal[rows], T)
        own = Form(form.M[rows], form.held[rows])
        kernel(plant, trims[rows], law, scale * representation.L_inverse, trajectories, r, own)

    with ThreadPoolExecutor() as threads:
        list(threads.map(fill, range(0, B, ROWS_PER_JOB)))
    return form.M, form.held
