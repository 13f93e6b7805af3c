"""`trc benchmark-fleet`: cycle time and CPU of one process that flies many robots over DDS."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trc_core import provenance
from trc_core.whole_files import write_whole
from trc_ros.lab.children import carry_out

NOTES = """\
Fleet and robots are two processes on this machine. The robots (real topics, simulated by their
equations) publish their states together, once per period. *cycle* is the work of the fleet in a
period, taking states and publishing commands included, *its CPU* that of its thread, *plans* its
planning alone, p50 / p99 since the start. *skipped* are cycles that were left out because one took
longer than a period. *late states* are periods for which the process of the robots took too long.
*CPU* is that of the fleet, the threads of DDS included. *batch* and *one by one* are the CPU of
the plans of a cycle, made by `plan_batch`, as a fleet does, and by `plan` in a loop: medians,
measured apart from the flights, by turns."""


def main(argv: Sequence[str] | None = None) -> None:
    """Flies fleets of several sizes over DDS and measures the process that plans for them.

    Raises:
        SystemExit: with the exit code, unless all went well.
    """
    carry_out(build_parser(), run, argv)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        'trc benchmark-fleet', description=main.__doc__.partition('\n')[0]
    )
    systems, sizes = ['double_integrator', 'quadrotor_2d'], [1, 10, 30, 100]
    add = parser.add_argument
    add('--systems', nargs='+', default=systems, help=f'default: {" ".join(systems)}')
    add('--robots', nargs='+', type=int, default=sizes, help='default: 1 10 30 100')
    add('--rate', type=float, default=50.0, help='control cycles per second [Hz]')
    add('--seconds', type=float, default=20.0, help='of each (default: %(default)g)')
    add('--seed', type=int, default=0, help='of the initial states (default: %(default)s)')
    add('--output', type=Path, default=Path('docs/benchmarks'), help='default: %(default)s')
    return parser


def run(options: argparse.Namespace, command: str) -> None:
    """Measures fleet by fleet, and writes what there is to `fleet.json` and `fleet.md`.

    Raises:
        ValueError: if the time is too short.
        NodeError: if a fleet fails.
    """
    # Imported late: ROS reads the environment, which is complete by now.
    from trc_ros.lab.fleet_benchmark.measurement import over_dds, planning

    if not options.seconds >= 3.0:
        raise ValueError(f'{options.seconds:g} s are too short; measure for at least 3')
    where = {'seed': str(options.seed), **provenance.describe()}
    results: dict[str, Any] = {'command': command, 'environment': where, 'cases': []}
    try:
        for name in options.systems:
            for count in options.robots:
                flown = over_dds(name, count, options.rate, options.seconds, options.seed)
                case = {'system': name, 'robots': count, **flown, **planning(name, count)}
                results['cases'].append(case)
                print(_row(case), flush=True)
    finally:
        if results['cases']:
            options.output.mkdir(parents=True, exist_ok=True)
            text = json.dumps(results, indent=1) + '\n'
            write_whole(options.output / 'fleet.json', text)
            write_whole(options.output / 'fleet.md', report(results, options.rate))


def report(results: Mapping[str, Any], rate: float) -> str:
    """The page, in Markdown."""
    rows = [HEADS, ['---'] * len(HEADS)]
    table = [f'| {" | ".join(row)} |' for row in rows] + [_row(c) for c in results['cases']]
    blocks = [
        '# Fleets',
        f'`{results["command"]}`',
        provenance.table(results['environment']),
        f'One process at {rate:g} Hz, one thread for planning; times in milliseconds.',
        '\n'.join(table),
        NOTES,
    ]
    return '\n\n'.join(blocks) + '\n'


HEADS = [
    *(
        'system',
        'robots',
        'rate, Hz',
        'cycle',
        'its CPU',
        'plans',
        'skipped',
        'active',
        'CPU, % of a core',
    ),
    *('memory, MB', 'late states', 'batch', 'one by one', 'load before; after'),
]


def _row(case: Mapping[str, Any]) -> str:
    def pair(name: str) -> str:
        return ' / '.join(f'{1e-3 * case[f"{name}_{p}_us"]:.2f}' for p in ('p50', 'p99'))

    cells = [
        *(case['system'], str(case['robots']), f'{case["rate_hz"]:.1f}', pair('cycle')),
        pair('cycle_cpu'),
        *(pair('plan_time'), f'{case["skipped_cycles"]} of {case["cycles"]}'),
        *(f'{case["active"]} of {case["robots"]}', f'{100 * case["cpu_share"]:.0f}'),
        *(f'{case["memory_mb"]:.0f}', str(case['late_states']), f'{case["batch_ms"]:.2f}'),
        *(f'{case["loop_ms"]:.2f}', case['load']),
    ]
    return f'| {" | ".join(cells)} |'


if __name__ == '__main__':
    main()
