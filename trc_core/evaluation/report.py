"""`trc report`: one HTML file from an experiment, an evaluation or a recorded flight."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trc_core.command_line import report_errors
from trc_core.evaluation import report_flight
from trc_core.evaluation.report_bag import read_bag
from trc_core.evaluation.report_html import (
    bars,
    from_markdown,
    heading,
    page,
    paragraph,
    picture,
    table,
)
from trc_core.systems import System, get_system

COLUMNS = ('mean', 'median', 'p95', 'worst', 'success', 'wrong')
BAG_SUFFIXES = ('.mcap', '.db3')


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser('trc report', description=main.__doc__)
    add = parser.add_argument
    add(
        'run',
        type=Path,
        metavar='RUN',
        help='what `trc experiment` or `trc evaluate --output` wrote (JSON), a page of Markdown, '
        'a folder of these, or a bag (a folder, or .mcap)',
    )
    add('--output', type=Path, help='the HTML file (default: RUN with the ending .html)')
    add('--system', help='a name or a .py file: the plant of a bag with unknown joints')
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Writes one HTML file, with everything inside, about a run."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    with report_errors(parser.prog):
        system = get_system(arguments.system) if arguments.system else None
        html = report(arguments.run, system)
        output = arguments.output or arguments.run.with_suffix('.html')
        output.write_text(html)
        print(output)


def report(run: Path, system: System | None = None) -> str:
    """The HTML about a run.

    Raises:
        FileNotFoundError: if there is no such run.
        ValueError: if nothing is known about such a file.
    """
    if not run.exists():
        raise FileNotFoundError(f"no run at '{run}'")
    return page(f'trc: {run.stem}', _blocks(run, system))


def _blocks(run: Path, system: System | None) -> Iterator[str]:
    if run.suffix in BAG_SUFFIXES or (run / 'metadata.yaml').exists():
        yield heading(f'Flights in {run.name}')
        for flight in read_bag(run, system):
            yield from report_flight.sections(flight)
        return
    files = sorted(run.glob('*.md')) if run.is_dir() else [run]
    if not files:
        raise ValueError(f"'{run}' holds neither a bag nor pages of Markdown")
    for file in files:
        yield from _reader(file)(file)


def _reader(file: Path) -> Callable[[Path], Iterator[str]]:
    readers = {'.md': _markdown, '.json': _figures}
    if file.suffix not in readers:
        raise ValueError(f"cannot report on '{file}': give a file that ends in {list(readers)}")
    return readers[file.suffix]


def _markdown(file: Path) -> Iterator[str]:
    yield from_markdown(file)


def _figures(file: Path) -> Iterator[str]:
    """The page beside the figures of an experiment, or the tables of an evaluation."""
    contents = json.loads(file.read_text())
    if 'experiment' in contents:
        yield from _markdown(file.with_suffix('.md'))
        return
    yield heading(f'J/J* in {file.name}')
    tables = {file.stem: contents} if _is_table(contents) else contents
    for title, scores in tables.items():
        if not _is_table(scores):
            raise ValueError(f"'{file}' holds no figures of `trc evaluate` or `trc experiment`")
        yield from _scores(title, scores)


def _is_table(scores: Any) -> bool:
    return isinstance(scores, Mapping) and all(
        isinstance(row, Mapping) and set(COLUMNS) <= set(row) for row in scores.values()
    )


def _scores(title: str, scores: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    yield heading(title, 2)
    rows = [
        [
            label,
            *(f'{row[name]:.6f}' for name in COLUMNS[:4]),
            *(f'{row[name]:.1%}' for name in COLUMNS[4:]),
        ]
        for label, row in scores.items()
    ]
    yield table(['', *COLUMNS], rows)
    yield paragraph('Cost over that of the best known optimum; wrong: more than 2 % above it.')
    yield picture(bars(scores), f'{title}: mean J/J* - 1')


if __name__ == '__main__':
    main()
