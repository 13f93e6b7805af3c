"""The cart-pole in MuJoCo: equations of motion that were not written here."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np

from trc_core.problem.system import Array, System

MODEL = 'cartpole.xml'
PARAMETERS = {'gravity', 'cart_mass', 'pole_mass', 'half_length'}


class MujocoCartpole:
    """Physics of a cart-pole with the parameters of `system`; state in, state out.

    Raises:
        ValueError: if the system is not a cart-pole, or MuJoCo is not installed.
    """

    def __init__(self, system: System) -> None:
        if set(system.parameters) != PARAMETERS:
            raise ValueError(
                f"the plant backend 'mujoco' has no model of '{system.name}'; choose the system "
                "'cartpole' or 'cartpole_swingup', or the plant backend 'system'"
            )
        self._mujoco = _import_mujoco()
        text = resources.files('trc_core.simulation').joinpath(MODEL).read_text()
        self._model = self._mujoco.MjModel.from_xml_string(text)
        self._data = self._mujoco.MjData(self._model)
        self._set(**system.parameters)

    def _set(self, gravity: float, cart_mass: float, pole_mass: float, half_length: float) -> None:
        model, pole = self._model, self._model.body('pole').id
        model.opt.gravity[:] = (0.0, 0.0, -gravity)
        model.body_mass[self._model.body('cart').id] = cart_mass
        model.body_mass[pole] = pole_mass
        model.body_ipos[pole] = (0.0, 0.0, half_length)
        model.body_inertia[pole, :2] = pole_mass * (2 * half_length) ** 2 / 12
        self._mujoco.mj_setConst(model, self._data)

    def __call__(self, x: Array, u: Array, dt: float, /) -> Array:
        """The state (4,): cart position and velocity, pole angle and rate; after dt seconds."""
        data = self._data
        data.qpos[:], data.qvel[:], data.ctrl[:] = x[0::2], x[1::2], u
        self._model.opt.timestep = dt
        self._mujoco.mj_step(self._model, data)
        return np.array([data.qpos[0], data.qvel[0], data.qpos[1], data.qvel[1]])


def _import_mujoco() -> Any:
    try:
        import mujoco
    except ModuleNotFoundError:
        raise ValueError(
            "the plant backend 'mujoco' needs MuJoCo: pip install 'trc[mujoco]'"
        ) from None
    return mujoco
