"""The cart-pole in MuJoCo, with the parameters of a `System` that has no file of its own."""

from __future__ import annotations

from importlib import resources
from typing import Any

from trc_core.problem.mujoco_package import import_mujoco
from trc_core.problem.system import System
from trc_core.simulation.mujoco_physics import BACKEND, Places

MODEL = 'cartpole.xml'
PARAMETERS = {'gravity', 'cart_mass', 'pole_mass', 'half_length'}
PLACES = Places(joints=(0, 1), positions=(0, 2), velocities=(1, 3), driven=(0,))


def cartpole_model(system: System) -> Any:
    """The `mjModel` of a cart-pole with the parameters of `system`."""
    mujoco = import_mujoco(BACKEND)
    text = resources.files('trc_core.simulation').joinpath(MODEL).read_text()
    model = mujoco.MjModel.from_xml_string(text)
    _set(model, **system.parameters)
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def _set(
    model: Any, gravity: float, cart_mass: float, pole_mass: float, half_length: float
) -> None:
    cart, pole = model.body('cart').id, model.body('pole').id
    model.opt.gravity[:] = (0.0, 0.0, -gravity)
    model.body_mass[cart] = cart_mass
    model.body_mass[pole] = pole_mass
    model.body_ipos[pole] = (0.0, 0.0, half_length)
    model.body_inertia[pole, :2] = pole_mass * (2 * half_length) ** 2 / 12
