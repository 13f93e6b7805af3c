"""MuJoCo as physics: equations of motion that were not written here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trc_core.problem.mujoco_package import import_mujoco
from trc_core.problem.system import Array, System

BACKEND = "the plant backend 'mujoco'"
LARGEST = 1e10  # a state beyond it has blown up


@dataclass(frozen=True)
class Places:
    """Places of the joints of a MuJoCo model, which has hinges and slides only, in x and u."""

    joints: tuple[int, ...]
    """Joints of the model, in the order of the next two."""
    positions: tuple[int, ...]
    """Their positions in x."""
    velocities: tuple[int, ...]
    """Their velocities in x."""
    driven: tuple[int, ...]
    """The joint of the model that each control drives."""
    locked: Mapping[int, float] = field(default_factory=dict)
    """Positions of the joints that are not in x."""


class MujocoPhysics:
    """Motion of a MuJoCo model; state in, state out.

    The controls act as forces on the joints themselves, without bounds, and nothing touches
    anything.

    Args:
        model: an `mjModel`, whose options are set here.
        system: its substeps are taken in every step, which are of RK4.
        places: where the joints are in x and u.
    """

    def __init__(self, model: Any, system: System, places: Places) -> None:
        self._mujoco = mujoco = import_mujoco(BACKEND)
        flags = mujoco.mjtDisableBit
        for flag in (flags.mjDSBL_CONTACT, flags.mjDSBL_ACTUATION, flags.mjDSBL_AUTORESET):
            model.opt.disableflags |= int(flag)
        model.opt.integrator = mujoco.mjtIntegrator.mjINT_RK4
        self._model, self._data = model, mujoco.MjData(model)
        self._home = np.zeros(model.nq)
        self._home[list(places.locked)] = list(places.locked.values())
        self._substeps = int(system.substeps)
        self._n_x = system.n_x
        self._joints, self._driven = list(places.joints), list(places.driven)
        self._positions, self._velocities = list(places.positions), list(places.velocities)

    def __call__(self, x: Array, u: Array, dt: float, /) -> Array:
        """The state (n_x,) after holding the force u (n_u,) for dt seconds; NaN if it blew up."""
        if not (np.abs(x) < LARGEST).all():
            return np.full(self._n_x, np.nan)
        data, joints = self._data, self._joints
        data.qpos[:], data.qvel[:] = self._home, 0.0
        data.qpos[joints], data.qvel[joints] = x[self._positions], x[self._velocities]
        data.qfrc_applied[self._driven] = u
        data.qacc_warmstart[:] = 0.0  # so that equal states and forces have equal successors
        self._model.opt.timestep = dt / self._substeps
        self._mujoco.mj_step(self._model, data, self._substeps)
        after = np.empty(self._n_x)
        after[self._positions], after[self._velocities] = data.qpos[joints], data.qvel[joints]
        return after
