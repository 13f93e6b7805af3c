"""Bodies and joints of a compiled model of MuJoCo, as a `Tree`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trc_core.problem.rigid_body import Tree
from trc_core.problem.welding import HERE, Lump, Place, about

Array = NDArray[np.float64]


class TreeReader:
    """Reads the tree of a model: a joint of the tree for every one of MuJoCo's.

    A body with several joints becomes as many, of which only the last has a mass. The frame of a
    joint has the directions of MuJoCo's body, and its origin where the joint is.

    Args:
        mujoco: the module.
        model: an `mjModel` of hinges and slides.
    """

    def __init__(self, mujoco: Any, model: Any) -> None:
        self._mujoco, self._model = mujoco, model
        self._places: list[Place] = []  # of every body in the one that moves it, or in the world
        for i in range(model.nbody):
            moves = model.body_weldid[i] == i
            self._places.append(HERE if moves else self._in_mover(i))

    def tree(self) -> Tree:
        """The tree."""
        model = self._model
        places = [self._joint_place(j) for j in range(model.njnt)]
        lumps = [self._lump(j) for j in range(model.njnt)]
        weightless = model.opt.disableflags & int(self._mujoco.mjtDisableBit.mjDSBL_GRAVITY)
        return Tree(
            parents=tuple(self._parent(j) for j in range(model.njnt)),
            sliding=tuple(bool(self._slides(j)) for j in range(model.njnt)),
            rotations=np.array([place.rotation for place in places]),
            offsets=np.array([place.offset for place in places]),
            axes=np.array(model.jnt_axis),
            masses=np.array([lump.mass for lump in lumps]),
            centres=np.array([lump.centre for lump in lumps]),
            inertias=np.array([lump.inertia for lump in lumps]),
            gravity=np.zeros(3) if weightless else np.array(model.opt.gravity),
        )

    def place(self, body: int, place: Place) -> tuple[int, Place]:
        """A frame of a body, as the joint that moves it (-1: none) and the place in its frame."""
        inside = self._places[body] @ place
        joint = self._last_joint(self._model.body_weldid[body])
        return joint, Place(inside.rotation, inside.offset - self._anchor(joint))

    def place_of(self, position: Array, quaternion: Array) -> Place:
        """The place that MuJoCo writes as a position (3,) and a unit quaternion (w, x, y, z)."""
        rotation = np.zeros(9)
        self._mujoco.mju_quat2Mat(rotation, quaternion)
        return Place(rotation.reshape(3, 3), np.array(position))

    def _in_mover(self, body: int) -> Place:
        """The place of a body in the one that moves its parent."""
        model = self._model
        own = self.place_of(model.body_pos[body], model.body_quat[body])
        return self._places[model.body_parentid[body]] @ own

    def _slides(self, joint: int) -> bool:
        return bool(self._model.jnt_type[joint] == self._mujoco.mjtJoint.mjJNT_SLIDE)

    def _last_joint(self, mover: int) -> int:
        """The joint that moves a body last; -1 for the world."""
        model = self._model
        return int(model.body_jntadr[mover] + model.body_jntnum[mover] - 1) if mover else -1

    def _anchor(self, joint: int) -> Array:
        """Where a joint is in its body (3,)."""
        return np.array(self._model.jnt_pos[joint]) if joint >= 0 else np.zeros(3)

    def _is_first(self, joint: int) -> bool:
        body = self._model.jnt_bodyid[joint]
        return bool(self._model.body_jntadr[body] == joint)

    def _parent(self, joint: int) -> int:
        model = self._model
        if not self._is_first(joint):
            return joint - 1
        parent = model.body_parentid[model.jnt_bodyid[joint]]
        return self._last_joint(model.body_weldid[parent])

    def _joint_place(self, joint: int) -> Place:
        """The place of a joint's frame in that of its parent, where the joint is at 0."""
        model = self._model
        first = self._is_first(joint)
        body = self._in_mover(model.jnt_bodyid[joint]) if first else HERE
        drawn, axis = model.qpos0[joint], model.jnt_axis[joint]
        if self._slides(joint):
            back = Place(np.eye(3), -drawn * axis)
        else:
            back = Place(about(axis, -drawn), np.zeros(3))
        frame = body @ Place(np.eye(3), self._anchor(joint)) @ back
        return Place(frame.rotation, frame.offset - self._anchor(self._parent(joint)))

    def _lump(self, joint: int) -> Lump:
        """Everything that a joint moves and no later one; nothing for all but a body's last."""
        model, mover = self._model, self._model.jnt_bodyid[joint]
        found = Lump.nothing()
        if joint != self._last_joint(mover):
            return found
        here = Place(np.eye(3), -self._anchor(joint))
        for i in np.flatnonzero(model.body_weldid == mover):
            own = self.place_of(model.body_ipos[i], model.body_iquat[i])
            second = 0.5 * np.sum(model.body_inertia[i]) * np.eye(3) - np.diag(
                model.body_inertia[i]
            )
            part = Lump(float(model.body_mass[i]), np.zeros(3), second)
            found += part.moved(here @ self._places[i] @ own)
        return found
