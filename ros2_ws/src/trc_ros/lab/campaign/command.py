"""`trc faults`: every fault against every fallback, with real nodes over real DDS."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trc_core import get_system
from trc_core.flight.safety import FALLBACKS
from trc_core.systems import System
from trc_core.whole_files import write_whole
from trc_ros.lab.campaign.contract import Contract
from trc_ros.lab.campaign.disturbances import DISTURBANCES, applicable, require_applicable
from trc_ros.lab.children import carry_out

if TYPE_CHECKING:
    from trc_ros.lab.campaign.store import Store

STEM, DEFAULT_SYSTEM = 'faults', 'van_der_pol'
ABOUT = """\
Starts controller and plant as two processes over DDS, injects faults into flights, and judges
every command and horizon: finite, inside the limits, the right fallback in time, and a recovery.
Exit code 1 if one was not. Writes faults.json, .md and .png, of another system than van_der_pol
faults-SYSTEM.json, ... A fault that needs something of the system (an angle, an obstacle) is left
out where that is missing."""
NUMBERS = (
    ('--seed', 0, 'of states, goals and moments'),
    ('--frequency', 50.0, 'control cycles per second [Hz]'),
    ('--duration', 1.0, 'of a fault [s]'),
    ('--margin', 0.02, 'what the scheduler of the machine may add to a time [s]'),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Injects every fault under every fallback mode and judges every message that comes out.

    Raises:
        SystemExit: with code 1 if anything was unsafe or did not recover.
    """
    if carry_out(build_parser(), run, argv):
        raise SystemExit(1)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    # Description and epilog: all faults with their summaries.
    parser = argparse.ArgumentParser(
        'trc faults',
        description=ABOUT,
        epilog='\n'.join(
            [
                'faults:',
                *(f'  {name:21}{described(name)}' for name in DISTURBANCES),
                '\nCtrl-C keeps what was measured; the same command goes on.',
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # Selection: system, fallback modes and faults.
    parser.add_argument(
        '--system', default=DEFAULT_SYSTEM, help='which one (default: %(default)s)'
    )
    for option, known, default, metavar in (
        ('--fallback', FALLBACKS, list(FALLBACKS), 'MODE'),
        ('--fault', DISTURBANCES, None, 'NAME'),
    ):
        parser.add_argument(
            option,
            nargs='+',
            choices=known,
            default=default,
            metavar=metavar,
            help=f'some of {", ".join(known)} (default: all)',
        )
    # Numbers, then output.
    for option, default, text in NUMBERS:
        text = f'{text} (default: %(default)g)'
        parser.add_argument(option, type=type(default), default=default, help=text)
    parser.add_argument(
        '--output',
        type=Path,
        default=Path('outputs/faults'),
        help='folder for the figures (JSON), the page and its picture (default: %(default)s)',
    )
    parser.add_argument('--overwrite', action='store_true', help='forget an earlier run there')
    return parser


def described(fault: str) -> str:
    """A fault in one line, with what it needs."""
    disturbance = DISTURBANCES[fault]
    needs = disturbance.needs.what
    return disturbance.summary + (f' (needs {needs})' if needs else '')


def run(options: argparse.Namespace, command: str) -> list[str]:
    """Flies all trials and writes the page about this command; returns the problems found."""
    # Imported late: ROS reads the environment, which is complete by now.
    from trc_ros.lab.campaign.runner import fly_campaign
    from trc_ros.lab.campaign.store import Store

    if not (options.frequency > 0 and options.duration > 0 and options.margin >= 0):
        raise ValueError('--frequency and --duration must be positive, --margin not negative')
    system = get_system(options.system)
    for fault in options.fault or ():
        require_applicable(fault, system)
    path = options.output / f'{stem_of(system)}.json'
    if options.overwrite:
        path.unlink(missing_ok=True)
    contracts = [
        Contract(system, options.frequency, fallback, options.margin)
        for fallback in options.fallback
    ]
    store = Store(path, settings_of(options, contracts[0]))
    store.origin.setdefault('command', f'`{command}`')
    try:
        fly_campaign(
            contracts, options.fault or applicable(system), options.duration, options.seed, store
        )
    finally:
        if store.verdicts:
            write(store, options.output)
    return store.problems


def stem_of(system: System) -> str:
    """Name of the files about a system, without an ending."""
    return STEM if system.name == DEFAULT_SYSTEM else f'{STEM}-{system.name}'


def settings_of(options: argparse.Namespace, contract: Contract) -> dict[str, Any]:
    """Settings that the figures of a trial depend on."""
    return {
        'system': contract.system.name,
        'frequency': contract.frequency,
        'duration': options.duration,
        'seed': options.seed,
        'margin': contract.margin,
        'state_timeout': contract.state_timeout,
    }


def write(store: Store, output: Path) -> None:
    """Writes the page and its picture, and says where."""
    from trc_ros.lab.campaign.figure import draw_overview
    from trc_ros.lab.campaign.report import page, summary

    stem = stem_of(get_system(store.settings['system']))
    draw_overview(store, output / f'{stem}.png')
    write_whole(output / f'{stem}.md', page(store, f'{stem}.png'))
    print(f'\n{summary(store)}')
    print(f'{output}/: {stem}.json, {stem}.md, {stem}.png')
