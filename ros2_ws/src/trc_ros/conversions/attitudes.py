"""Attitudes: one turn about an axis, or all three, as coordinates of a plant.

Rotations of the body's frame into the fixed one; angular velocities are the body's own.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from trc_core.problem.system import Array
from trc_core.systems.shipped import Vector
from trc_ros.conversions.directions import ROTATIONS
from trc_ros.conversions.quaternions import IDENTITY, Quaternion, angle_about, dot, opposite
from trc_ros.conversions.rejection import RejectedInput

TURN = 2.0 * math.pi
LARGEST_ANGLE = 0.75 * TURN  # [rad] up to which a turn is counted on; then it is one back
NEAREST_LOCK = 1e-3  # cosine of the pitch below which roll and yaw have no rates
Place = tuple[int | None, int | None]  # of a coordinate and its velocity in a state


class Attitude(ABC):
    """The coordinates of a state that say how a body is turned."""

    @abstractmethod
    def orientation(self, x: Sequence[float]) -> Quaternion:
        """Orientation in state x (n_x,)."""

    @abstractmethod
    def place(self, x: Array, orientation: Quaternion) -> None:
        """Writes an orientation of length 1 into x (n_x,)."""

    @abstractmethod
    def move(self, x: Array, angular: Vector) -> None:
        """Writes the body's angular velocity into x (n_x,), whose attitude is there already."""

    def towards(self, x: Array, near: Array) -> Array:
        """The state x (n_x,) by those coordinates of its attitude that are nearest to `near`'s.

        Not for a single angle, whose turns are counted by those who plan.
        """
        return x

    def connect(self, states: Array) -> None:
        """Makes the attitudes of states (N, n_x) follow each other without a jump."""
        return

    def as_rates(self, states: Array) -> None:
        """Makes rates of those velocities of states (N, n_x) that are derivatives of coordinates.

        Those of a single angle are the same.
        """
        return


class NoTurn(Attitude):
    """Attitude of a plant that never turns; the pose of such a point may have any."""

    def orientation(self, x: Sequence[float]) -> Quaternion:
        """Orientation in state x (n_x,): level."""
        return IDENTITY

    def place(self, x: Array, orientation: Quaternion) -> None:
        """Ignores the orientation."""

    def move(self, x: Array, angular: Vector) -> None:
        """Ignores the angular velocity."""


class OneTurn(Attitude):
    """An angle [rad] about x, y or z (0, 1, 2), in (-pi, pi], and its rate."""

    def __init__(self, axis: int, place: Place) -> None:
        self._axis = axis
        self._angle, self._rate = place

    def orientation(self, x: Sequence[float]) -> Quaternion:
        """Orientation in state x (n_x,)."""
        angle = x[self._angle]
        half = [0.0, 0.0, 0.0]
        half[self._axis] = math.sin(angle / 2)
        return (half[0], half[1], half[2], math.cos(angle / 2))

    def place(self, x: Array, orientation: Quaternion) -> None:
        """Writes an orientation of length 1 into x (n_x,).

        Raises:
            RejectedInput: if it leans out of the plane of the rotation.
        """
        x[self._angle] = angle_about(self._axis, orientation)

    def move(self, x: Array, angular: Vector) -> None:
        """Writes the body's angular velocity into x (n_x,)."""
        if self._rate is not None:
            x[self._rate] = angular[self._axis]

    def connect(self, states: Array) -> None:
        """Unwraps the angle of states (N, n_x)."""
        states[:, self._angle] = np.unwrap(states[:, self._angle])


class RodriguesParameters(Attitude):
    """Modified Rodrigues parameters a = 4 tan(phi / 4) e, and the angular velocity of the body.

    They are the rotation vector phi e where phi is small. The same orientation is -16 a / |a|^2:
    half a turn from there is |a| = 4, and a state goes on beyond, up to `LARGEST_ANGLE`.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._a = [a for a, _ in places]
        self._rates = [(i, w) for i, (_, w) in enumerate(places) if w is not None]

    def orientation(self, x: Sequence[float]) -> Quaternion:
        """Orientation in state x (n_x,); w is negative beyond half a turn."""
        qx, qy, qz = (0.25 * x[i] for i in self._a)
        s = qx * qx + qy * qy + qz * qz
        scale = 2.0 / (1.0 + s)
        return (scale * qx, scale * qy, scale * qz, (1.0 - s) / (1.0 + s))

    def place(self, x: Array, orientation: Quaternion) -> None:
        """Writes an orientation of length 1 into x (n_x,), as a turn of at most pi."""
        self._write(x, opposite(orientation) if orientation[3] < 0.0 else orientation)

    def move(self, x: Array, angular: Vector) -> None:
        """Writes the body's angular velocity into x (n_x,)."""
        for i, place in self._rates:
            x[place] = angular[i]

    def towards(self, x: Array, near: Array) -> Array:
        """The state x (n_x,), its turn counted on from that of `near` where it is the same way."""
        orientation = self.orientation(x)
        other = opposite(orientation)
        if dot(orientation, self.orientation(near)) >= 0.0:
            return x
        if other[3] < math.cos(LARGEST_ANGLE / 2):
            return x
        x = x.copy()
        self._write(x, other)
        return x

    def connect(self, states: Array) -> None:
        """Counts the turns of states (N, n_x) on from one to the next."""
        for k in range(1, len(states)):
            states[k] = self.towards(states[k], states[k - 1])

    def as_rates(self, states: Array) -> None:
        """Makes angular velocities of the derivatives of parameters in states (N, n_x)."""
        if len(self._rates) < len(self._a):
            return
        places = [place for _, place in self._rates]
        q, slopes = 0.25 * states[:, self._a], states[:, places]
        s = (q * q).sum(axis=1, keepdims=True)
        along = 2.0 * q * (q * slopes).sum(axis=1, keepdims=True)
        turned = (1.0 - s) * slopes - 2.0 * np.cross(q, slopes) + along
        states[:, places] = turned / (1.0 + s) ** 2

    def _write(self, x: Array, orientation: Quaternion) -> None:
        scale = 4.0 / (1.0 + orientation[3])
        for i, place in enumerate(self._a):
            x[place] = scale * orientation[i]


class EulerAngles(Attitude):
    """Roll, pitch and yaw: turns about z (yaw), then the new y (pitch), then the new x (roll).

    Args:
        places: of roll, pitch and yaw, and of their rates.
        of_body: whether the rates are those of the body, p, q and r; else those of the angles.
    """

    def __init__(self, places: Sequence[Place], of_body: bool = False) -> None:
        self._angles = [angle for angle, _ in places]
        self._rates = [(i, rate) for i, (_, rate) in enumerate(places) if rate is not None]
        self._of_body = of_body

    def orientation(self, x: Sequence[float]) -> Quaternion:
        """Orientation in state x (n_x,)."""
        halves = [0.5 * x[i] for i in self._angles]
        (a, b, c), (u, v, w) = map(math.cos, halves), map(math.sin, halves)
        return (
            u * b * c - a * v * w,
            a * v * c + u * b * w,
            a * b * w - u * v * c,
            a * b * c + u * v * w,
        )

    def place(self, x: Array, orientation: Quaternion) -> None:
        """Writes an orientation of length 1 into x (n_x,), its pitch at most a quarter turn."""
        q, r, s, w = orientation
        sine = max(-1.0, min(1.0, 2.0 * (w * r - s * q)))
        across, along = 2.0 * (w * q + r * s), 1.0 - 2.0 * (q * q + r * r)
        if math.hypot(across, along) < 1e-9:  # roll and yaw turn about the same axis: all is yaw
            roll, yaw = 0.0, 2.0 * math.copysign(1.0, sine) * math.atan2(-q, w)
            yaw = math.remainder(yaw, TURN)
        else:
            roll = math.atan2(across, along)
            yaw = math.atan2(2.0 * (w * s + q * r), 1.0 - 2.0 * (r * r + s * s))
        x[self._angles] = roll, math.asin(sine), yaw

    def move(self, x: Array, angular: Vector) -> None:
        """Writes the body's angular velocity into x (n_x,), or the rates of the angles.

        Raises:
            RejectedInput: if those do not exist, a quarter turn of pitch away from level.
        """
        rates = angular if self._of_body else self._rates_of_angles(x, angular)
        for i, place in self._rates:
            x[place] = rates[i]

    def as_rates(self, states: Array) -> None:
        """Makes p, q and r of the derivatives of angles in states (N, n_x), where those count."""
        if not self._of_body or len(self._rates) < len(self._angles):
            return
        places = [place for _, place in self._rates]
        roll, pitch, _ = states[:, self._angles].T
        slopes = states[:, places].T.copy()
        level = slopes[2] * np.cos(pitch)
        states[:, places[0]] = slopes[0] - slopes[2] * np.sin(pitch)
        states[:, places[1]] = slopes[1] * np.cos(roll) + level * np.sin(roll)
        states[:, places[2]] = level * np.cos(roll) - slopes[1] * np.sin(roll)

    def _rates_of_angles(self, x: Array, angular: Vector) -> Vector:
        roll, pitch = (float(x[i]) for i in self._angles[:2])
        p, q, r = angular
        if abs(math.cos(pitch)) < NEAREST_LOCK:
            detail = f'pitch {pitch:.4g} rad, where roll and yaw have no rates'
            raise RejectedInput('off_plane', detail)
        sideways = q * math.sin(roll) + r * math.cos(roll)
        yaw_rate = sideways / math.cos(pitch)
        return (
            p + yaw_rate * math.sin(pitch),
            q * math.cos(roll) - r * math.sin(roll),
            yaw_rate,
        )

    def towards(self, x: Array, near: Array) -> Array:
        """The state x (n_x,) with a pitch beyond the vertical where that is nearer to `near`."""
        angles, goal = x[self._angles], near[self._angles]
        roll, pitch, yaw = angles
        other = np.array([roll + math.pi, math.pi - pitch, yaw + math.pi])
        if _apart(angles, goal) <= _apart(other, goal):
            return x
        x = x.copy()
        x[self._angles] = [math.remainder(angle, TURN) for angle in other.tolist()]
        return x

    def connect(self, states: Array) -> None:
        """Makes the angles of states (N, n_x) follow each other without a jump."""
        for k in range(1, len(states)):
            states[k] = self.towards(states[k], states[k - 1])
        states[:, self._angles] = np.unwrap(states[:, self._angles], axis=0)


def _apart(one: Array, other: Array) -> float:
    """Distance of angles, modulo a turn."""
    return sum(math.remainder(d, TURN) ** 2 for d in (one - other).tolist())


ATTITUDES: dict[tuple[str, ...], Callable[[Sequence[Place]], Attitude]] = {
    ROTATIONS: EulerAngles,
    ('roll_p', 'pitch_q', 'yaw_r'): lambda places: EulerAngles(places, of_body=True),
    ('mrp_x', 'mrp_y', 'mrp_z'): RodriguesParameters,
}
"""Full attitudes by the axes of their joints."""
TURNS = tuple(word for words in ATTITUDES for word in words)
"""All axes that are no translations."""


def attitude_of(axes: Sequence[str], places: Sequence[Place]) -> Attitude:
    """The attitude that axes of joints describe.

    Args:
        axes: of every joint; those that are translations do not matter.
        places: of every joint's position and velocity.

    Raises:
        ValueError: if they are more than one turn but no three that belong together.
    """
    turns = {axis: place for axis, place in zip(axes, places, strict=True) if axis in TURNS}
    if not turns:
        return NoTurn()
    for words, make in ATTITUDES.items():
        if set(turns) == set(words):
            return make([turns[word] for word in words])
    names = list(turns)
    if len(names) == 1 and names[0] in ROTATIONS:
        return OneTurn(ROTATIONS.index(names[0]), turns[names[0]])
    choices = ', or '.join(str(list(words)) for words in ATTITUDES)
    raise ValueError(
        f'pose_axes has {names}; an attitude is one of {list(ROTATIONS)}, or all of {choices}'
    )
