"""`trc systems`: the list of plants that can be controlled."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import entry_points

from trc_core.command_line import report_errors
from trc_core.problem.accuracy import note
from trc_core.problem.system import System
from trc_core.problem.trim import unheld_goal
from trc_core.systems.registry import ENTRY_POINTS, SYSTEMS, get_system

COLUMNS = ('system', 'n_x', 'n_u', 'dt [s]', 'T', 'controls', 'parameters')


def main(argv: Sequence[str] | None = None) -> None:
    """Lists the shipped systems, those of installed packages, and the given ones."""
    parser = argparse.ArgumentParser('trc systems', description=main.__doc__)
    parser.add_argument('system', nargs='*', help='names or .py files; default: all known')
    arguments = parser.parse_args(argv)
    with report_errors(parser.prog):
        offered = [point.name for point in entry_points(group=ENTRY_POINTS)]
        systems = [get_system(name) for name in arguments.system or [*SYSTEMS, *offered]]
        print(table([COLUMNS, *(row(system) for system in systems)]))
        for line in filter(None, map(unheld_goal, systems)):
            print(line)
        for system in systems:
            if note(system):
                print(f'{system.name}: {note(system)}')


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
        ', '.join(f'{low:g} <= {name} <= {high:g} {unit}' for name, low, high, unit in bounds),
        ', '.join(f'{name}={value:g}' for name, value in system.parameters.items()),
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns, left-aligned."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ('  '.join(f'{c:{w}}' for c, w in zip(cells, widths, strict=True)) for cells in rows)
    return '\n'.join(line.rstrip() for line in lines)
