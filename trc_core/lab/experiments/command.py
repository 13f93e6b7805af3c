"""`trc experiment`: answers a question with figures, a page and a picture."""

from __future__ import annotations

import argparse
import importlib
import shlex
from collections.abc import Sequence
from pathlib import Path

from trc_core.command_line import report_errors
from trc_core.lab.experiments.frame import Experiment, run

EXPERIMENTS = {
    'parameter-efficiency': 'parameter_efficiency',
    'iterations': 'iterations',
    'generalization': 'generalization',
    'ablation': 'ablation',
    'hierarchy': 'hierarchy',
    'surprises': 'surprises',
    'proposals': 'proposals',
    'cycles': 'cycles',
    'rocket': 'rocket',
    'environments': 'environments',
}
OUTPUT = Path('outputs/experiments')


def find(name: str) -> Experiment:
    """The experiment of a name.

    Raises:
        ValueError: if there is none; the message lists those that exist.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"unknown experiment '{name}'; choose from {list(EXPERIMENTS)}")
    module = importlib.import_module(f'trc_core.lab.experiments.{EXPERIMENTS[name]}')
    experiment: Experiment = module.EXPERIMENT
    return experiment


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser('trc experiment', description=main.__doc__)
    add = parser.add_argument
    add('name', nargs='?', metavar='NAME', help='which one; see --list')
    add('--list', action='store_true', help='show what there is')
    add('--full', action='store_true', help='the large size, for hours')
    add('--seed', type=int, default=0, help='of everything drawn in training (default 0)')
    add('--output_dir', type=Path, default=OUTPUT, help='folder (default %(default)s)')
    add('--fresh', action='store_true', help='forget what an earlier run has found')
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Runs an experiment, or what an interrupted run left of it; JSON, Markdown and PNG."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    with report_errors(parser.prog):
        if arguments.list:
            for name in EXPERIMENTS:
                print(f'{name:22}{find(name).summary}')
            return
        if arguments.name is None:
            raise ValueError(f'name an experiment: {", ".join(EXPERIMENTS)}')
        experiment = find(arguments.name)
        size = experiment.full if arguments.full else experiment.default
        command = shlex.join(_again(arguments))
        page = run(
            experiment, size, arguments.seed, arguments.output_dir, command, arguments.fresh
        )
        print(page)


def _again(arguments: argparse.Namespace) -> list[str]:
    """The command that does the same from the beginning."""
    words = ['trc', 'experiment', arguments.name, '--seed', str(arguments.seed)]
    return [*words, *(['--full'] if arguments.full else [])]
