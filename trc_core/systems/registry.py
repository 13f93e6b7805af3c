"""Registry of systems: those that ship, those of installed packages, and files of a user."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from trc_core.problem.comparison import MOTION, differing_numbers, differing_word
from trc_core.problem.finite import require_finite
from trc_core.problem.record import (
    require_same_names,
    system_from_record,
    with_contract,
)
from trc_core.problem.stated_slopes import require_slopes
from trc_core.problem.system import Array, System
from trc_core.systems import double_integrator
from trc_core.systems.catalogue import SHIPPED, shipped_as
from trc_core.systems.shipped import Draw

ENTRY_POINTS = 'trc.systems'
MJCF_FILES = ('.xml', '.mjcf')
ROBOT_FILES = ('.urdf', '.xacro', *MJCF_FILES)
FILES = ('.py', *ROBOT_FILES)
"""Endings of the files that define a system."""
ROBOT_TASK = {'dt': 0.02, 'horizon': 50}  # of a robot file, where nothing else is given
notices = logging.getLogger('trc')


def get_system(name: str, **task: Any) -> System:
    """The system of a name or of a file.

    Args:
        name: a shipped system, `double_integrator_<n>_axes`, a name that an installed package
            offers in the entry-point group `trc.systems`, the path of a Python file that
            defines one `System` (the file is executed), or that of a robot's URDF
            or MJCF (.xml).
        **task: for a robot, the words of `System.from_urdf` or `System.from_mjcf`; `dt` is 0.02 s
            and `horizon` 50 where they are not given.

    Raises:
        ValueError: if there is none, or not exactly one in the file; the message says what exists.
            Also if its equations fail, or are no numbers somewhere in its boxes, or if a task is
            given for what is no robot.
        FileNotFoundError: if the file does not exist.
    """
    if name.endswith(ROBOT_FILES):
        return system_from_robot_file(Path(name), **task)
    if task:
        raise ValueError(
            f"'{name}' is no robot file, and takes no {sorted(task)}; write them in the system"
        )
    if name in SHIPPED:
        return SHIPPED[name].system
    several_axes = re.fullmatch(r'double_integrator_(\d+)_axes', name)
    if several_axes:
        return double_integrator.multi_axis(int(several_axes[1]))
    if name.endswith('.py'):
        return system_from_file(Path(name))
    offered = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name in offered:
        system = offered[name].load()
        if not isinstance(system, System):
            raise ValueError(f"entry point '{name}' of {ENTRY_POINTS} is not a System")
        _require_equations(system)
        return system
    raise ValueError(
        f"unknown system '{name}'; choose from {sorted([*SHIPPED, *offered])} "
        'or give the path of a .py, .urdf or .xml file'
    )


def draw_of(system: System, learning: bool = False) -> Draw | None:
    """The function that draws problems of a system of the catalogue, where it has one.

    With `learning` it is the one for problems to learn from, where that is another one.

    A system from a file or a checkpoint counts where its name, its dynamics and its parameters
    are those of the catalogue.
    """
    known = shipped_as(system)
    if known is None or known.draw is None:
        return None
    if known.system.parameters.keys() != system.parameters.keys():
        return None
    if known.system.graph.digest != system.graph.digest:
        return None
    return known.draw_to_learn or known.draw if learning else known.draw


def why_impossible(system: System, x: Array, parameters: Mapping[str, float]) -> str | None:
    """Why no plan from a state x (n_x,) can reach the goal, where a shipped system is certain.

    None where it is not certain, or where nobody knows.

    Args:
        system: the plant; it counts as shipped where its name, states and parameters are those.
        x: state (n_x,).
        parameters: those that differ from the system's own, by name.
    """
    known = shipped_as(system)
    if known is None or known.certificate is None:
        return None
    if known.system.parameters.keys() != system.parameters.keys():
        return None
    return known.certificate(x, {**system.parameters, **parameters})


def system_of_record(
    record: Mapping[str, Any], given: System | None = None, force: bool = False
) -> System:
    """The system of a checkpoint or a dataset, built from its record.

    Numbers of `given` that differ (parameters, bounds, weights) do not count; a line of the log
    says so.

    Args:
        record: of a checkpoint or a dataset.
        given: the system that a user expects; its equations, constraints and other
            functions must be the same. Records of version
            1 hold no equations: then those of `given` are taken, or of the system of that name
            here.
        force: take `given` itself, whatever it is, with a warning where it differs.

    Raises:
        ValueError: if they do not move alike, have another `dt` or horizon, or there are no
            equations; the message says why.
    """
    if 'dynamics' not in record:
        system = with_contract(get_system(record['name']) if given is None else given, record)
    else:
        system = system_from_record(record)
    if given is None:
        return system
    require_same_names(given, record)
    if force:
        _warn_of_force(given, system)
        return given
    word = differing_word(given, system)
    if word is not None:
        raise ValueError(f"made with other {word} than those of '{given.name}' here")
    differing = differing_numbers(given, system)
    for name in MOTION:
        if name in differing:
            ours, theirs = differing[name]
            raise ValueError(
                f"{name} is {theirs} in the file but {ours} in '{given.name}' here; give that of "
                'the file, or --force (force=True) to fly this one'
            )
    if differing:
        notices.warning(
            "'%s' here has other %s; those of the file count", given.name, ' and '.join(differing)
        )
    return system


def _warn_of_force(given: System, trained: System) -> None:
    """Says in one line what a network was not trained for."""
    word = differing_word(given, trained)
    found = [*([word] if word else []), *differing_numbers(given, trained)]
    if found:
        notices.warning(
            "'%s' flies with other %s than the network was trained for: it may plan no better "
            'than the LQR',
            given.name,
            ' and '.join(found),
        )


def system_from_file(path: Path) -> System:
    """The one `System` that a Python file defines.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it does not run, or does not define exactly one system whose dynamics do.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no system file '{path}'")
    values = vars(module_of(path)).values()
    systems = {id(v): v for v in values if isinstance(v, System) and not _is_imported(v)}
    if len(systems) != 1:
        names = [system.name for system in systems.values()]
        raise ValueError(f"'{path}' must define one System, found {names}")
    (system,) = systems.values()
    try:
        _require_equations(system)
    except ValueError as error:
        raise ValueError(f"'{path}': {error}") from error
    return system


def _is_imported(system: System) -> bool:
    """Whether a system in a user's file is a shipped one, imported there and not defined."""
    return system.name in SHIPPED and SHIPPED[system.name].system is system


def system_from_robot_file(path: Path, **task: Any) -> System:
    """The system of a robot's URDF or MJCF.

    Args:
        path: of the file.
        **task: the words of `System.from_urdf` or `System.from_mjcf`; `dt` is 0.02 s and
            `horizon` 50 where they are not given.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is no robot that is supported, or a word makes no sense.
    """
    if path.suffix == '.xacro':
        raise ValueError(
            f"'{path}' is xacro; expand it first: xacro {path} > {path.with_suffix('.urdf')}"
        )
    read = System.from_mjcf if path.suffix in MJCF_FILES else System.from_urdf
    system = read(path, **{**ROBOT_TASK, **task})
    _require_equations(system)
    return system


def _require_equations(system: System) -> None:
    """Refuses equations that fail, are no numbers in the boxes, or are too fast for dt."""
    require_finite(system)
    if system.stated_slopes is not None:
        require_slopes(system, system.stated_slopes)
    _ = system.substeps


def module_of(path: Path) -> ModuleType:
    """The module of a Python file, run once for each content.

    Raises:
        ValueError: if it does not run; the message says which file.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    name = f'trc_system_{re.sub(r"[^0-9a-zA-Z_]", "_", path.stem)}_{digest}'
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            # whatever a user's file raises is his message; ours says which file
            raise ValueError(f"'{path}' does not run: {type(error).__name__}: {error}") from error
        sys.modules[name] = module
    return sys.modules[name]


def parse_settings(settings: Iterable[str]) -> dict[str, float]:
    """Plant parameters from texts like 'mu=0.7'.

    Raises:
        ValueError: if a text is not `name=number`.
    """
    parameters = {}
    for text in settings:
        name, _, value = text.partition('=')
        try:
            parameters[name.strip()] = float(value)
        except ValueError:
            raise ValueError(f"'{text}' is not of the form name=number, like mu=0.7") from None
    return parameters
