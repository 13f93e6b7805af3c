"""Robots read from URDF: what moves, what it weighs, how far, how fast and how strongly.

Meshes, sensors and transmissions are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from trc_core.problem.numbers import checked_array, checked_number
from trc_core.problem.rigid_body import GRAVITY
from trc_core.problem.robot import RobotJoint, RobotModel, Tip, require_members
from trc_core.problem.urdf_elements import (
    LIMITS,
    UNSUPPORTED,
    LinkJoint,
    joint_of,
    lump_of,
    required,
    root_of,
)
from trc_core.problem.welding import welded


def robot_from_urdf(
    source: str | Path,
    tip: str | None = None,
    joints: Sequence[str] | None = None,
    locked: Mapping[str, float] | None = None,
    limits: Mapping[str, Mapping[str, float]] | None = None,
    gravity: Sequence[float] = GRAVITY,
) -> RobotModel:
    """The robot of a URDF file, or of the text of one.

    Args:
        source: path of a file, or the text itself.
        tip: the link at the end; by default the last one that nothing hangs on, of those behind
            the most joints.
        joints: names of those that move; all by default. The others stay at 0.
        locked: positions [rad or m] of joints that do not move, by name.
        limits: `lower`, `upper`, `velocity` and `effort` of joints, in the place of the file's.
        gravity: acceleration of gravity in the frame of the base [m/s^2].

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no URDF, or holds what is not supported; one line names the joint.
    """
    text, title = _text_of(source)
    try:
        return _robot(text, tip, joints, dict(locked or {}), limits or {}, gravity)
    except ValueError as error:
        raise ValueError(f'{title}: {error}') from error


def _text_of(source: str | Path) -> tuple[str, str]:
    """The text of a URDF and what it is called in messages."""
    if isinstance(source, str) and '<' in source:
        return source, 'the URDF'
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"no robot file '{path}'")
    try:
        return path.read_text(encoding='utf-8-sig'), f"'{path}'"
    except UnicodeDecodeError:
        raise ValueError(f"'{path}': is no text in UTF-8") from None


def _robot(
    text: str,
    tip: str | None,
    joints: Sequence[str] | None,
    locked: dict[str, float],
    limits: Mapping[str, Mapping[str, float]],
    gravity: Sequence[float],
) -> RobotModel:
    root = root_of(text)
    lumps = {}
    for link in root.iterfind('link'):
        name = required(link, 'name', 'a link')
        if name in lumps:
            raise ValueError(f"link '{name}' is there twice")
        lumps[name] = lump_of(link, name)
    stated = [joint_of(element) for element in root.iterfind('joint')]
    base, ordered = _ordered(list(lumps), stated)
    moving = _moving(ordered, joints, locked, limits)
    held = {k: checked_number(f"locked joint '{k}'", v) for k, v in locked.items()}
    pull = checked_array('gravity', gravity, (3,))
    parts = welded(base, ordered, moving, held, lumps, pull)
    end = tip if tip is not None else _farthest_leaf(base, ordered, moving)
    require_members('tip', [end], list(lumps), 'links')
    place = parts.places[end]
    return RobotModel(
        root.get('name') or 'robot',
        parts.tree,
        tuple(_robot_joint(joint) for joint in moving.values()),
        Tip(parts.bodies[end], place.offset.tolist(), place.rotation),
        ('urdf', text),
        locked,
    )


def _robot_joint(joint: LinkJoint) -> RobotJoint:
    turns = joint.kind == 'continuous'
    return RobotJoint(
        joint.name,
        joint.kind,
        -math.inf if turns else joint.limits['lower'],
        math.inf if turns else joint.limits['upper'],
        joint.limits['velocity'],
        joint.limits['effort'],
        joint.damping,
        joint.friction,
    )


def _ordered(links: list[str], joints: list[LinkJoint]) -> tuple[str, list[LinkJoint]]:
    """The base, and the joints from there outwards, a branch after the other."""
    _require_unique(joint.name for joint in joints)
    above: dict[str, LinkJoint] = {}
    below: dict[str, list[LinkJoint]] = {link: [] for link in links}
    for joint in joints:
        for end in (joint.parent, joint.child):
            if end not in below:
                raise ValueError(
                    f"joint '{joint.name}' names the link '{end}', which is not there"
                )
        if joint.child in above:
            raise ValueError(
                f"joint '{joint.name}' closes a loop: its link '{joint.child}' hangs on joint "
                f"'{above[joint.child].name}' already; only trees are supported"
            )
        above[joint.child] = joint
        below[joint.parent].append(joint)
    roots = [link for link in links if link not in above]
    if not roots:
        raise ValueError(f"joint '{joints[0].name}' is part of a loop; only trees are supported")
    if len(roots) > 1:
        raise ValueError(f'links {roots} hang on no joint; a robot has one base')
    found: list[LinkJoint] = []
    pending = below[roots[0]][::-1]
    while pending:
        joint = pending.pop()
        found.append(joint)
        pending += below[joint.child][::-1]
    if len(found) < len(joints):
        left = next(joint for joint in joints if joint not in found)
        raise ValueError(f"joint '{left.name}' is part of a loop; only trees are supported")
    return roots[0], found


def _require_unique(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"joint '{name}' is there twice")
        seen.add(name)


def _farthest_leaf(base: str, ordered: list[LinkJoint], moving: Mapping[str, LinkJoint]) -> str:
    """The last link that nothing hangs on, of those that the most joints move.

    Frames on the base or half-way, as for a camera, often come last in a file.
    """
    depths = {base: 0}
    for joint in ordered:
        depths[joint.child] = depths[joint.parent] + (joint.name in moving)
    parents = {joint.parent for joint in ordered}
    leaves = [link for link in depths if link not in parents]
    return max(reversed(leaves), key=depths.__getitem__)


def _moving(
    ordered: list[LinkJoint],
    joints: Sequence[str] | None,
    locked: Mapping[str, float],
    limits: Mapping[str, Mapping[str, float]],
) -> dict[str, LinkJoint]:
    """The joints that move, with their limits, by name."""
    known = [joint.name for joint in ordered if joint.kind != 'fixed']
    for key, names in (('joints', joints or []), ('locked', locked), ('limits', limits)):
        require_members(key, list(names), known, 'joints')
    both = sorted(set(joints or []) & set(locked))
    if both:
        raise ValueError(f"joint '{both[0]}' is in joints and in locked; leave it out of one")
    found = {}
    for joint in ordered:
        chosen = joints is None or joint.name in joints
        if joint.kind == 'fixed' or joint.name in locked or not chosen:
            continue
        found[joint.name] = joint
    _require_supported(list(found.values()))
    found = {name: _with_limits(joint, limits.get(name, {})) for name, joint in found.items()}
    if not found:
        raise ValueError(f'no joint moves; there are {known}')
    return found


def _require_supported(joints: Sequence[LinkJoint]) -> None:
    """Refuses joints that float or mimic others; the message says how to weld all of them."""
    for joint in joints:
        if joint.kind in UNSUPPORTED:
            raise ValueError(
                f"joint '{joint.name}' is {joint.kind}; only robots on a fixed base are "
                f'supported: {_weld([joint.name])}'
            )
    mimics = [joint for joint in joints if joint.mimics is not None]
    if mimics:
        known = [joint.name for joint in joints]
        leaders = [j.mimics for j in mimics if j.mimics in known and j.mimics is not None]
        # The other half of a gripper alone would move without it.
        names = dict.fromkeys([*leaders, *(joint.name for joint in mimics)])
        raise ValueError(
            f"joint '{mimics[0].name}' mimics '{mimics[0].mimics}', which is not supported: "
            f'{_weld(list(names))}'
        )


def _weld(names: Sequence[str]) -> str:
    """How joints are welded, in Python and as a flag or a node's parameter."""
    if len(names) > 6:
        return f'{len(names)} joints are like it: name those that move with joints='
    words = ', '.join(f"'{name}': 0.0" for name in names)
    flags = ', '.join(f'{name}=0' for name in names)
    return f"weld it with locked={{{words}}}, or task.locked '[{flags}]'"


def _with_limits(joint: LinkJoint, given: Mapping[str, float]) -> LinkJoint:
    """A joint with limits that can be kept.

    Raises:
        ValueError: if a limit is missing; the message says what to write.
    """
    name = joint.name
    require_members(f"limits of '{name}'", list(given), LIMITS, 'words')
    limits = {
        **joint.limits,
        **{k: checked_number(f"{k} of joint '{name}'", v) for k, v in given.items()},
    }
    if joint.kind != 'continuous':
        if 'lower' not in limits and 'upper' not in limits:
            raise ValueError(
                f"joint '{name}' has no position limits; write them in <limit>, or "
                f"limits={{'{name}': {{'lower': -3.0, 'upper': 3.0}}}}"
            )
        limits = {'lower': 0.0, 'upper': 0.0, **limits}  # as the specification has it
        if not limits['lower'] < limits['upper']:
            raise ValueError(
                f"the position limits of joint '{name}' are {limits['lower']:g} and "
                f'{limits["upper"]:g}; lower must lie below upper: write them in <limit>, or '
                f"limits={{'{name}': {{'lower': -3.0, 'upper': 3.0}}}}"
            )
    for key, unit in (('effort', 'N m or N'), ('velocity', 'rad/s or m/s')):
        if not 0.0 < limits.get(key, 0.0) < math.inf:
            raise ValueError(
                f"joint '{name}' has no {key} limit above 0; write it in <limit>, or "
                f"limits={{'{name}': {{'{key}': 10.0}}}} [{unit}]"
            )
    return replace(joint, limits=limits)
