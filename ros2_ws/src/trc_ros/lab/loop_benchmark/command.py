"""`trc benchmark-loop`: rate, jitter, latency, CPU and memory of the node, over real DDS."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trc_core import provenance
from trc_core.progress import progress_bar
from trc_core.whole_files import write_whole
from trc_ros.lab.children import carry_out
from trc_ros.lab.loop_benchmark.bars import bars
from trc_ros.lab.loop_benchmark.cases import DEFAULT, Case, parse
from trc_ros.lab.loop_benchmark.report import report

STEM = 'loop'
LAYOUT = '{desc:30s} {percentage:3.0f}% |{bar}| {n:.0f} of {total:.0f} s'


def main(argv: Sequence[str] | None = None) -> None:
    """Flies controller and plant as two processes over DDS and measures the controller.

    Raises:
        SystemExit: with the exit code, unless all went well.
    """
    carry_out(build_parser(), run, argv)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        'trc benchmark-loop',
        description=main.__doc__.partition('\n')[0],
        epilog='Writes loop.md, loop.json and loop.png. Every figure stands beside the load of '
        'the machine and the scheduling class: for the jitter, use a quiet machine and --fifo. '
        'Ctrl-C keeps what was measured.',
    )
    # Cases and how long each is measured.
    add = parser.add_argument
    add(
        '--cases',
        nargs='+',
        type=parse_case,
        default=DEFAULT,
        metavar='SYSTEM:HZ',
        help=f'systems and rates (default: {" ".join(map(str, DEFAULT))})',
    )
    time = parser.add_mutually_exclusive_group()
    time.add_argument('--seconds', type=float, default=30.0, help='of each (default: %(default)g)')
    time.add_argument('--minutes', type=float, help='the same in minutes; memory needs 10')
    # Scheduling, seed and output.
    add(
        '--fifo',
        action='store_true',
        help='ask for SCHED_FIFO, locked memory and no garbage collection in the controller, and '
        'for SCHED_FIFO where messages are timed; needs root or limits (docs/realtime.md)',
    )
    add('--seed', type=int, default=0, help='of goals and states (default: %(default)s)')
    add(
        '--output',
        type=Path,
        default=Path('docs/benchmarks'),
        help='folder (default: %(default)s)',
    )
    return parser


def parse_case(text: str) -> Case:
    """A case, or the complaint that argparse shows."""
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace, command: str) -> None:
    """Measures case by case, and writes what there is.

    Raises:
        ValueError: if the time is too short.
        NodeError: if a node fails.
    """
    # Imported late: ROS reads the environment, which is complete by now.
    from trc_ros.lab.loop_benchmark.measurement import Settings, measure

    seconds = options.seconds if options.minutes is None else 60.0 * options.minutes
    if not seconds >= 2.0:
        raise ValueError(f'{seconds:g} s are too short; measure for at least 2')
    settings = Settings(seconds, options.fifo, options.seed)
    options.output.mkdir(parents=True, exist_ok=True)
    where = {'seed': str(options.seed), **provenance.describe()}
    where['load before'] = provenance.load()
    results: dict[str, Any] = {'command': command, 'environment': where, 'cases': {}}
    try:
        with progress_bar(total=seconds * len(options.cases), layout=LAYOUT) as bar:
            for case in options.cases:
                bar.set_description_str(str(case))
                results['cases'][str(case)] = measure(case, settings, bar.update)
    finally:
        where['load after'] = provenance.load()
        if results['cases']:
            print(f'\n{write(results, options.output)}')


def write(results: dict[str, Any], folder: Path) -> str:
    """Writes `loop.json`, `loop.png` and `loop.md`; returns the page."""
    from trc_ros.lab.loop_benchmark.figure import draw

    picture = f'{STEM}.png'
    draw(results['cases'], folder / picture)
    met = {bar.what: bar.met for bar in bars(results['cases'])}
    write_whole(folder / f'{STEM}.json', json.dumps({**results, 'met': met}, indent=1) + '\n')
    page = report(results, [picture])
    write_whole(folder / f'{STEM}.md', page)
    return page


if __name__ == '__main__':
    main()
