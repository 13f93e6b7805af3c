"""What determines a dataset: the system, the expert, how many samples, which seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
from trc_core.solvers import ilqr, lqr, minimum_energy, multistart, nlp, qp

EXPERTS: dict[str, Callable[..., Plan]] = {
    'nlp': nlp.solve,
    'multistart': multistart.solve,
    'ilqr': ilqr.solve,
    'qp': qp.solve,
    'lqr': lqr.solve,
    'minimum_energy': minimum_energy.solve,
}
DEFAULT_STARTS = {'nlp': 1, 'multistart': multistart.STARTS}  # the experts that know starts
AUTO = 'auto'
SHARD = 50


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the arrays of a dataset."""

    system: System
    expert: str = 'nlp'
    num_samples: int = 10000
    seed: int = 0
    starts: int | None = None
    """Starts per state of the experts that know starts; None is the expert's default."""

    def __post_init__(self) -> None:
        if self.expert not in EXPERTS:
            raise ValueError(f"unknown expert '{self.expert}'; choose from {list(EXPERTS)}")
        if self.num_samples < 1 or self.seed < 0:
            raise ValueError('num_samples must be positive and seed not negative')
        if self.starts is None:
            object.__setattr__(self, 'starts', DEFAULT_STARTS.get(self.expert, 1))
        elif self.starts < 1:
            raise ValueError(f'starts is {self.starts}, expected at least 1')
        elif self.starts > 1 and self.expert not in DEFAULT_STARTS:
            raise ValueError(
                f"the expert '{self.expert}' has one start; choose from {list(DEFAULT_STARTS)}"
            )

    def record(self) -> dict[str, Any]:
        """The recipe as JSON values."""
        return {
            'system': self.system.contract(),
            'expert': self.expert,
            'num_samples': self.num_samples,
            'seed': self.seed,
            'starts': self.starts,
        }

    def digest(self) -> str:
        """A short name of the recipe, the plant's equations and how it is cut into shards."""
        made_of = [self.record(), self.system.graph.digest, SHARD]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]

    def shards(self) -> Iterator[tuple[int, int]]:
        """(index, number of samples) of every shard."""
        for index, first in enumerate(range(0, self.num_samples, SHARD)):
            yield index, min(SHARD, self.num_samples - first)

    def solve(self, x0: Array, goal: Array) -> Iterable[Plan]:
        """The expert's plans for x0 (B, n_x) and goal (B, n_x), in order."""
        options = {'starts': self.starts, 'seed': self.seed}
        if self.expert == 'multistart':
            return multistart.solve_batch(self.system, x0, goal, **options)  # type: ignore[arg-type]
        solve = EXPERTS[self.expert]
        if self.expert in DEFAULT_STARTS:
            solve = partial(solve, **options)
        return (solve(self.system, a, b) for a, b in zip(x0, goal, strict=True))


def suitable_expert(system: System) -> tuple[str, str]:
    """The expert to use on an unfamiliar system, and why, in one line."""
    expert = 'multistart' if multistart.is_needed(system) else 'nlp'
    return expert, (
        f"expert auto: '{expert}', because the clipped LQR misses the goal from "
        f'{multistart.lqr_misses(system):.0%} of the states'
    )
