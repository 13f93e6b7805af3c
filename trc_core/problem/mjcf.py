"""MJCF: a robot as MuJoCo compiles it, read into a `RobotModel`.

MuJoCo resolves everything that its format knows (includes, defaults, inertias of geoms, units);
what is read here are the numbers that it computes with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trc_core.problem.mjcf_checks import require_no_contacts, require_tree
from trc_core.problem.mjcf_motors import motor_ranges
from trc_core.problem.mjcf_text import mechanics_text
from trc_core.problem.mjcf_tree import TreeReader
from trc_core.problem.mujoco_package import import_mujoco
from trc_core.problem.robot import RobotJoint, RobotModel, Tip, require_members
from trc_core.problem.welding import HERE

LIMITS = ('lower', 'upper', 'velocity')
UNNAMED = 'MuJoCo Model'  # what MuJoCo calls a model without a name
CONTACTS = ('refuse', 'ignore')


def robot_from_mjcf(
    source: str | Path,
    tip: str | None = None,
    contacts: str = 'refuse',
    limits: Mapping[str, Mapping[str, float]] | None = None,
) -> RobotModel:
    """The robot of an MJCF file: a tree of hinges and slides on a fixed base.

    Joints without an actuator are passive. The state is MuJoCo's `qpos` and `qvel`; the controls
    are forces and torques of the joints, so that a motor's bounds are its control range times its
    gear.

    Args:
        source: path of the file, or its text.
        tip: a site or a body at the robot's end; by default it has none.
        contacts: 'ignore' leaves out contacts between geoms; otherwise geoms that could touch are
            an error.
        limits: `lower`, `upper` and `velocity` of joints, in the place of the file's, which knows
            no limits of speeds.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if MuJoCo is not installed or cannot read it, or if it holds what is not
            supported; one line names it.
    """
    if contacts not in CONTACTS:
        raise ValueError(f"contacts is '{contacts}'; choose from {list(CONTACTS)}")
    mujoco = import_mujoco('reading MJCF')
    is_text = isinstance(source, str) and '<' in source
    title = 'the MJCF' if is_text else f"'{source}'"
    if not is_text and not Path(source).is_file():
        raise FileNotFoundError(f"no robot file '{source}'")
    read = mujoco.MjModel.from_xml_string if is_text else mujoco.MjModel.from_xml_path
    try:
        model = read(str(source))
        require_tree(mujoco, model)
        if contacts == 'refuse':
            require_no_contacts(mujoco, model)
        return _robot(mujoco, model, tip, limits or {}, 'robot' if is_text else Path(source).stem)
    except (ValueError, mujoco.FatalError) as error:
        raise ValueError(f'{title}: {" ".join(str(error).split())}') from None


def _robot(
    mujoco: Any,
    model: Any,
    tip: str | None,
    limits: Mapping[str, Mapping[str, float]],
    stem: str,
) -> RobotModel:
    reader = TreeReader(mujoco, model)
    known = [model.joint(j).name for j in range(model.njnt)]
    require_members('limits', list(limits), known, 'joints')
    motors = motor_ranges(mujoco, model)
    joints = tuple(
        _joint(mujoco, model, j, motors.get(j, (0.0, 0.0)), limits.get(name, {}))
        for j, name in enumerate(known)
    )
    name = model.names.split(b'\0')[0].decode()
    if name in ('', UNNAMED):
        name = stem
    end = None if tip is None else _tip(mujoco, model, reader, tip)
    source = 'mjcf', mechanics_text(mujoco, model)
    return RobotModel(name, reader.tree(), joints, end, source)


def _joint(
    mujoco: Any,
    model: Any,
    j: int,
    effort: tuple[float, float],
    limits: Mapping[str, float],
) -> RobotJoint:
    name = model.joint(j).name
    require_members(f"limits of '{name}'", list(limits), LIMITS, 'words')
    lower, upper = model.jnt_range[j] if model.jnt_limited[j] else (-math.inf, math.inf)
    known = {'lower': float(lower), 'upper': float(upper), 'velocity': math.inf, **limits}
    if not known['lower'] < known['upper'] or not known['velocity'] > 0.0:
        raise ValueError(
            f"the limits of joint '{name}' are {known}; lower must lie below upper, and velocity "
            'above 0'
        )
    slides = model.jnt_type[j] == mujoco.mjtJoint.mjJNT_SLIDE
    limited = math.isfinite(known['lower']) or math.isfinite(known['upper'])
    return RobotJoint(
        name,
        'prismatic' if slides else 'revolute' if limited else 'continuous',
        **known,
        effort=effort[1],
        lowest_effort=effort[0],
        damping=float(model.dof_damping[j]),
        friction=float(model.dof_frictionloss[j]),
        armature=float(model.dof_armature[j]),
        stiffness=float(model.jnt_stiffness[j]),
        rest=float(model.qpos_spring[j]),
    )


def _tip(mujoco: Any, model: Any, reader: TreeReader, tip: str) -> Tip:
    """A site or a body by its name."""
    sites = {model.site(i).name: i for i in range(model.nsite)}
    bodies = {model.body(i).name: i for i in range(1, model.nbody)}
    require_members('tip', [tip], sorted({*sites, *bodies} - {''}), 'sites and bodies')
    if tip in sites:
        i = sites[tip]
        own = reader.place_of(model.site_pos[i], model.site_quat[i])
        body, place = reader.place(model.site_bodyid[i], own)
    else:
        body, place = reader.place(bodies[tip], HERE)
    return Tip(body, place.offset.tolist(), place.rotation)
