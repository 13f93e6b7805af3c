"""MuJoCo for every system that it can simulate: robots from their files, and the cart-poles."""

from __future__ import annotations

from trc_core.problem.system import System
from trc_core.simulation import mujoco_cartpole
from trc_core.simulation.mujoco_physics import MujocoPhysics
from trc_core.simulation.mujoco_robot import robot_model


def mujoco_physics(system: System) -> MujocoPhysics:
    """The physics of a system with its parameters.

    Raises:
        ValueError: if MuJoCo has no model of it, or is not installed.
    """
    if system.robot is not None:
        return MujocoPhysics(*robot_model(system))
    if set(system.parameters) == mujoco_cartpole.PARAMETERS:
        return MujocoPhysics(
            mujoco_cartpole.cartpole_model(system), system, mujoco_cartpole.PLACES
        )
    raise ValueError(
        f"the plant backend 'mujoco' has no model of '{system.name}'; choose the system "
        "'cartpole' or 'cartpole_swingup', the .urdf or .xml of a robot, or the plant backend "
        "'system'"
    )
