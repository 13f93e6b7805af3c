"""`trc report`: one HTML file from an experiment, an evaluation or a recorded flight."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from trc_core.command_line import check_output, report_errors
from trc_core.evaluation.chart import excess_chart
from trc_core.lab.report import flight as report_flight
from trc_core.lab.report.bag import read_bag
from trc_core.lab.report.html import (
    from_markdown,
    heading,
    page,
    paragraph,
    picture,
    table,
)
from trc_core.systems import System
from trc_core.systems.flags import add_system, system_of
from trc_core.whole_files import write_whole

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
    add_system(parser, ': the plant of a bag with unknown joints')
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Writes one HTML file, with everything inside, about a run."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    with report_errors(parser.prog):
        system = system_of(arguments)
        if arguments.output:
            check_output(arguments.output, '.html')
        html = report(arguments.run, system)
        output = arguments.output or arguments.run.with_suffix('.html')
        write_whole(output, html)
        print(output)


def report(run: Path, system: System | None = None) -> str:
    """The HTML about a run.

    Raises:
        FileNotFoundError: if there is no such run.
        ValueError: if nothing is known about such a file, or it is damaged.
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
    for file in _pages(run) if run.is_dir() else [run]:
        yield from _reader(file)(file)


def _pages(folder: Path) -> list[Path]:
    """The pages of Markdown in a folder, and the figures that have no page beside them."""
    figures = [file for file in folder.glob('*.json') if not file.with_suffix('.md').exists()]
    files = sorted([*folder.glob('*.md'), *figures])
    if not files:
        raise ValueError(f"'{folder}' holds neither a bag nor files that end in .md or .json")
    return files


def _reader(file: Path) -> Callable[[Path], Iterator[str]]:
    readers = {'.md': _markdown, '.json': _figures}
    if file.suffix not in readers:
        raise ValueError(f"cannot report on '{file}': give a file that ends in {list(readers)}")
    return readers[file.suffix]


def _markdown(file: Path) -> Iterator[str]:
    yield from_markdown(file)


def _figures(file: Path) -> Iterator[str]:
    """The page beside the figures of an experiment, or the tables of an evaluation."""
    try:
        contents = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"'{file}' is not JSON: {error}") from None
    if isinstance(contents, Mapping) and 'experiment' in contents:
        yield from _markdown(file.with_suffix('.md'))
        return
    yield heading(f'J/J* in {file.name}')
    tables = {file.stem: contents} if _holds(_is_row, contents) else contents
    if not _holds(partial(_holds, _is_row), tables):
        raise ValueError(f"'{file}' holds no figures of `trc evaluate` or `trc experiment`")
    for title, scores in tables.items():
        yield from _scores(title, scores)


def _holds(fits: Callable[[Any], bool], values: Any) -> bool:
    """True for a mapping to such values that is not empty."""
    return isinstance(values, Mapping) and bool(values) and all(map(fits, values.values()))


def _is_row(row: Any) -> bool:
    return isinstance(row, Mapping) and set(COLUMNS) <= set(row)


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
    yield picture(excess_chart(scores), f'{title}: mean J/J* - 1')


if __name__ == '__main__':
    main()
