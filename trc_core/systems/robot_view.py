"""Drawing of any robot: its joints and its tip as a stick figure, seen from beside and above."""

from __future__ import annotations

import numpy as np

from trc_core.problem.rigid_body.places import placed
from trc_core.problem.robot import RobotModel
from trc_core.problem.system import Array, System
from trc_core.systems.catalogue import shipped_as
from trc_core.systems.perspective import seen
from trc_core.systems.shipped import SideView


def side_view_of(system: System) -> SideView | None:
    """The drawing of a system; None where nobody knows how to draw it."""
    known = shipped_as(system)
    if system.robot is not None:
        return view_of(system.robot)
    if known is None or known.system.robot is None:
        return None if known is None else known.side_view
    return view_of(known.system.robot)


def view_of(robot: RobotModel) -> SideView:
    """The drawing of a robot: a line for every body, and the path of its tip."""
    return SideView(
        outline=lambda x: [seen(line) for line in sticks(robot, x)],
        path=lambda states: seen(tip_path(robot, states)),
    )


def sticks(robot: RobotModel, x: Array) -> list[Array]:
    """The lines (N, 3) of a robot at a state (n_x,) [m]: one from the base to every end.

    They lead from joint to joint; one ends at the tip.
    """
    tree = robot.tree
    origins = np.array(placed(tree, x[: len(robot.joints)].tolist()).origins, dtype=np.float64)
    lines = []
    for end in sorted(set(range(len(robot.joints))) - set(tree.parents)):
        chain = [end]
        while tree.parents[chain[-1]] >= 0:
            chain.append(tree.parents[chain[-1]])
        points = [np.zeros(3), *origins[chain[::-1]]]
        if robot.tip is not None and robot.tip.body == end:
            points.append(robot.tip_position(x))
        lines.append(np.array(points))
    return lines


def tip_path(robot: RobotModel, states: Array) -> Array:
    """The positions (N, 3) of the tip along states (N, n_x), or of the last joint without one."""
    if robot.tip is not None:
        return np.asarray(robot.tip_position(states))
    return np.array([sticks(robot, x)[-1][-1] for x in states])
