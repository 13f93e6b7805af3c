"""Mechanics of a compiled model of MuJoCo as a text in its own format, to the last digit.

The user's file may refer to meshes and other files. This text has bodies and joints only, so that
the same plant can be made anywhere.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np

JOINT = {
    'solreflimit': 'jnt_solref',
    'solimplimit': 'jnt_solimp',
    'solreffriction': 'dof_solref',
    'solimpfriction': 'dof_solimp',
    'margin': 'jnt_margin',
    'stiffness': 'jnt_stiffness',
    'springref': 'qpos_spring',
    'ref': 'qpos0',
    'armature': 'dof_armature',
    'damping': 'dof_damping',
    'frictionloss': 'dof_frictionloss',
    'pos': 'jnt_pos',
    'axis': 'jnt_axis',
    'range': 'jnt_range',
}
"""Attributes of a joint, and the fields of a model of hinges and slides that hold them."""


def mechanics_text(mujoco: Any, model: Any) -> str:
    """The text of a model of hinges and slides without geoms, motors and everything else."""
    root = ET.Element('mujoco')
    ET.SubElement(root, 'compiler', angle='radian', autolimits='false')
    option = ET.SubElement(root, 'option', gravity=_text(model.opt.gravity))
    weightless = model.opt.disableflags & int(mujoco.mjtDisableBit.mjDSBL_GRAVITY)
    ET.SubElement(option, 'flag', gravity='disable' if weightless else 'enable')
    elements = [ET.SubElement(root, 'worldbody')]
    for i in range(1, model.nbody):
        outer = elements[model.body_parentid[i]]
        elements.append(_add_body(outer, mujoco, model, i))
    return ET.tostring(root, encoding='unicode')


def _add_body(outer: ET.Element, mujoco: Any, model: Any, i: int) -> ET.Element:
    body = ET.SubElement(
        outer,
        'body',
        name=model.body(i).name or f'body {i}',
        pos=_text(model.body_pos[i]),
        quat=_text(model.body_quat[i]),
    )
    if model.body_mass[i]:
        ET.SubElement(
            body,
            'inertial',
            pos=_text(model.body_ipos[i]),
            quat=_text(model.body_iquat[i]),
            mass=_text(model.body_mass[i]),
            diaginertia=_text(model.body_inertia[i]),
        )
    first = model.body_jntadr[i]
    for j in range(first, first + model.body_jntnum[i]):
        slides = model.jnt_type[j] == mujoco.mjtJoint.mjJNT_SLIDE
        joint = ET.SubElement(body, 'joint', name=model.joint(j).name)
        joint.set('type', 'slide' if slides else 'hinge')
        joint.set('limited', 'true' if model.jnt_limited[j] else 'false')
        for key, field in JOINT.items():
            joint.set(key, _text(getattr(model, field)[j]))
    return body


def _text(values: Any) -> str:
    return ' '.join(repr(float(value)) for value in np.ravel(values))
