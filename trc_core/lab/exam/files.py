"""Exam files: a problem that others published, as a `System` and some names beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trc_core.evaluation.problems import TEST_SEED
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
from trc_core.systems.draws import drawn_problem
from trc_core.systems.registry import get_system, module_of

FOLDER = Path('examples/exams')
SOURCE = 'Source: '

Reference = Callable[[float, Array], Array]
"""The reference (T + 1, n_x) of a plan that begins at a time [s] in a state (n_x,)."""


@dataclass(frozen=True)
class Exam:
    """One problem that others published."""

    path: Path
    system: System
    title: str
    """What has to be done, in one sentence."""
    source: str
    """The project or the paper that it is from."""
    start: Array
    """The state (n_x,) that the source starts from; `START` of the file."""
    reference: Reference | None
    """Where the goal moves; `reference` of the file."""
    once: bool
    """Whether one plan leads to the end, and there is nothing to hold; `ONCE` of the file."""
    constant: float
    """A part of J that no plan changes; `CONSTANT` of the file."""
    published: Callable[[Plan], tuple[float, float]] | None
    """The source's figure of a plan from its start and ours; `published` of the file."""

    def goal(self, time: float, x: Array, fixed: Array) -> Array:
        """The reference (T + 1, n_x) at a time [s] and a state (n_x,); `fixed` if none moves."""
        return fixed if self.reference is None else self.reference(time, x)

    @property
    def runs_ahead(self) -> bool:
        """Whether the reference begins where the plant is, wherever that may be."""
        if self.reference is None:
            return False
        here, there = (self.reference(0.0, self.start + shift)[0] for shift in (0.0, 1.0))
        return not np.array_equal(here, there)

    def problems(self, count: int, seed: int = TEST_SEED) -> list[tuple[Array, Array]]:
        """Starts (n_x,) and fixed goals (n_x,): the source's own first, then drawn ones."""
        rng = np.random.default_rng(seed)
        drawn = [drawn_problem(self.system, rng)[:2] for _ in range(count - 1)]
        return [(self.start, self.system.goal_centre), *drawn]


def load(path: Path) -> Exam:
    """The exam that a file states.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it defines no `System`, no `START` of its size, or names no source.
    """
    system = get_system(str(path))
    module = module_of(path)
    title, _, rest = ' '.join((module.__doc__ or '').split()).partition(SOURCE)
    if not rest:
        raise ValueError(f"'{path}' names no source; write '{SOURCE}project, file' above its code")
    named = vars(module)
    start = np.array(named.get('START', ()), dtype=np.float64)
    if start.shape != (system.n_x,):
        raise ValueError(
            f"'{path}' needs START, the {system.n_x} states that its source begins in"
        )
    return Exam(
        path,
        system,
        title.strip(),
        rest.partition(',')[0],
        start,
        named.get('reference'),
        bool(named.get('ONCE', system.final_time is not None)),
        float(named.get('CONSTANT', 0.0)),
        named.get('published'),
    )


def paths_of(names: Iterable[str], folder: Path = FOLDER) -> list[Path]:
    """The files of exams: all of a folder, or some by name or by path.

    Raises:
        FileNotFoundError: if there is none; the message names those that there are.
    """
    known = {path.stem: path for path in sorted(folder.glob('*.py'))}
    asked = list(names)
    if not asked and not known:
        raise FileNotFoundError(f"no exams in '{folder}'; run in a checkout, or give their files")
    return [_path_of(name, known, folder) for name in asked] or list(known.values())


def _path_of(name: str, known: dict[str, Any], folder: Path) -> Path:
    path = Path(name)
    if path.suffix == '.py' and path.is_file():
        return path
    if path.stem not in known:
        raise FileNotFoundError(f"no exam '{name}' in '{folder}'; choose from {list(known)}")
    return Path(known[path.stem])
