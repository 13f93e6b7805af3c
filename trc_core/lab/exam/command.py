"""`trc exam`: problems that others published, stated, solved, flown and judged."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trc_core import provenance
from trc_core.command_line import report_errors
from trc_core.lab.exam.files import FOLDER, paths_of
from trc_core.lab.exam.page import line_of, page
from trc_core.lab.exam.sitting import Options, sit
from trc_core.progress import progress_bar
from trc_core.solvers.packing import killed_workers
from trc_core.whole_files import write_whole

ADVICE = 'give fewer --jobs'
STEM = 'exams'


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    defaults = Options()
    parser = argparse.ArgumentParser(
        'trc exam',
        description=main.__doc__,
        epilog='Ctrl-C keeps every unit that is done; the same command goes on. What is measured, '
        f'and a page about it, are written as {STEM}.json and {STEM}.md.',
    )
    add = parser.add_argument
    add('names', nargs='*', help=f'exams by name, or files of your own (default: all of {FOLDER})')
    add(
        '--problems',
        type=int,
        default=defaults.problems,
        help='of each exam, from random states (default %(default)s)',
    )
    add(
        '--seed',
        type=int,
        default=defaults.seed,
        help='of the random states (default %(default)s)',
    )
    add('--no-train', action='store_true', help='train nowhere')
    add(
        '--minutes',
        type=float,
        default=defaults.minutes,
        help='of CPU time for a training, where starts matter (default %(default)g)',
    )
    add('--jobs', type=int, default=1, help='exams at a time (default %(default)s)')
    add(
        '--output_dir',
        type=Path,
        default=defaults.output,
        help='folder of what is done so far, and of the trainings (default %(default)s)',
    )
    add('--page', type=Path, default=Path('docs/results'), help='folder (default %(default)s)')
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Takes exams: problems that other projects published, stated in files.

    Each is solved from some states by the controller without a network, by IPOPT, by fatrop, and
    by a controller that is trained where that is not enough; and it is flown.
    """
    parser = build_parser()
    arguments = parser.parse_args(argv)
    with report_errors(parser.prog):
        if arguments.problems < 1 or arguments.jobs < 1 or not arguments.minutes > 0.0:
            raise ValueError('--problems and --jobs must be at least 1, --minutes positive')
        paths = paths_of(arguments.names)
        options = Options(
            arguments.problems,
            arguments.seed,
            arguments.minutes,
            not arguments.no_train,
            arguments.output_dir,
        )
        options.output.mkdir(parents=True, exist_ok=True)
        arguments.page.mkdir(parents=True, exist_ok=True)
        found: list[dict[str, Any]] = []
        bar = progress_bar(_taken(paths, options, arguments.jobs), 'exams', len(paths))
        try:
            for one in bar:
                found.append(one)
                bar.write(line_of(one))
        finally:
            write(found, options, arguments.page)


def _taken(paths: Sequence[Path], options: Options, jobs: int) -> Iterator[dict[str, Any]]:
    """The exams as they end, some at a time, each in a process of its own."""
    import joblib

    with killed_workers(ADVICE):
        workers = joblib.Parallel(n_jobs=jobs, return_as='generator_unordered', batch_size=1)
        yield from workers(joblib.delayed(sit)(path, options) for path in paths)


def write(found: list[dict[str, Any]], options: Options, folder: Path) -> None:
    """Writes what is known of exams, and the page about them."""
    exams = sorted(found, key=lambda one: str(one['name']))
    sizes = {
        'problems': options.problems,
        'seed': options.seed,
        'minutes': options.minutes,
        'train': options.train,
    }
    record = {'origin': provenance.brief(), 'options': sizes, 'exams': exams}
    write_whole(folder / f'{STEM}.json', json.dumps(record, indent=1) + '\n')
    write_whole(folder / f'{STEM}.md', page(record))
    print(folder / f'{STEM}.md')
