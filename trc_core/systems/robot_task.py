"""The task of a robot that is read from a file: what its URDF or MJCF does not say."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from trc_core.systems.registry import parse_settings


@dataclass(frozen=True)
class RobotTask:
    """Task of a robot from a file: the flags `--task.*` of commands, `task.*` of the nodes."""

    dt: float = 0.02
    """Sampling period of the plan [s]."""
    horizon: int = 50
    """Number of control steps of the plan."""
    position_weight: float = 10.0
    """Weight of squared errors of joint positions."""
    speed_weight: float = 0.1
    """Weight of squared errors of joint speeds."""
    effort_weight: float = 1e-3
    """Weight of squared differences between the efforts and those that hold the goal."""
    tip: str = ''
    """Link of a URDF (body or site of an MJCF) whose path is drawn, and where a payload hangs.
    Without it, it is the last link of a URDF, and an MJCF has none."""
    payload: float = -1.0
    """Mass at the tip [kg], a parameter that a node learns in flight; 0 where nothing hangs there
    as yet. With -1 there is none."""
    armature: float = 0.0
    """Inertia of the rotors as every joint feels it [kg m^2, or kg]; a URDF does not say it."""
    joints: Sequence[str] = ()
    """Joints that are controlled, by default all that move. The others are welded."""
    locked: Sequence[str] = ()
    """Positions other than 0 at which joints are welded, like 'finger=0.02'."""

    def __post_init__(self) -> None:
        for f in fields(self):
            object.__setattr__(self, f.name, _typed(f.name, getattr(self, f.name), f.default))
        if self.payload < 0.0 and self.payload != -1.0:
            raise ValueError(
                f'task.payload is {self.payload:g}; write a mass in kg, or -1 for none'
            )

    @property
    def words(self) -> dict[str, Any]:
        """The words of `System.from_urdf` that differ from the defaults here."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {f.name: given[f.name] for f in fields(self) if given[f.name] != f.default}
        if self.locked:
            changed['locked'] = parse_settings(self.locked)
        return changed

    def require_none(self, name: str) -> None:
        """Refuses a task where a checkpoint brings its own.

        Raises:
            ValueError: if there is any; the message names its first word.
        """
        if self.words:
            raise ValueError(
                f"task.{next(iter(self.words))} goes with a robot's file; '{name}' has a task of "
                'its own'
            )


def _typed(name: str, value: Any, default: Any) -> Any:
    """A field in the type of its default; whole numbers count as numbers, lists become tuples."""
    if isinstance(default, tuple):
        if isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value):
            return tuple(value)
    elif isinstance(default, float):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif type(value) is type(default):
        return value
    example = {(): "a list like ['elbow']", '': "a text like 'tool0'"}
    wanted = example.get(default, f'a number like {default}')
    raise ValueError(f'task.{name} is {value!r}; write {wanted}')


DEFAULT_TASK = RobotTask()


@functools.cache
def descriptions() -> dict[str, str]:
    """What every field of `RobotTask` means, as it is documented there."""
    (definition,) = ast.parse(inspect.getsource(RobotTask)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for declared, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(declared, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(declared.target, ast.Name)
            found[declared.target.id] = ' '.join(ast.literal_eval(text.value).split())
    return found
