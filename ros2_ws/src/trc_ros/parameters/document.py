"""Document docs/parameters.md from the table: `python -m trc_ros.parameters.document > ...`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trc_ros.parameters.specs import BOTH, CONTROLLER, PLANT, Spec
from trc_ros.parameters.table import SPECS

HEAD = """\
# Parameters

Of the nodes `controller` and `plant`, in `params/<system>.yaml` or as `--ros-args -p name:=value`.
SI units. An integer is accepted where a double is declared; an unknown name, a wrong type or a
value out of range is refused in one line. *Live* parameters may change while the node works
(`ros2 param set`): a controller takes them over between two cycles, as a whole. All others are
read at configure (`controller`) or at start (`plant`). For a list, *empty* means: leave it out.

Made by `python -m trc_ros.parameters.document > docs/parameters.md`.
"""
TITLES = {BOTH: 'Both nodes', CONTROLLER: 'controller', PLANT: 'plant'}


def document(specs: Sequence[Spec] = SPECS) -> str:
    """The whole page, in Markdown."""
    sections = [_section(title, nodes, specs) for nodes, title in TITLES.items()]
    return '\n'.join([HEAD, *sections])


def _section(title: str, nodes: tuple[str, ...], specs: Sequence[Spec]) -> str:
    rows = [_row(spec) for spec in specs if spec.nodes == nodes]
    head = '| name | type | default | range | live | |\n|---|---|---|---|---|---|\n'
    return f'## {title}\n\n{head}' + '\n'.join(rows) + '\n'


def _row(spec: Spec) -> str:
    default = list(spec.default) if isinstance(spec.default, tuple) else spec.default
    shown = str(default).lower() if isinstance(default, bool) else repr(default)
    live = 'live' if spec.live else ''
    cells = (f'`{spec.name}`', spec.type_name, f'`{shown}`', _range(spec), live, spec.description)
    return f'| {" | ".join(cells)} |'


def _range(spec: Spec) -> str:
    if spec.choices:
        return ', '.join(f'`{choice}`' if choice else "`''`" for choice in spec.choices)
    return '{:.10g} to {:.10g}'.format(*spec.bounds) if spec.bounds else ''


if __name__ == '__main__':
    sys.stdout.write(document())
