"""What a model of MuJoCo may hold to be a robot here; everything else is refused by name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

MECHANICS = ('spring', 'damper', 'passive', 'frictionloss', 'limit', 'actuation')
"""Flags of <option> that switch a part of the motion off."""
POLYNOMIALS = ('dof_dampingpoly', 'jnt_stiffnesspoly')
REMEDY = 'pass contacts=\'ignore\', or write <option><flag contact="disable"/></option>'


def require_tree(mujoco: Any, model: Any) -> None:
    """Refuses what a fixed tree of hinges and slides cannot have.

    Raises:
        ValueError: at the first such thing, by its name.
    """
    for message in _misfits(mujoco, model):
        raise ValueError(message)


def _misfits(mujoco: Any, model: Any) -> Iterator[str]:
    kinds = mujoco.mjtJoint
    known = (int(kinds.mjJNT_HINGE), int(kinds.mjJNT_SLIDE))
    for i in np.flatnonzero(~np.isin(model.jnt_type, known)).tolist():
        kind = 'free' if model.jnt_type[i] == kinds.mjJNT_FREE else 'ball'
        yield (
            f'joint {_named(model.joint(i))} is a {kind} joint; a robot here stands on a fixed '
            'base and has hinge and slide joints'
        )
    if not model.njnt:
        yield 'there is no joint; give a body a hinge or a slide joint'
    for i in range(model.njnt):
        if not model.joint(i).name:
            body = model.body(model.jnt_bodyid[i]).name
            yield f"a joint of body '{body}' has no name; write <joint name=...>"
    for what, count, access in (
        ('tendon', model.ntendon, model.tendon),
        ('equality constraint', model.neq, model.equality),
    ):
        if count:
            yield f'{what} {_named(access(0))} cannot be modelled; take it out of the file'
    if model.nflex or model.nplugin:
        yield 'flexible bodies and plugins cannot be modelled; take them out of the file'
    for i in np.flatnonzero(model.body_gravcomp).tolist():
        yield f"body '{model.body(i).name}' has gravcomp; take it out of the file"
    if model.opt.density or model.opt.viscosity:
        yield 'a fluid cannot be modelled; set density and viscosity of <option> to 0'
    for flag in MECHANICS:
        if _disabled(mujoco, model, flag):
            yield f'the flag {flag}="disable" cannot be kept; take it out of <option>'
    if _disabled(mujoco, model, 'constraint') and model.dof_frictionloss.any():
        yield 'the flag constraint="disable" cannot be kept with frictionloss; take one out'
    for field in POLYNOMIALS:
        for i in np.flatnonzero(
            np.atleast_2d(getattr(model, field, np.zeros((1, 1)))).any(axis=1)
        ):
            yield f'joint {_named(model.joint(i))} has a {field[4:]}; write a single number'


def require_no_contacts(mujoco: Any, model: Any) -> None:
    """Refuses a model in which two geoms could touch.

    Raises:
        ValueError: with the names of the first such pair.
    """
    if any(_disabled(mujoco, model, flag) for flag in ('contact', 'constraint')):
        return
    for first, second in touching(mujoco, model):
        names = ' and '.join(
            f"{_named(model.geom(i))} of body '{model.body(model.geom_bodyid[i]).name}'"
            for i in (first, second)
        )
        raise ValueError(f'geoms {names} can touch, and contacts are not modelled; {REMEDY}')


def touching(mujoco: Any, model: Any) -> Iterator[tuple[int, int]]:
    """Pairs of geoms that MuJoCo would test for contact.

    Source: MuJoCo's documentation, Computation, "Collision detection: selection".
    """
    yield from zip(model.pair_geom1.tolist(), model.pair_geom2.tolist(), strict=True)
    excluded = set(model.exclude_signature.tolist())
    filters = not _disabled(mujoco, model, 'filterparent')
    weld, parent = model.body_weldid, model.body_weldid[model.body_parentid]
    for a, b in itertools.combinations(range(model.ngeom), 2):
        bodies = sorted((int(model.geom_bodyid[a]), int(model.geom_bodyid[b])))
        first, second = (int(weld[body]) for body in bodies)
        if first == second or (bodies[0] << 16) + bodies[1] in excluded:
            continue
        if filters and first and second and (first == parent[second] or second == parent[first]):
            continue
        kinds, others = model.geom_contype, model.geom_conaffinity
        if kinds[a] & others[b] or kinds[b] & others[a]:
            yield a, b


def _disabled(mujoco: Any, model: Any, flag: str) -> bool:
    """Whether a flag of <option> is "disable"; one that MuJoCo does not know is not."""
    bit = getattr(mujoco.mjtDisableBit, f'mjDSBL_{flag.upper()}', 0)
    return bool(model.opt.disableflags & int(bit))


def _named(element: Any) -> str:
    return f"'{element.name}'" if element.name else f'{element.id} (without a name)'
