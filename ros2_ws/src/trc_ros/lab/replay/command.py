"""`trc replay`: flies a bag again and compares the commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from trc_core.command_line import CHECKPOINT_HELP, report_errors
from trc_core.whole_files import write_whole


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `trc replay`.

    Raises:
        SystemExit: with 1 if commands differ by more than the tolerance, or nothing was compared.
    """
    options = parse(argv)
    # Wheels of ROS 2 find their resources here; a ROS installation has set it already.
    os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
    with report_errors('trc replay'):
        exceeds = replay(options)
    if exceeds:
        raise SystemExit(1)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        prog='trc replay',
        description='Flies the states of a bag again, cycle by cycle and without ROS running, and '
        'compares the commands with those that were sent: bit for bit with the checkpoint and the '
        'version that flew, else the largest difference and where it is. A bag of `trc record` '
        'holds all that this needs; of any other bag commands are compared as far as it goes.',
        epilog='Exit code 1 if a command differs by more than --tolerance.',
    )
    add = parser.add_argument
    add('bag', type=Path, help='folder of a bag, or an .mcap or .db3 file')
    add('--checkpoint', metavar='CHECKPOINT', help=f'{CHECKPOINT_HELP} (default: what flew)')
    add('--system', help='a name or a file, where the flight was made with a .py file')
    add('--controller', metavar='/NS/NAME', help='whose flight, where the bag holds several')
    add('--params', type=Path, metavar='YAML', help='parameters that differ from the flight')
    add(
        '--tolerance',
        type=float,
        default=0.0,
        help='largest difference of a command, in its unit (default: 0, every bit counts)',
    )
    add(
        '--output',
        type=Path,
        default=Path('replay'),
        help='folder for replay.json and replay.png (default: replay)',
    )
    add(
        '--remap',
        nargs='+',
        default=[],
        metavar='NAME:=TOPIC',
        help='topics of a bag without ~/cycle: state, goal, command',
    )
    options = parser.parse_args(argv)
    if not options.tolerance >= 0.0:
        parser.error(f'--tolerance is {options.tolerance}; choose 0 or more')
    return options


def replay(options: argparse.Namespace) -> bool:
    """Replays, compares and reports; whether a command differs by more than the tolerance.

    Raises:
        ValueError, OSError: if the bag cannot be read, or is of another plant.
    """
    # Imported late: ROS reads the environment, which is complete by now.
    from trc_ros.lab.replay.controller_of_today import load, parameters_of, pilot_of
    from trc_ros.lab.replay.cycles import Replay
    from trc_ros.lab.replay.figure import draw
    from trc_ros.lab.replay.from_messages import replayed_messages
    from trc_ros.lab.replay.recorded_flight import read_flight

    # What flew, and what flies now.
    flight = read_flight(options.bag, options.controller)
    asked = options.checkpoint, options.system, options.params
    parameters = parameters_of(flight, *asked)
    pilot = pilot_of(load(flight, parameters), flight, parameters)
    # Fly and compare.
    try:
        if flight.lines:
            comparison = Replay(flight, pilot, parameters).compared()
        else:
            comparison = replayed_messages(flight, pilot, parameters, options.remap)
    except ValueError as error:
        raise ValueError(f"'{options.bag}': {error}") from error
    # Report.
    options.output.mkdir(parents=True, exist_ok=True)
    write_whole(options.output / 'replay.json', comparison.json())
    draw(comparison, options.output / 'replay.png')
    print(f'{comparison.text()}\n{options.output}/: replay.json, replay.png')
    return comparison.exceeds(options.tolerance)
