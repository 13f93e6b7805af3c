"""`trc demo`: the closed loop over real DDS, on any machine, with figures, a bag and a table."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from trc_core import get_system
from trc_core.systems import System

SYSTEMS = ('double_integrator', 'van_der_pol')
ENVIRONMENT = {
    # Wheels of ROS 2 find their resources here; a ROS installation has set it already.
    'AMENT_PREFIX_PATH': sys.prefix,
    'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    # A killed process leaves locks in shared memory that spoil the next run.
    'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4',
    # Nodes that happen to run on this machine must not take part.
    'ROS_DOMAIN_ID': str(1 + os.getpid() % 100),
}
"""What the nodes need from the environment, unless it is set already."""


class DemoError(RuntimeError):
    """The demo failed; the message is one line that says why."""


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `trc demo`.

    Raises:
        SystemExit: with the exit code, unless all went well.
    """
    options = parse(argv)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(options)
    except KeyboardInterrupt:
        kept = f'; what was recorded is in {options.output}/bag' if options.bag else ''
        print(f'\ntrc demo: interrupted{kept}', file=sys.stderr)
        raise SystemExit(130) from None
    except ModuleNotFoundError as error:
        needed = "pip install 'trc[ros,demo]'"
        raise SystemExit(f"trc demo: needs '{error.name}'; install it with {needed}") from None
    except (DemoError, ValueError, OSError) as error:
        raise SystemExit(f'trc demo: {error}') from None


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        prog='trc demo',
        description='Flies systems with `controller` and `plant` as two processes over DDS.',
    )
    parser.add_argument('--systems', nargs='+', default=SYSTEMS, metavar='NAME', help='which ones')
    parser.add_argument(
        '--seconds', type=float, default=16.0, help='flight time of each system (default: 16)'
    )
    parser.add_argument(
        '--output', type=Path, default=Path('demo'), help='folder to write to (default: demo)'
    )
    parser.add_argument('--seed', type=int, default=22, help='of states and goals (default: 22)')
    parser.add_argument('--no-bag', dest='bag', action='store_false', help='record no bag')
    options = parser.parse_args(argv)
    if not options.seconds >= 1.0:
        parser.error(f'--seconds is {options.seconds}; choose at least 1')
    return options


def run(options: argparse.Namespace) -> int:
    """Flies all systems, then reports; returns the exit code."""
    systems = [get_system(name) for name in options.systems]
    workspace = make_workspace(options.output)
    try:
        return fly_and_report(systems, options, workspace)
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def fly_and_report(systems: Sequence[System], options: argparse.Namespace, workspace: Path) -> int:
    """Flies all systems, writes bag and figures and prints the table; returns the exit code."""
    # Imported late: what is missing becomes one readable line, and ROS reads the environment.
    from trc_ros.demo_figure import draw
    from trc_ros.demo_flight import fly_all
    from trc_ros.demo_recording import open_bag
    from trc_ros.demo_report import format_table, score

    seconds = f'{options.seconds:g} s each'
    print(f'flying {" and ".join(s.name for s in systems)} over ROS 2, {seconds}', flush=True)
    bag = open_bag(workspace / 'bag') if options.bag else None
    try:
        flights = fly_all(systems, options.seconds, options.seed, bag)
    finally:
        if bag is not None:
            bag.close()
            publish(workspace / 'bag', options.output)
    scores = [score(flight) for flight in flights]
    for flight in flights:
        draw(flight, workspace / f'{flight.system.name}.png')
        publish(workspace / f'{flight.system.name}.png', options.output)
    print(f'\n{format_table(scores)}\n')
    print(f'{options.output}/: {", ".join(sorted(p.name for p in options.output.glob("[!.]*")))}')
    missed = [f'{score.system}: {score.missed}' for score in scores if score.missed]
    if missed:
        raise DemoError('; '.join(missed))


def make_workspace(output: Path) -> Path:
    """A folder inside `output` for what is not finished yet.

    Raises:
        DemoError: if nothing can be written there.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix='.unfinished-', dir=output))
    except OSError as error:
        raise DemoError(
            f"cannot write to '{output}' ({error.strerror}); choose another --output"
        ) from error


def publish(path: Path, output: Path) -> None:
    """Moves a finished file or folder to `output`, over what an earlier run left there."""
    target = output / path.name
    if target.is_dir():
        shutil.rmtree(target)
    path.replace(target)
