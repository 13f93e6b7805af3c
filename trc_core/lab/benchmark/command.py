"""`trc benchmark`: latency, cost, throughput and memory, beside the baselines, in one run."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trc_core import provenance
from trc_core.checkpoint import load_checkpoint, shipped_checkpoints
from trc_core.command_line import report_errors
from trc_core.evaluation.problems import TEST_SEED
from trc_core.lab.benchmark import environment
from trc_core.lab.benchmark.bars import bars
from trc_core.lab.benchmark.constrained import among_circles
from trc_core.lab.benchmark.floor import network_floor
from trc_core.lab.benchmark.interleaved import SHUFFLE_SEED
from trc_core.lab.benchmark.latency import (
    against_eager,
    alone,
    beside_the_baselines,
    problems,
)
from trc_core.lab.benchmark.options import DEFAULT_SYSTEMS, Options, known, quick
from trc_core.lab.benchmark.peers.race import beside_peers
from trc_core.lab.benchmark.plots import draw
from trc_core.lab.benchmark.process import cold_start, soak
from trc_core.lab.benchmark.report import report
from trc_core.lab.benchmark.scaling import by_cycles, by_horizon, throughput
from trc_core.lab.benchmark.versions import beside_another_version
from trc_core.whole_files import write_whole

Section = Callable[[Options, dict[str, Any]], None]
STEM = 'benchmark'


def scaling(options: Options, results: dict[str, Any]) -> None:
    """Latency by number of cycles, then by horizon."""
    by_cycles(options, results)
    by_horizon(options, results)


SECTIONS: dict[str, Section] = {
    'latency': beside_the_baselines,
    'ratio': against_eager,
    'tail': alone,
    'floor': network_floor,
    'scaling': scaling,
    'throughput': throughput,
    'constraints': among_circles,
    'start': cold_start,
    'soak': soak,
    'versions': beside_another_version,
    'peers': beside_peers,
}
ASKED_FOR = ('peers',)  # sections that only run where --sections names them
CROCODDYL = 'TRC_CROCODDYL_PYTHON'  # variable of the environment
ON_EVERY_CORE = ('throughput', 'start')
SCORED = ('latency', 'ratio', 'scaling')


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        'trc benchmark',
        description=main.__doc__,
        epilog='Sections: '
        + '; '.join(f'{name}: {_summary(section)}' for name, section in SECTIONS.items())
        + '. What a planner needs and is missing is named in the table. Ctrl-C keeps what was '
        'measured.',
    )
    add, defaults = parser.add_argument, Options()
    # what is measured
    add('--systems', default=','.join(DEFAULT_SYSTEMS), help='shipped names (default %(default)s)')
    add(
        '--backends',
        default=','.join(defaults.backends),
        help='whose plans are timed; the first also stands for the controller in the sections '
        'about one backend (default %(default)s)',
    )
    add(
        '--device',
        default=defaults.device,
        help="'cuda': the section throughput also times PyTorch on the GPU (default %(default)s)",
    )
    always = ','.join(name for name in SECTIONS if name not in ASKED_FOR)
    add('--sections', default=always, help='what is measured (default %(default)s)')
    # how long
    add('--repetitions', type=int, help=f'interleaved rounds (default {defaults.repetitions})')
    add('--states', type=int, help=f'fresh problems per system (default {defaults.states})')
    add(
        '--seconds',
        type=float,
        help=f'a planner may spend per system (default {defaults.seconds:g})',
    )
    # where it is written, and on which core it runs
    add(
        '--output', type=Path, default=Path('docs/benchmarks'), help='folder (default %(default)s)'
    )
    add('--name', default=STEM, help='stem of the files (default %(default)s)')
    add('--core', type=int, help='to pin to, -1 for none (default: the last one)')
    add('--fifo', action='store_true', help='ask for SCHED_FIFO; needs root or an rtprio limit')
    add('--soak', type=int, default=0, metavar='N', help='memory over N plans (default: none)')
    add(
        '--against',
        type=Path,
        metavar='CHECKOUT',
        help='folder of another version of trc, timed beside this one (default: none)',
    )
    add(
        '--crocoddyl-python',
        metavar='PATH',
        default=os.environ.get(CROCODDYL, ''),
        help='Python of an environment with Crocoddyl, for the section peers (default: the '
        f'variable {CROCODDYL}, or none)',
    )
    add('--resume', action='store_true', help='go on with the run that the JSON file holds')
    add('--quick', action='store_true', help='few rounds: only show that everything runs')
    return parser


def _summary(section: Section) -> str:
    return (section.__doc__ or '').partition('\n')[0].rstrip('.')


def main(argv: Sequence[str] | None = None) -> None:
    """Times the controller beside its baselines; writes a page, plots and all figures as JSON."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    given = sys.argv[2:] if argv is None else list(argv)
    with report_errors(parser.prog):
        options = _options(arguments)
        sections = known('section', _names(arguments.sections), SECTIONS)
        arguments.output.mkdir(parents=True, exist_ok=True)
        words = [word for word in given if word != '--resume']
        results: dict[str, Any] = {'command': shlex.join(['trc', 'benchmark', *words])}
        if arguments.resume:
            results = _earlier(arguments.output / f'{arguments.name}.json', results)
        try:
            run(options, sections, results)
        finally:
            page = write(results, arguments.output, arguments.name)
            print('\n'.join(map(str, bars(results))))
            print(page)


def _options(arguments: argparse.Namespace) -> Options:
    fields: dict[str, Any] = quick() if arguments.quick else {}
    for name in ('repetitions', 'states', 'seconds'):
        if getattr(arguments, name) is not None:
            fields[name] = getattr(arguments, name)
    allowed = os.sched_getaffinity(0)
    core = max(allowed) if arguments.core is None else arguments.core
    if core != -1 and core not in allowed:
        raise ValueError(f'core {core} is not available; choose from {sorted(allowed)} or -1')
    return Options(
        systems=known('system', _names(arguments.systems), shipped_checkpoints()),
        backends=_names(arguments.backends),
        device=arguments.device,
        core=None if core == -1 else core,
        fifo=arguments.fifo,
        soak=arguments.soak,
        against=arguments.against and arguments.against.resolve(),
        crocoddyl_python=arguments.crocoddyl_python,
        **fields,
    )


def _earlier(path: Path, results: dict[str, Any]) -> dict[str, Any]:
    """The results of an interrupted run of the same command, or the new ones.

    Raises:
        ValueError: if the file holds a run of another command.
    """
    if not path.exists():
        return results
    found: dict[str, Any] = json.loads(path.read_text())
    if found.get('command') != results['command']:
        raise ValueError(
            f"'{path}' is of `{found.get('command')}`; give the same flags, another --name, or "
            'leave out --resume'
        )
    found.pop('interrupted', None)
    return found


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(',') if name.strip())


def run(options: Options, sections: Sequence[str], results: dict[str, Any]) -> None:
    """Measures section by section into `results`; an interruption leaves what there is.

    Raises:
        KeyboardInterrupt: after noting it.
    """
    seed = f'{TEST_SEED} of the problems, {SHUFFLE_SEED} of their order'
    where = results['environment'] = {'seed': seed, **provenance.describe()}
    where['load before'] = provenance.load()
    with environment.placed(options.core, options.fifo) as placement:
        where.update(placement)
    print('\n'.join(f'{name}: {value}' for name, value in where.items()), flush=True)
    section, seconds = 'J*', results.setdefault('seconds', {})
    try:
        if set(sections) & set(SCORED):
            for name in options.systems:
                problems(load_checkpoint(name).system, options.states)
        for section in sections:
            core = None if section in ON_EVERY_CORE else options.core
            with environment.placed(core, options.fifo):
                began = time.monotonic()
                SECTIONS[section](options, results.setdefault(section, {}))
                seconds[section] = round(time.monotonic() - began, 1)
    except KeyboardInterrupt:
        results['interrupted'] = section
        raise
    finally:
        where['load after'] = provenance.load()


def write(results: dict[str, Any], folder: Path, name: str) -> Path:
    """Writes `<name>.md`, `<name>.json` and the plots; returns the path of the page."""
    try:
        plots = draw(results, folder, name)
    except ModuleNotFoundError:
        plots = []
    page = folder / f'{name}.md'
    write_whole(page, report(results, plots))
    write_whole(folder / f'{name}.json', json.dumps(results, indent=1) + '\n')
    return page
