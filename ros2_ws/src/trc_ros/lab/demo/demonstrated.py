"""A system that the demo flies: how the nodes are told what it is, and what plans for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trc_core import get_system
from trc_core.checkpoint import shipped_checkpoints
from trc_core.planner.controller import CLASSICAL
from trc_core.systems import System
from trc_core.systems.registry import FILES, ROBOT_FILES
from trc_core.systems.robot_task import RobotTask

SWEEPS = {'model_path': CLASSICAL, 'slow_plans': 'warn'}  # they improve from cycle to cycle


@dataclass(frozen=True)
class Demonstrated:
    """A system, and the parameters of both nodes that name it."""

    system: System
    named: Mapping[str, Any]
    """Parameters of both nodes."""
    planned: Mapping[str, Any]
    """Parameters of the controller: what plans."""

    @classmethod
    def of(cls, name: str, task: RobotTask) -> Demonstrated:
        """The system of a name or of a file, with a task if it is a robot's.

        Raises:
            ValueError, FileNotFoundError: as `get_system`.
        """
        words = task.words if name.endswith(ROBOT_FILES) else {}
        system = get_system(name, **words)
        named: dict[str, Any] = {}
        if name.endswith(FILES):
            named = {'system': str(Path(name).resolve())}
            given = {word: getattr(task, word) for word in words}
            named |= {
                f'task.{word}': list(value) if isinstance(value, tuple) else value
                for word, value in given.items()
            }
        ships = not named and system.name in shipped_checkpoints()
        return cls(system, named, {} if ships else SWEEPS)
