"""The elements of a URDF as numbers; whatever is wrong in them is named.

Source: the XML specification of URDF, wiki.ros.org/urdf/XML.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from trc_core.problem.welding import MOVABLE, Array, LinkJoint, Lump, Place, about

EXPAND = 'is xacro that is not expanded yet; run: xacro FILE.xacro > FILE.urdf'
UNSUPPORTED = ('floating', 'planar')
LIMITS = ('lower', 'upper', 'velocity', 'effort')


def root_of(text: str) -> Element:
    """The root of a URDF's text.

    Raises:
        ValueError: if it is no URDF, or one that xacro has not expanded yet.
    """
    if '<!DOCTYPE' in text or '<!ENTITY' in text:
        raise ValueError('holds a DOCTYPE or an ENTITY, which no URDF needs; remove it')
    try:
        root = ElementTree.fromstring(text.strip())
    except ElementTree.ParseError as error:
        if '<xacro:' in text:
            raise ValueError(EXPAND) from None
        raise ValueError(f'is no XML: {error}') from None
    if root.tag != 'robot':
        raise ValueError(f"begins with <{root.tag}>, where a URDF begins with <robot name='...'>")
    if any('xacro' in element.tag for element in root.iter() if isinstance(element.tag, str)):
        raise ValueError(EXPAND)
    parts = [
        inner for kind in ('link', 'joint') for e in root.iterfind(kind) for inner in e.iter()
    ]
    if any(re.search(r'\$[({]', value) for part in parts for value in part.attrib.values()):
        raise ValueError(EXPAND)
    if root.find('link') is None:
        raise ValueError('has no link')
    return root


def required(element: Element, key: str, what: str) -> str:
    """An attribute that has to be there; `what` names its element in the message."""
    value = element.get(key)
    if not value:
        raise ValueError(f"{what} has no '{key}'")
    return value


def _numbers(element: Element | None, key: str, default: str, count: int, what: str) -> Array:
    """The numbers (count,) of an attribute."""
    text = default if element is None else element.get(key, default)
    try:
        found = np.array([float(word) for word in text.split()])
    except ValueError:
        found = np.zeros(0)
    if len(found) != count or not np.isfinite(found).all():
        expected = 'a number' if count == 1 else f'{count} numbers'
        raise ValueError(f"{key} of {what} is '{text:.60}'; write {expected}")
    return found


def _number(element: Element | None, key: str, default: str, what: str) -> float:
    return float(_numbers(element, key, default, 1, what)[0])


def _place(element: Element, what: str) -> Place:
    """The `<origin>` of an element; one that has none is at the origin of its parent."""
    origin = element.find('origin')
    offset = _numbers(origin, 'xyz', '0 0 0', 3, what)
    roll, pitch, yaw = _numbers(origin, 'rpy', '0 0 0', 3, what)
    turns = [about(axis, a) for axis, a in zip(np.eye(3)[::-1], (yaw, pitch, roll), strict=True)]
    return Place(turns[0] @ turns[1] @ turns[2], offset)


def lump_of(link: Element, name: str) -> Lump:
    """The body of a link; nothing where it states no inertia."""
    inertial = link.find('inertial')
    if inertial is None:
        return Lump.nothing()
    what = f"link '{name}'"
    mass = _number(inertial.find('mass'), 'value', '', what)
    if mass < 0.0:
        raise ValueError(f'the mass of {what} is {mass:g} kg; write one that is not negative')
    moments = inertial.find('inertia')
    xx, xy, xz, yy, yz, zz = (
        _number(moments, key, '0', what) for key in ('ixx', 'ixy', 'ixz', 'iyy', 'iyz', 'izz')
    )
    inertia = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    second = 0.5 * np.trace(inertia) * np.eye(3) - inertia
    return Lump(mass, np.zeros(3), second).moved(_place(inertial, f'the inertial of {what}'))


def joint_of(element: Element) -> LinkJoint:
    """A `<joint>`, whatever its type; its limits are those that are written."""
    name = required(element, 'name', 'a joint')
    what = f"joint '{name}'"
    ends = []
    for key in ('parent', 'child'):
        end = element.find(key)
        if end is None:
            raise ValueError(f'{what} has no <{key}>')
        ends.append(required(end, 'link', f'the {key} of {what}'))
    axis = _numbers(element.find('axis'), 'xyz', '1 0 0', 3, f'the axis of {what}')
    kind = required(element, 'type', what)
    if kind not in (*MOVABLE, *UNSUPPORTED, 'fixed'):
        raise ValueError(f"{what} has the type '{kind}'; choose from {list(MOVABLE)} and 'fixed'")
    length = float(np.linalg.norm(axis))
    if length == 0.0 and kind in MOVABLE:
        raise ValueError(f'the axis of {what} is 0 0 0; write its direction')
    limit, dynamics, mimic = (element.find(key) for key in ('limit', 'dynamics', 'mimic'))
    stated = {} if limit is None else {k: limit.get(k) for k in LIMITS if limit.get(k) is not None}
    return LinkJoint(
        name,
        kind,
        ends[0],
        ends[1],
        _place(element, what),
        axis / length if length else axis,
        {key: _number(limit, key, '', f'the limit of {what}') for key in stated},
        _number(dynamics, 'damping', '0', what),
        _number(dynamics, 'friction', '0', what),
        None if mimic is None else mimic.get('joint', '?'),
    )
