"""`trc train`: picks the stage and the settings for a system, and trains."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trc_core.checkpoint import load_checkpoint
from trc_core.command_line import report_errors
from trc_core.commands.warm_up import ready
from trc_core.evaluation.arrival_rows import conclude_arrivals
from trc_core.evaluation.conclusion import conclude
from trc_core.numerics.descent import require_descent
from trc_core.planner.controller import Controller
from trc_core.problem.accuracy import note
from trc_core.problem.trim import unheld_goal
from trc_core.solvers.evidence import evidence
from trc_core.systems import get_system
from trc_core.systems.flags import add_system
from trc_core.systems.robot_task import DEFAULT_TASK, RobotTask, descriptions
from trc_core.training.config import (
    UnknownSettingError,
    parse,
    run_as_command,
    settings_in,
    settings_of,
)
from trc_core.training.recipes import RECIPES, STAGES, Recipe, asked_settings, new_plant

PROGRAM = 'trc train'
MODULES = {
    'cost': ('trc_core.training.cost_trainer', 'CostTrainingConfig'),
    'hypotheses': ('trc_core.training.hypothesis_trainer', 'HypothesisConfig'),
    'imitation': ('trc_core.training.supervised_trainer', 'SupervisedConfig'),
    'process': ('trc_core.training.supervised_trainer', 'SupervisedConfig'),
    'descent': ('trc_core.training.descent_trainer', 'DescentConfig'),
}
DATASET_SETTINGS = {stage: {'supervision': stage} for stage in ('imitation', 'process')}
DEFAULT_SYSTEM = 'van_der_pol'


@dataclass(frozen=True)
class Choice:
    """System, stage and settings of a run, and the reason for them."""

    system: str
    """'' for that of the dataset."""
    stage: str
    settings: Mapping[str, Any]
    """They stand behind the config file and the flags."""
    reason: str


def build_parser() -> argparse.ArgumentParser:
    """The flags that choose; all others are the stage's."""
    recipes = [
        f'  {name:18}{recipe.stage:12}{_listed(recipe.overrides)}'
        for name, recipe in RECIPES.items()
    ]
    stages = [f'  {name:18}{summary}' for name, summary in STAGES.items()]
    parser = argparse.ArgumentParser(
        PROGRAM,
        usage=f'{PROGRAM} [--system S] [--stage {"|".join(["auto", *STAGES])}] [--recipe R] '
        '[--config FILE] [flags of the stage]',
        description=inspect.getdoc(main),
        epilog='\n'.join(['stages:', *stages, '', 'recipes:', *recipes]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add_system(
        parser,
        f" (default: {DEFAULT_SYSTEM}; the dataset's for {' and '.join(DATASET_SETTINGS)})",
    )
    add('--stage', default='auto', choices=['auto', *STAGES], help="default: the recipe's")
    add('--recipe', choices=sorted(RECIPES), help="default: the system's own, if there is one")
    add('--config', type=Path, help='YAML file of settings; flags behind it win')
    add(
        '--verdict',
        default='true',
        choices=['true', 'false'],
        help='whether to end with a table of the controller beside what needs no network, and a '
        'sentence that says if it is worth having: a minute or two (default: %(default)s)',
    )
    add('--help', '-h', action='store_true', help='show this, and the flags of the stage')
    return parser


def choose(
    system: str | None, stage: str, recipe: str | None, task: RobotTask = DEFAULT_TASK
) -> Choice:
    """Choice of the stage and its settings, from what was asked for.

    Raises:
        ValueError: if the system is unknown; the message lists those that exist.
    """
    if stage in DATASET_SETTINGS and not (system or recipe):
        return Choice('', stage, DATASET_SETTINGS[stage], 'as asked')
    name = system or (RECIPES[recipe].system if recipe else DEFAULT_SYSTEM)
    found = RECIPES.get(recipe or name)
    if found is not None:
        return _by_recipe(recipe or name, found, name, stage)
    if stage in DATASET_SETTINGS:
        return Choice(name, stage, DATASET_SETTINGS[stage], 'as asked')
    plant = get_system(name, **task.words)
    if stage != 'auto':
        return Choice(name, stage, asked_settings(plant, stage), 'as asked')
    if plant.final_time is not None:
        require_descent(plant)
        return Choice(name, 'descent', {}, 'the time of its plans is free')
    judged = evidence(plant)
    stage = 'hypotheses' if judged.is_enough else 'cost'
    settings = new_plant(plant, stage)
    follows = _listed(settings) if judged.is_enough else 'a network can only save time'
    reason = f'{judged}; {follows}'
    return Choice(name, stage, settings, reason)


def _by_recipe(name: str, recipe: Recipe, system: str, stage: str) -> Choice:
    if stage not in ('auto', recipe.stage):
        reason = f"as asked; the recipe '{name}' is of the stage '{recipe.stage}' and left out"
        return Choice(system, stage, DATASET_SETTINGS.get(stage, {}), reason)
    reason = f"recipe '{name}': {_listed(recipe.overrides)}"
    return Choice(system, recipe.stage, recipe.overrides, reason)


def _listed(settings: Mapping[str, Any]) -> str:
    return ', '.join(f'{name} {_spelled(value)}' for name, value in settings.items())


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _configured(path: Path | None) -> tuple[str | None, dict[str, Any]]:
    """The system that a config file names, and the words of its task."""
    settings = {} if path is None else settings_in(path)
    system, task = settings.get('system'), settings.get('task')
    known = descriptions()  # whatever else is there, the parser of the flags refuses
    words = task.items() if isinstance(task, dict) else ()
    return (
        system if isinstance(system, str) else None,
        {word: value for word, value in words if word in known},
    )


def _of_another_stage(error: UnknownSettingError, choice: Choice) -> ValueError:
    """The error of a setting that the stage lacks: why it is this stage, and which one has it."""
    stages = [stage for stage in MODULES if error.name in settings_of(_stage(stage)[1])]
    others = ', '.join(f'--stage {stage}' for stage in stages) or 'no other stage'
    return ValueError(
        f"the stage is '{choice.stage}' ({choice.reason}), where {error}; {others} has it"
    )


def _stage(name: str) -> tuple[Any, Any]:
    """The module and the config class of a stage."""
    module_name, config_name = MODULES[name]
    module = importlib.import_module(module_name)
    return module, getattr(module, config_name)


def _conclude(output_dir: Path) -> None:
    """Prints the controller of a run beside its baselines, and keeps the figures in its file."""
    from trc_core.training.fitting import BEST_MODEL  # with PyTorch, which is loaded by now

    path = output_dir / BEST_MODEL
    try:
        controller = Controller(load_checkpoint(path))
        ready(controller)
        timed = controller.system.final_time is not None
        found = (conclude_arrivals if timed else conclude)(controller)
        found.keep_in(path)
    except KeyboardInterrupt:
        print(
            f'\nthe table is left out; the controller is in {path}, and `trc evaluate '
            f'--checkpoint {path}` compares it',
            file=sys.stderr,
        )
        raise
    except ValueError as error:  # the run itself is whole
        print(f'{PROGRAM}: no table beside baselines: {error}', file=sys.stderr)
        return
    print(found, flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Trains a controller for a system, by the stage and the recipe that suit it.

    The recipe's settings come first; those of --config win over them, and flags over both.
    """
    parser = build_parser()
    known, flags = parser.parse_known_args(argv)
    with report_errors(PROGRAM):
        if flags and not flags[0].startswith('-'):
            raise ValueError(f"'{flags[0]}' is no flag; a system is given by --system {flags[0]}")
        system, words = _configured(known.config)
        task = RobotTask(**{**words, **known.task})
        choice = choose(known.system or system, known.stage, known.recipe, task)
        module, config_class = _stage(choice.stage)
        arguments = [f'--{name}={_spelled(value)}' for name, value in choice.settings.items()]
        if known.config is not None:
            arguments.append(f'--config={known.config}')
        arguments.append(f'--system={choice.system}')
        arguments += [f'--task.{word}={_spelled(value)}' for word, value in known.task.items()]
        if known.help:
            print(parser.format_help())
            print(f"flags of the stage '{choice.stage}':\n")
            flags = ['--help']
        try:
            config = parse(config_class, PROGRAM, [*arguments, *flags])
        except UnknownSettingError as error:
            raise _of_another_stage(error, choice) from None
        plant = config.system or 'the system of the dataset'
        print(f'{PROGRAM}: {plant}, stage {choice.stage} ({choice.reason})', flush=True)
        if config.system:
            trained = get_system(config.system, **config.task.words)
            for line in filter(None, (unheld_goal(trained), note(trained))):
                print(f'{PROGRAM}: {line}', flush=True)
        module.train(config, run_as_command(PROGRAM, argv))
        if known.verdict == 'true' and 'LOCAL_RANK' not in os.environ:  # DDP's other processes
            _conclude(Path(config.output_dir))


if __name__ == '__main__':
    main()
