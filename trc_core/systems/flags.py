"""The flags `--system` and `--task.*` of commands that take a plant."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from trc_core.problem.system import System
from trc_core.systems.registry import get_system
from trc_core.systems.robot_task import RobotTask, descriptions

SYSTEM_HELP = 'a name, or a .py, .urdf or .xml file'


class _Word(argparse.Action):
    """Keeps the words of a task together, by name."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        name = self.option_strings[0].removeprefix('--task.')
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), name: values})


def words(text: str) -> tuple[str, ...]:
    """The texts of a list like '[shoulder, elbow]', with its brackets or without."""
    return tuple(word.strip() for word in text.strip(' []').split(',') if word.strip())


def add_system(parser: argparse.ArgumentParser, about: str = '') -> None:
    """Adds the plant of a command, `--system`, and the flags of a robot's task.

    Args:
        parser: gets the arguments `system` and `task`.
        about: what the plant is for, for the help.
    """
    parser.add_argument('--system', help=SYSTEM_HELP + about)
    add_task(parser)


def add_task(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a robot's task, as the argument `task`."""
    add = parser.add_argument_group(
        'task of a robot, where its URDF or MJCF is given'
    ).add_argument
    for field in fields(RobotTask):
        default = '' if field.default in ('', ()) else f' (default {field.default:g})'
        add(
            f'--task.{field.name}',
            dest='task',
            default={},
            action=_Word,
            type=words if field.default == () else type(field.default),
            metavar='LIST' if field.default == () else type(field.default).__name__.upper(),
            help=descriptions()[field.name].replace('%', '%%').rstrip('.') + default,
        )


def task_of(arguments: argparse.Namespace) -> RobotTask:
    """The task that the flags state."""
    return RobotTask(**arguments.task)


def system_of(arguments: argparse.Namespace) -> System | None:
    """The plant that the flags name; None where they name none.

    Raises:
        ValueError, FileNotFoundError: as `get_system`; also for a task without a plant.
    """
    if arguments.system:
        return get_system(arguments.system, **task_of(arguments).words)
    if arguments.task:
        raise ValueError(f'--task.{next(iter(arguments.task))} goes with --system')
    return None
