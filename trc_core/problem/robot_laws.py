"""Control laws of robots: what plans may start from, when the last one is of no use any more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trc_core.problem.robot_dynamics import RobotDynamics

RATE = 6.0  # [1/s] at which a joint approaches its goal, as far as its speed limit lets it
SHARE = 0.97  # of the speed limit: the motion is followed with small errors
LAG = 1.5  # dt in which the speed follows
SMALL = 1e-9  # of the bound of an effort


class ComputedTorques:
    """A law that makes the joints follow speeds.

    Args:
        dynamics: of the robot.
        dt: sampling period [s].
    """

    def __init__(self, dynamics: RobotDynamics, dt: float) -> None:
        self.dynamics, self.lag = dynamics, LAG * dt


class Reach(ComputedTorques):
    """Computed torques that move every joint to its goal, within its speed limit."""

    def __call__(self, x: Sequence[Any], goal: Sequence[Any], **parameters: Any) -> list[Any]:
        """The controls (n,) in state x (2 n,) with a goal (2 n,)."""
        joints = self.dynamics.model.joints
        n, wanted = len(joints), []
        for i, joint in enumerate(joints):
            error = goal[i] - x[i]
            if joint.kind == 'continuous':
                error = np.arctan2(np.sin(error), np.cos(error))
            speed, fastest = RATE * error, SHARE * joint.velocity
            if math.isfinite(fastest):
                speed = np.minimum(np.maximum(speed, -fastest), fastest)
            wanted.append((speed - x[n + i]) / self.lag)
        return _within_bounds(self.dynamics, x, wanted, parameters)


class Stop(ComputedTorques):
    """Computed torques that bring every joint to rest where it is."""

    def __call__(self, x: Sequence[Any], **parameters: Any) -> list[Any]:
        """The controls (n,) in state x (2 n,)."""
        n = len(self.dynamics.model.joints)
        wanted = [-speed / self.lag for speed in x[n:]]
        return _within_bounds(self.dynamics, x, wanted, parameters)


def _within_bounds(
    dynamics: RobotDynamics,
    x: Sequence[Any],
    wanted: Sequence[Any],
    parameters: Mapping[str, Any],
) -> list[Any]:
    """Efforts (n,) for accelerations (n,), all of them smaller by the share that no joint lacks.

    A joint that alone got less effort than computed would throw about those that it carries.
    """
    steady = dynamics.efforts(x, [0.0] * len(wanted), **parameters)
    full = dynamics.efforts(x, wanted, **parameters)
    share = 1.0
    for joint, held, asked in zip(dynamics.model.joints, steady, full, strict=True):
        low, high = joint.efforts
        middle, half = (high + low) / 2, (high - low) / 2
        spare = np.maximum(half - np.abs(held - middle), 0.0)
        share = np.minimum(share, spare / np.maximum(np.abs(asked - held), SMALL * half))
    return [held + share * (asked - held) for held, asked in zip(steady, full, strict=True)]
