"""Robots in MuJoCo: the text that a robot was read from, read a second time by MuJoCo itself."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np

from trc_core.problem.mujoco_package import import_mujoco
from trc_core.problem.robot import RobotModel
from trc_core.problem.robot_dynamics import PAYLOAD, RobotDynamics
from trc_core.problem.system import System
from trc_core.simulation.mujoco_physics import BACKEND, Places

LOAD = 'trc payload'  # the body of the payload
MOMENTS = ('ixx', 'ixy', 'ixz', 'iyy', 'iyz', 'izz')
STICKING = 0.9999  # impedance of dry friction; MuJoCo's own, 0.9, lets joints creep
IMMOVABLE = 1e12  # inertia [kg m^2 or kg] of a joint that is locked away from 0
FIELDS = {'armature': 'dof_armature', 'damping': 'dof_damping', 'friction': 'dof_frictionloss'}


def robot_model(system: System) -> tuple[Any, System, Places]:
    """The `mjModel` of a robot with the parameters of `system`, and where its joints are.

    Raises:
        ValueError: if MuJoCo refuses the robot; the message says why.
    """
    mujoco = import_mujoco(BACKEND)
    dynamics = system.dynamics
    assert isinstance(dynamics, RobotDynamics)
    robot = dynamics.model
    form, text = robot.source
    root = ET.fromstring(text)
    payload = system.parameters[PAYLOAD] if dynamics.payload else 0.0
    READERS[form](root, robot, payload)
    try:
        model = mujoco.MjModel.from_xml_string(ET.tostring(root, encoding='unicode'))
    except (ValueError, mujoco.FatalError) as error:
        reason = ' '.join(str(error).split())
        raise ValueError(f"MuJoCo refuses the robot '{robot.name}': {reason}") from None
    places = _places(model, dynamics)
    _set_joints(model, dynamics, system, places)
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model, system, places


def _urdf_for_mujoco(root: ET.Element, robot: RobotModel, payload: float) -> None:
    """Leaves out what has no part in the motion, fixes joints and adds a link for the payload."""
    for link in root.iter('link'):
        _remove(link, 'visual', 'collision')
    _remove(root, 'mujoco', 'gazebo', 'transmission', 'ros2_control', 'material')
    compiler = ET.SubElement(ET.SubElement(root, 'mujoco'), 'compiler')
    compiler.set('fusestatic', 'false')
    moving = {joint.name for joint in robot.joints}
    for joint in root.findall('joint'):
        _remove(joint, 'mimic', 'safety_controller')
        if joint.get('name') not in moving and not robot.locked.get(joint.get('name', '')):
            joint.set('type', 'fixed')
    if payload and robot.tip is not None and robot.tip.body >= 0:
        inertial = ET.SubElement(ET.SubElement(root, 'link', name=LOAD), 'inertial')
        ET.SubElement(inertial, 'mass', value=repr(payload))
        ET.SubElement(inertial, 'inertia', dict.fromkeys(MOMENTS, '0'))
        joint = ET.SubElement(root, 'joint', name=LOAD, type='fixed')
        ET.SubElement(joint, 'parent', link=_moved_link(root, robot.joints[robot.tip.body].name))
        ET.SubElement(joint, 'child', link=LOAD)
        ET.SubElement(joint, 'origin', xyz=_text(robot.tip.offset))


def _mjcf_for_mujoco(root: ET.Element, robot: RobotModel, payload: float) -> None:
    """Adds a body for the payload."""
    if not payload or robot.tip is None or robot.tip.body < 0:
        return
    name = robot.joints[robot.tip.body].name
    for body in list(root.iter('body')):
        joints = body.findall('joint')
        if joints and joints[-1].get('name') == name:
            anchor = np.array(joints[-1].get('pos', '').split(), dtype=np.float64)
            load = ET.SubElement(body, 'body', name=LOAD, pos=_text(anchor + robot.tip.offset))
            mass = {'pos': '0 0 0', 'mass': repr(payload), 'diaginertia': '0 0 0'}
            ET.SubElement(load, 'inertial', mass)


READERS: dict[str, Callable[[ET.Element, RobotModel, float], None]] = {
    'urdf': _urdf_for_mujoco,
    'mjcf': _mjcf_for_mujoco,
}
"""By the format of a robot's source, what makes its text one that MuJoCo can simulate."""


def _places(model: Any, dynamics: RobotDynamics) -> Places:
    n = len(dynamics.model.joints)
    joints = tuple(model.joint(joint.name).id for joint in dynamics.model.joints)
    others = set(range(model.njnt)) - set(joints)
    return Places(
        joints=joints,
        positions=tuple(range(n)),
        velocities=tuple(range(n, 2 * n)),
        driven=tuple(joints[i] for i in dynamics.model.driven),
        locked={i: dynamics.model.locked[model.joint(i).name] for i in others},
    )


def _set_joints(model: Any, dynamics: RobotDynamics, system: System, places: Places) -> None:
    """Sets what a user or a parameter may have changed, and locks the joints that do not move."""
    joints, order = dynamics.model.joints, list(places.joints)
    model.opt.gravity[:] = dynamics.model.tree.gravity
    for word, field in FIELDS.items():
        getattr(model, field)[order] = dynamics.numbers(word, system.parameters)
    for i, joint in zip(order, joints, strict=True):
        model.jnt_limited[i] = np.isfinite([joint.lower, joint.upper]).all()
        model.jnt_range[i] = joint.lower, joint.upper
    if dynamics.model.source[0] == 'urdf':
        model.dof_solimp[:, :2] = STICKING
    for i in places.locked:
        model.jnt_limited[i] = False
        model.dof_armature[i] = IMMOVABLE


def _moved_link(root: ET.Element, name: str) -> str:
    """The link that hangs on a joint."""
    child = next(j for j in root.findall('joint') if j.get('name') == name).find('child')
    assert child is not None
    return child.get('link', '')


def _remove(element: ET.Element, *tags: str) -> None:
    for tag in tags:
        for child in element.findall(tag):
            element.remove(child)


def _text(values: Any) -> str:
    return ' '.join(repr(float(value)) for value in values)
