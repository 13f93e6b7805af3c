"""Poses: the coordinate of a plant behind every component of a pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trc_core.problem.system import Array
from trc_core.systems import System
from trc_core.systems.catalogue import shipped_as
from trc_core.systems.shipped import Vector
from trc_ros.conversions.attitudes import TURNS, attitude_of
from trc_ros.conversions.directions import TRANSLATIONS, require_axes
from trc_ros.conversions.quaternions import Quaternion

POSE_WORDS = TRANSLATIONS + TURNS
"""All words of `pose_axes`."""


@dataclass(frozen=True)
class Placement:
    """Axes and frame of a system in space; empty: those of a shipped system, in any frame."""

    axes: tuple[str, ...] = ()
    frame_id: str = ''


ANYWHERE = Placement()


def pose_axes_of(system: System) -> tuple[str, ...]:
    """The axis of every joint of a shipped system, in order; empty where a pose cannot say."""
    known = shipped_as(system)
    return () if known is None else known.pose_axes


class BodyFrame:
    """Converts between coordinates of a plant and pose and twist of its body.

    Translations are in the fixed frame.

    Args:
        system: the plant.
        axes: of every joint, in order; by default those of `pose_axes_of`.

    Raises:
        ValueError: if there is no such default, or the axes do not fit the joints.
    """

    def __init__(self, system: System, axes: Sequence[str] = ()) -> None:
        axes = tuple(axes) or pose_axes_of(system)
        _require_axes(system, axes)
        places = [(joint.position, joint.velocity) for joint in system.joints]
        self._translations = [
            (TRANSLATIONS.index(axis), *place)
            for axis, place in zip(axes, places, strict=True)
            if axis in TRANSLATIONS
        ]
        self.attitude = attitude_of(axes, places)

    def pose(self, x: Sequence[float]) -> tuple[Vector, Quaternion]:
        """Position and orientation in state x (n_x,)."""
        position = [0.0, 0.0, 0.0]
        for i, place, _ in self._translations:
            position[i] = x[place]
        return (position[0], position[1], position[2]), self.attitude.orientation(x)

    def place(self, x: Array, position: Vector, orientation: Quaternion) -> None:
        """Writes a pose into x (n_x,).

        Args:
            x: is changed.
            position: [m].
            orientation: of length 1.

        Raises:
            RejectedInput: if the plant cannot be turned like that.
        """
        for i, place, _ in self._translations:
            x[place] = position[i]
        self.attitude.place(x, orientation)

    def move(self, x: Array, linear: Vector, angular: Vector) -> None:
        """Writes a twist into x (n_x,): `linear` in the fixed frame, `angular` in the body's."""
        for i, _, place in self._translations:
            if place is not None:
                x[place] = linear[i]
        self.attitude.move(x, angular)


def _require_axes(system: System, axes: tuple[str, ...]) -> None:
    names = [joint.name for joint in system.joints]
    if not axes:
        raise ValueError(
            f"a pose does not say where '{system.name}' is: set pose_axes, "
            f'one of {list(POSE_WORDS)} for each of {names}'
        )
    require_axes('pose_axes', axes, names, POSE_WORDS)
    if len(set(axes)) < len(axes):
        raise ValueError(f'pose_axes is {list(axes)}; no axis twice')
    vectors = [
        joint.name
        for axis, joint in zip(axes, system.joints, strict=True)
        if axis.startswith('mrp') and system.state_units[joint.position or 0] == 'rad'
    ]
    if vectors:
        raise ValueError(
            f"{vectors} are modified Rodrigues parameters and have the unit 'rad', in which turns "
            "are counted; give them the unit '1'"
        )
    missing = [name for name in coordinates_of_no_joint(system) if not may_be_any(system, name)]
    if missing or any(joint.position is None for joint in system.joints):
        raise ValueError(f"a pose cannot carry all of '{system.name}': {missing or names}")


def coordinates_of_no_joint(system: System) -> list[str]:
    """Names of the coordinates that no pose and no twist hold, a mass for example."""
    carried = {place for joint in system.joints for place in (joint.position, joint.velocity)}
    return [name for i, name in enumerate(system.state_names) if i not in carried]


def may_be_any(system: System, name: str) -> bool:
    """Whether plans may end with any value of a coordinate, as with the mass that is left."""
    return system.final_time is not None and name not in system.terminal
