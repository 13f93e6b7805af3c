"""`trc evaluate`: one table of a controller, or of experts, against the best known optimum."""

from __future__ import annotations

import argparse
import importlib
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from trc_core.checkpoint import (
    GRAPH_SUFFIX,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
    shipped_checkpoints,
)
from trc_core.command_line import add_checkpoint, add_force, check_output, report_errors
from trc_core.commands.warm_up import ready
from trc_core.evaluation.arrival_rows import arrival_planners, expert_planners
from trc_core.evaluation.arrivals import Arrivals, evaluate_arrivals
from trc_core.evaluation.baselines import (
    BASELINES,
    baseline_planners,
    default_baselines,
    planners,
    serving,
)
from trc_core.evaluation.chart import excess_chart
from trc_core.evaluation.closed_loop import Comparison, PerturbedPlant, compare
from trc_core.evaluation.evaluator import Evaluation, Planner, evaluate
from trc_core.evaluation.problems import TEST_SEED, fresh_problems
from trc_core.evaluation.verdict import verdict
from trc_core.planner.controller import Controller
from trc_core.systems import SYSTEMS, System
from trc_core.systems.flags import add_system, system_of
from trc_core.systems.registry import parse_settings
from trc_core.whole_files import whole_file, write_whole

CYCLES = (1, 3, 5, 10)
DEFAULT = 'van_der_pol'
OVER_ROS = Path('outputs/over_ros')
FITTING = {  # what goes with a flag that asks for something else than the usual table
    'ros': ('closed_loop', 'checkpoint', 'states', 'seed'),
    'closed_loop': (
        *('checkpoint', 'system', 'task', 'set', 'states', 'seed', 'force', 'record', 'plant'),
    ),
    'expert': ('system', 'task', 'set', 'states', 'seed', 'output'),
}


def build_parser() -> argparse.ArgumentParser:
    """Command line: what is scored, on which problems, and where the figures go."""
    parser = argparse.ArgumentParser('trc evaluate', description=main.__doc__)
    add = parser.add_argument
    add_checkpoint(
        parser,
        f", or 'classical' with --system: no network (default: {DEFAULT}, without --expert)",
    )
    add(
        '--expert',
        help='instead of a checkpoint, experts: a list like lqr,ilqr1,ilqr3,ilqr,multistart',
    )
    add(
        '--baseline',
        help='experts to stand beside a checkpoint, a list like lqr,ilqr,nlp (default: '
        f'{",".join(BASELINES)})',
    )
    add_system(
        parser,
        ': the plant of a checkpoint that only a file defines, or with --expert (default: every '
        'textbook system)',
    )
    add(
        '--set',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='a plant parameter, like mu=0.7 (may be repeated)',
    )
    add('--states', type=int, default=200, help='number of test problems (default %(default)s)')
    add('--seed', type=int, default=TEST_SEED, help='of the problems (default %(default)s)')
    add_force(parser)
    _add_closed_loop(parser)
    _add_output(parser)
    return parser


def _add_closed_loop(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        '--closed_loop',
        type=_model_error,
        nargs='?',
        const=0.0,
        metavar='ERROR',
        help='fly instead: two horizons of receding-horizon control beside converged MPC; with '
        'ERROR = 0.05 on a plant whose parameters are 5 %% larger and whose input gain is 5 %% '
        'smaller than the controller thinks',
    )
    add(
        '--plant',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='with --closed_loop: a parameter of the plant that the controller does not know of',
    )
    add(
        '--ros',
        type=Path,
        nargs='?',
        const=OVER_ROS,
        metavar='FOLDER',
        help='with --closed_loop: fly with both nodes over DDS as well, on a plant without error, '
        'and compare the costs; leaves a bag and a report in FOLDER (default: %(const)s)',
    )


def _model_error(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no number; a checkpoint stands in front of the flags"
        ) from None


def _add_output(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        '--output',
        type=Path,
        help='also write the figures to this file, FILE.json, and a picture of each, FILE*.png',
    )
    add(
        '--record',
        action='store_true',
        help='also write the figures into the checkpoint, as its certificate',
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Scores a checkpoint, or experts, against the best known optimum."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    command = sys.argv[2:] if argv is None else list(argv)
    with report_errors(parser.prog):
        _check(arguments, parser)
        if arguments.ros is not None:
            print(_flown_over_ros(arguments))
            return
        if arguments.closed_loop is not None:
            comparison = _flown(arguments)
            print(comparison)
            if arguments.record:
                _record_flights(arguments, comparison, command)
            return
        if (arrivals := _arrivals(arguments)) is not None:
            print(arrivals)
            if arguments.record:
                _keep(arguments, 'certificate', arrivals.figures(), command)
            if arguments.output:
                write_whole(arguments.output, json.dumps(arrivals.figures(), indent=2) + '\n')
            return
        results = []
        for asked in _requested(arguments):
            found = evaluate(
                asked.title, asked.system, asked.table(), arguments.states, arguments.seed
            )
            results.append(replace(found, left_out=asked.left_out))
            print(results[-1], flush=True)
            if sentence := verdict(found.scores, asked.network):
                print(sentence, flush=True)
        if arguments.record:
            _record(arguments, results[0], command)
        if arguments.output:
            _write(arguments.output, results)


def _arrivals(arguments: argparse.Namespace) -> Arrivals | None:
    """The table of a controller or of experts whose plans have a free time; None for others."""
    if arguments.expert is not None:
        system = system_of(arguments)
        if system is None or system.final_time is None:
            return None
        system = system.with_parameters(**parse_settings(arguments.set))
        table = expert_planners(system, _names(arguments.expert))
        return evaluate_arrivals(system.name, system, table, arguments.states, arguments.seed)
    title, controller = _loaded(arguments)
    if controller.system.final_time is None:
        return None
    ready(controller)
    table = arrival_planners(controller)
    return evaluate_arrivals(title, controller.system, table, arguments.states, arguments.seed)


def _check(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuses flags that would be ignored, and places where figures could not be kept."""
    if arguments.states < 1:
        raise ValueError(f'--states must be at least 1, got {arguments.states}')
    defaults = vars(parser.parse_args([]))
    given = [name for name, value in vars(arguments).items() if value != defaults[name]]
    mode = next((name for name in FITTING if name in given), None)
    if mode is not None:
        _check_fitting(mode, given)
    if arguments.ros is not None and arguments.closed_loop != 0.0:
        raise ValueError('--ros goes with --closed_loop, on a plant without error')
    if str(arguments.ros) in shipped_checkpoints():
        raise ValueError(f"--ros takes a folder; put '{arguments.ros}' in front of the flags")
    if arguments.output:
        check_output(arguments.output, '.json')
    if arguments.record and arguments.force:
        raise ValueError('--record goes without --force: a certificate is of the trained plant')
    if arguments.record:
        _check_certifiable(find_checkpoint(arguments.checkpoint or DEFAULT))


def _check_fitting(mode: str, given: Sequence[str]) -> None:
    ignored = [name for name in given if name not in (mode, *FITTING[mode])]
    if ignored:
        fitting, others = (', --'.join(names) for names in (FITTING[mode], ignored))
        raise ValueError(f'--{mode} goes with --{fitting} only, not with --{others}')


def _check_certifiable(path: Path) -> None:
    if path.suffix == GRAPH_SUFFIX:
        raise ValueError(
            f"--record cannot write into the graph '{path}'; give the checkpoint that it was "
            'exported from, and export that again'
        )
    check_output(path, path.suffix)


@dataclass(frozen=True)
class _Asked:
    """A table that the flags ask for."""

    title: str
    system: System
    table: Callable[[], dict[str, Planner]]
    """Makes its planners, which may take long."""
    left_out: Mapping[str, str]
    network: str = ''
    """The label of the network as it is delivered; '' where there is none."""


def _requested(arguments: argparse.Namespace) -> list[_Asked]:
    """Every table that the flags ask for; who cannot serve is left out before any work."""
    if arguments.expert is None:
        title, controller = _loaded(arguments)
        system = controller.system
        chosen = _names(arguments.baseline) if arguments.baseline else None
        kept, left_out = serving(system, chosen or default_baselines(system))
        ready(controller)
        table = partial(planners, controller, CYCLES, kept)
        return [_Asked(title, system, table, left_out, f'trc, K = {controller.cycles}')]
    if arguments.set and not arguments.system:
        raise ValueError('--set needs --system')
    named = system_of(arguments)
    systems = list(SYSTEMS.values()) if named is None else [named]
    systems = [s.with_parameters(**parse_settings(arguments.set)) for s in systems]
    found = []
    for system in systems:
        kept, left_out = serving(system, _names(arguments.expert))
        table = partial(baseline_planners, system, kept)
        found.append(_Asked(system.name, system, table, left_out))
    return found


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(',')]


def _controller(arguments: argparse.Namespace) -> tuple[str, Controller]:
    """The controller that the flags ask for, ready to fly, and its name."""
    title, controller = _loaded(arguments)
    ready(controller)
    return title, controller


def _loaded(arguments: argparse.Namespace) -> tuple[str, Controller]:
    """The controller that the flags ask for, and its name; nothing is compiled yet."""
    checkpoint = arguments.checkpoint or DEFAULT
    own = system_of(arguments)
    parameters = parse_settings(arguments.set)
    controller = Controller.load(
        checkpoint, system=own, parameters=parameters, force=arguments.force
    )
    return ' '.join([checkpoint, *arguments.set]), controller


def _flown(arguments: argparse.Namespace) -> Comparison:
    """The closed-loop table that the flags ask for."""
    title, controller = _controller(arguments)
    error, unknown = arguments.closed_loop, parse_settings(arguments.plant)
    if error or unknown:
        title += f', plant {_difference(arguments)}'
    plant = PerturbedPlant.with_error(controller.system, error, unknown)
    x0, goal = fresh_problems(controller.system, arguments.states, arguments.seed)
    return compare(controller, plant, x0, goal, title)


def _difference(arguments: argparse.Namespace) -> str:
    """In which way the plant that is flown differs from its model."""
    return ' '.join([f'off by {arguments.closed_loop:.0%}', *arguments.plant])


def _flown_over_ros(arguments: argparse.Namespace) -> Any:
    """The flights in process and over ROS 2 that the flags ask for."""
    title, controller = _controller(arguments)
    x0, goal = fresh_problems(controller.system, arguments.states, arguments.seed)
    try:  # by name: the library imports no ROS
        importlib.import_module('trc_ros.lab.children').set_environment()
        flights = importlib.import_module('trc_ros.lab.over_ros')
    except ModuleNotFoundError as error:
        needed = "pip install 'trc[ros,demo]'"
        raise ValueError(f"--ros needs '{error.name}'; install it with {needed}") from None
    model = str(find_checkpoint(arguments.checkpoint or DEFAULT))
    return flights.evaluate(title, controller, model, x0, goal, arguments.ros)


def _record(arguments: argparse.Namespace, result: Evaluation, command: Sequence[str]) -> None:
    """Keeps the figures in the checkpoint, one certificate per set of parameters."""
    certificate = {
        **{name: getattr(result, name) for name in ('states', 'seed', 'starts', 'unsolved')},
        'scores': _figures([result]),
    }
    _keep(arguments, 'certificate', certificate, command)


def _record_flights(
    arguments: argparse.Namespace, comparison: Comparison, command: Sequence[str]
) -> None:
    """Keeps the closed-loop figures in the checkpoint, once per way in which the plant differs."""
    certificate = {
        'held': comparison.holds,
        'seed': arguments.seed,
        'cost over that of converged MPC': comparison.figures(),
    }
    _keep(arguments, f'closed loop, plant {_difference(arguments)}', certificate, command)


def _keep(
    arguments: argparse.Namespace, name: str, figures: Mapping[str, Any], command: Sequence[str]
) -> None:
    """Writes figures into the metrics of the checkpoint, with the command that gave them."""
    path = find_checkpoint(arguments.checkpoint or DEFAULT)
    own = system_of(arguments)
    checkpoint = load_checkpoint(path, own)
    certificate = {'command': shlex.join(['trc', 'evaluate', *command]), **figures}
    save_checkpoint(path, checkpoint.with_figures(' '.join([name, *arguments.set]), certificate))


def _write(output: Path, results: Sequence[Evaluation]) -> None:
    """The figures as JSON, and a picture of every table."""
    write_whole(output, json.dumps(_figures(results), indent=2) + '\n')
    for result in results:
        name = f'_{result.title}' if len(results) > 1 else ''
        rows = {label: asdict(s) for label, s in result.scores.items()}
        with whole_file(output.with_name(f'{output.stem}{name}.png')) as temporary:
            excess_chart(rows).savefig(temporary, format='png', dpi=90)


def _figures(results: Sequence[Evaluation]) -> dict[str, Any]:
    """Scores by planner; by system first where several were scored."""
    by_system: dict[str, Any] = {
        result.title: {label: asdict(s) for label, s in result.scores.items()}
        for result in results
    }
    return by_system if len(results) > 1 else by_system[results[0].title]
