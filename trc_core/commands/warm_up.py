"""`trc warm-up`: compiles controllers ahead of time, so that no robot waits for a compiler."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from trc_core.checkpoint import shipped_checkpoints
from trc_core.command_line import report_errors, spinner
from trc_core.compile.kernels import cache_folder
from trc_core.planner.controller import Controller
from trc_core.systems import get_system


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser('trc warm-up', description=main.__doc__)
    parser.add_argument(
        'checkpoints',
        nargs='*',
        metavar='CHECKPOINT',
        help='shipped names or paths (default: every shipped controller)',
    )
    parser.add_argument('--system', help='a .py file: the plant, if it has no name here')
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Compiles the kernels of controllers into the user's cache, and times a plan of each.

    Half a minute for each plant that was never compiled here; the cache is TRC_CACHE_DIR, or
    ~/.cache/trc.
    """
    parser = build_parser()
    arguments = parser.parse_args(argv)
    with report_errors(parser.prog):
        own = get_system(arguments.system) if arguments.system else None
        print(f'cache: {cache_folder()}')
        for name in arguments.checkpoints or shipped_checkpoints():
            controller = Controller.load(name, system=own)
            print(f'{name}: {ready(controller) * 1e3:.2f} ms a plan')


def ready(controller: Controller) -> float:
    """Warms a controller up, showing that it compiles if it does; returns seconds of a plan."""
    if controller.is_compiled:
        return controller.warm_up()
    with spinner(f'compiling {controller.system.name} (once)'):
        return controller.warm_up()
