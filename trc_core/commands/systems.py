"""`trc systems`: the list of plants that can be controlled."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points

import numpy as np

from trc_core.command_line import report_errors
from trc_core.problem.accuracy import note
from trc_core.problem.robot import RobotModel
from trc_core.problem.system import System
from trc_core.problem.trim import unheld_goal
from trc_core.systems.catalogue import SHIPPED
from trc_core.systems.flags import add_task, task_of
from trc_core.systems.registry import ENTRY_POINTS, ROBOT_FILES, get_system

COLUMNS = ('system', 'n_x', 'n_u', 'dt [s]', 'T', 'controls', 'parameters')
JOINT_COLUMNS = ('joint', 'kind', 'unit', 'from', 'to', 'speed', 'effort', 'holds')
LIGHT = 0.1  # of a dt, in which a joint reaches its speed limit; a geared one takes longer
MOST = 80  # characters of a list in a cell


def main(argv: Sequence[str] | None = None) -> None:
    """Lists the shipped systems, those of installed packages, and the given ones.

    The joints of robots that are named are listed as well.
    """
    parser = argparse.ArgumentParser('trc systems', description=main.__doc__)
    parser.add_argument(
        'system', nargs='*', help='names, or .py, .urdf or .xml files; default: all known'
    )
    add_task(parser)
    arguments = parser.parse_args(argv)
    with report_errors(parser.prog):
        words = task_of(arguments).words
        offered = [point.name for point in entry_points(group=ENTRY_POINTS)]
        named = arguments.system or [*SHIPPED, *offered]
        if words and not any(name.endswith(ROBOT_FILES) for name in named):
            raise ValueError(f'--task.{next(iter(words))} goes with a robot, like robot.urdf')
        systems = [
            get_system(name, **(words if name.endswith(ROBOT_FILES) else {})) for name in named
        ]
        print(table([COLUMNS, *(row(system) for system in systems)]))
        for line in filter(None, map(unheld_goal, systems)):
            print(line)
        for system in systems:
            if note(system):
                print(f'{system.name}: {note(system)}')
            if arguments.system and system.robot is not None:
                print(*robot_lines(system, system.robot), sep='\n')


def row(system: System) -> tuple[str, ...]:
    """Cells of one system in the list."""
    bounds = zip(
        system.control_names, system.u_min, system.u_max, system.control_units, strict=True
    )
    return (
        system.name,
        str(system.n_x),
        str(system.n_u),
        f'{system.dt:.4g}' + (', discrete' if system.discrete else ''),
        str(system.horizon),
        _shortened(f'{low:g} <= {name} <= {high:g} {unit}' for name, low, high, unit in bounds),
        _shortened(f'{name}={value:g}' for name, value in system.parameters.items()),
    )


def _shortened(texts: Iterator[str]) -> str:
    """A list, as far as a cell has room, and the number of those left out."""
    shown, rest = '', list(texts)
    while rest and (not shown or len(shown) + len(rest[0]) <= MOST):
        shown += (', ' if shown else '') + rest.pop(0)
    return f'{shown}, and {len(rest)} more' if rest else shown


def robot_lines(system: System, robot: RobotModel) -> Iterator[str]:
    """The joints of a robot, its tip, and how long its equations are.

    `holds` is the effort that holds a joint against gravity in the middle of the goal box.
    """
    yield f'\n{system.name}: a robot from {robot.source[0].upper()}'
    holds = dict(zip(robot.driven, system.u_trim, strict=True))
    rows = [
        (
            joint.name,
            joint.kind,
            'm' if sliding else 'rad',
            f'{joint.lower:.4g}',
            f'{joint.upper:.4g}',
            f'{joint.velocity:.4g}',
            f'{joint.effort:.4g}' if i in holds else 'passive',
            f'{holds[i]:.4g}' if i in holds else '',
        )
        for i, (joint, sliding) in enumerate(zip(robot.joints, robot.tree.sliding, strict=True))
    ]
    yield table([JOINT_COLUMNS, *rows])
    if robot.tip is not None:
        where = ', '.join(f'{c:.4g}' for c in robot.tip_position(np.zeros(system.n_x)))
        carrier = robot.joints[robot.tip.body].name if robot.tip.body >= 0 else 'the base'
        yield f'tip: moved by {carrier}; at ({where}) m where all joints are at 0'
    yield from _light_joints(system, robot)
    yield (
        f'dynamics: {len(system.graph.instructions)} operations, with slopes '
        f'{len(system.slopes.instructions)}'
    )


def _light_joints(system: System, robot: RobotModel) -> Iterator[str]:
    """A line where joints are so light that a dt is far too long for their full effort."""
    inertias = np.diag(robot.mass_matrix(system.goal_centre[: len(robot.joints)].tolist()))
    times = {
        joint.name: joint.velocity * inertia / joint.effort
        for joint, inertia in zip(robot.joints, inertias, strict=True)
        if joint.effort > 0.0
    }
    name = min(times, key=times.__getitem__)
    if times[name] < LIGHT * system.dt:
        yield (
            f"note: full effort brings '{name}' to its speed limit in {times[name]:.2g} s, where "
            f'dt is {system.dt:g} s. A URDF says nothing of rotors: --task.armature, or armature='
        )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns, left-aligned."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ('  '.join(f'{c:{w}}' for c, w in zip(cells, widths, strict=True)) for cells in rows)
    return '\n'.join(line.rstrip() for line in lines)
