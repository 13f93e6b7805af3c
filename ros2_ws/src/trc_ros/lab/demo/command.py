"""`trc demo`: the closed loop over real DDS, on any machine, with figures, a bag and a table."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from trc_core.command_line import interrupts
from trc_core.flight.safety import FALLBACKS
from trc_core.systems import System
from trc_core.systems.flags import add_task, task_of
from trc_ros.lab.campaign.disturbances import DISTURBANCES, require_applicable
from trc_ros.lab.children import set_environment
from trc_ros.lab.demo.demonstrated import Demonstrated

SYSTEMS = ('double_integrator', 'van_der_pol')
SECONDS, SHARE = 16.0, 1.2  # of a flight, and of a horizon that every task gets at least


class DemoError(RuntimeError):
    """The demo failed; the message is one line that says why."""


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `trc demo`.

    Raises:
        SystemExit: with the exit code, unless all went well.
    """
    options = parse(argv)
    set_environment()
    try:
        with interrupts():
            run(options)
    except KeyboardInterrupt:
        recorded = options.bag and not options.fault
        kept = f'; what was recorded is in {options.output}/bag' if recorded else ''
        print(f'\ntrc demo: interrupted{kept}', file=sys.stderr)
        raise SystemExit(130) from None
    except (DemoError, ValueError, OSError) as error:
        raise SystemExit(f'trc demo: {error}') from None


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        prog='trc demo',
        description='Flies systems with `controller` and `plant` as two processes over DDS.',
    )
    parser.add_argument(
        '--systems',
        '--system',
        nargs='+',
        default=SYSTEMS,
        metavar='NAME',
        help='names or files (.py, .urdf, .xml); those without a checkpoint fly without a network',
    )
    add_task(parser)
    parser.add_argument(
        '--seconds',
        type=float,
        help='flight time of each system (default: 16, or what three of its horizons take)',
    )
    parser.add_argument(
        '--output', type=Path, default=Path('demo'), help='folder to write to (default: demo)'
    )
    parser.add_argument('--seed', type=int, default=22, help='of states and goals (default: 22)')
    parser.add_argument('--no-bag', dest='bag', action='store_false', help='record no bag')
    parser.add_argument(
        '--fault',
        choices=DISTURBANCES,
        metavar='NAME',
        help='instead: inject this fault in mid-flight and draw the recovery; one of '
        f'{" ".join(DISTURBANCES)}',
    )
    parser.add_argument(
        '--fallback', choices=FALLBACKS, default='tail', help='for --fault (default: tail)'
    )
    options = parser.parse_args(argv)
    if options.seconds is not None and not options.seconds >= 1.0:
        parser.error(f'--seconds is {options.seconds}; choose at least 1')
    return options


def run(options: argparse.Namespace) -> None:
    """Flies all systems, then reports."""
    task = task_of(options)
    plants = [Demonstrated.of(name, task) for name in options.systems]
    workspace = make_workspace(options.output)
    landers = [plant for plant in plants if plant.system.final_time is not None]
    others = [plant for plant in plants if plant not in landers]
    if landers and options.fault:
        raise DemoError(f'--fault needs plans of a fixed duration, not {landers[0].system.name}')
    show = show_recoveries if options.fault else fly_and_report
    try:
        if others:
            show(others, options, workspace)
        for lander in landers:
            land_and_report(lander, options, workspace)
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def fly_and_report(
    plants: Sequence[Demonstrated], options: argparse.Namespace, workspace: Path
) -> None:
    """Flies all systems, writes bag and figures and prints the table.

    Raises:
        DemoError: if a goal was not reached.
    """
    # Imported late: ROS reads the environment, which is complete by now.
    from trc_ros.lab.bag import Bag
    from trc_ros.lab.demo.figure import draw
    from trc_ros.lab.demo.flight import fly_all
    from trc_ros.lab.demo.proposals import proposals_of
    from trc_ros.lab.demo.report import format_table, score

    # Fly, and keep the bag whatever happens.
    names = ' and '.join(plant.system.name for plant in plants)
    seconds = [options.seconds or seconds_of(plant.system) for plant in plants]
    print(f'flying {names} over ROS 2, {sum(seconds):g} s', flush=True)
    bag = Bag(workspace / 'bag') if options.bag else None
    try:
        flights = fly_all(plants, seconds, options.seed, bag)
    finally:
        if bag is not None:
            bag.close()
            publish(workspace / 'bag', options.output)
    # Score, draw and report.
    scores = [score(flight) for flight in flights]
    for flight in flights:
        proposals = proposals_of(flight) if flight.tasks[0].obstacles else []
        draw(flight, workspace / f'{flight.system.name}.png', proposals)
        publish(workspace / f'{flight.system.name}.png', options.output)
    print(f'\n{format_table(scores)}\n')
    print(f'{options.output}/: {", ".join(sorted(p.name for p in options.output.glob("[!.]*")))}')
    # A goal that was missed fails the demo.
    missed = [f'{score.system}: {score.missed}' for score in scores if score.missed]
    if missed:
        raise DemoError('; '.join(missed))


def land_and_report(lander: Demonstrated, options: argparse.Namespace, workspace: Path) -> None:
    """Flies descents of a lander until they have ended, draws them and says how they came down.

    Raises:
        DemoError: if the lander cannot be drawn, as it is none.
    """
    system = lander.system
    if system.state_names[:3] != ('x', 'y', 'z') or 'z' not in system.terminal:
        raise DemoError(f'there is no picture for plans of a free duration of {system.name}')
    # Imported late: ROS reads the environment, which is complete by now.
    from trc_ros.lab.bag import Bag
    from trc_ros.lab.demo.descents import draw_descents, fly_descents, outcome

    print(f'flying {system.name} over ROS 2 in lock-step', flush=True)
    name = f'{system.name}_bag'
    bag = Bag(workspace / name) if options.bag else None
    try:
        descents = fly_descents(lander, options.seed, bag)
    finally:
        if bag is not None:
            bag.close()
            publish(workspace / name, options.output)
    draw_descents(system, descents, workspace / f'{system.name}.png')
    publish(workspace / f'{system.name}.png', options.output)
    for descent in descents:
        print(outcome(descent))
    print(options.output / f'{system.name}.png')


def seconds_of(system: System) -> float:
    """How long a system is flown where nothing is said: its tasks, somewhat beyond a horizon."""
    from trc_ros.lab.demo.flight import TASKS

    return max(SECONDS, TASKS * SHARE * system.horizon * system.dt)


def show_recoveries(
    plants: Sequence[Demonstrated], options: argparse.Namespace, folder: Path
) -> None:
    """Flies all systems through a fault and draws each recovery.

    Raises:
        DemoError: if one of them was unsafe or did not recover.
    """
    from trc_ros.lab.demo.fault import fly_through, sentence

    problems, systems = [], [plant.system for plant in plants]
    for system in systems:
        require_applicable(options.fault, system)
    for system in systems:
        name = f'{system.name}_{options.fault}.png'
        print(f"flying {system.name} through the fault '{options.fault}'", flush=True)
        path = folder / name
        verdict = fly_through(system, options.fault, options.fallback, options.seed, path)
        publish(path, options.output)
        print(f'{sentence(system, verdict)}\n{options.output / name}')
        problems += [f'{system.name}: {problem}' for problem in verdict.problems]
    if problems:
        raise DemoError('; '.join(problems))


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
