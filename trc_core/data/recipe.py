"""Recipe of a dataset: the system, the expert, the number of samples, the seed."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from trc_core.numerics.plan import Plan
from trc_core.problem.record import system_record
from trc_core.problem.system import Array, System
from trc_core.solvers.experts import EXPERTS
from trc_core.systems.draws import drawn_problem

SHARD = 50


@dataclass(frozen=True)
class Recipe:
    """All that determines the arrays of a dataset."""

    system: System
    expert: str = 'nlp'
    num_samples: int = 10000
    seed: int = 0
    starts: int | None = None
    """Starts per state of the experts that know starts; None is the expert's default."""

    def __post_init__(self) -> None:
        if self.expert not in EXPERTS:
            raise ValueError(f"unknown expert '{self.expert}'; choose from {list(EXPERTS)}")
        if self.is_free and not EXPERTS[self.expert].free_time:
            able = [name for name, expert in EXPERTS.items() if expert.free_time]
            raise ValueError(
                f"the expert '{self.expert}' plans a fixed duration, and that of "
                f"'{self.system.name}' is free; choose from {able}"
            )
        if self.num_samples < 1 or self.seed < 0:
            raise ValueError('num_samples must be positive and seed not negative')
        default = EXPERTS[self.expert].starts
        if self.starts is None:
            object.__setattr__(self, 'starts', default or 1)
        elif self.starts < 1:
            raise ValueError(f'starts is {self.starts}, expected at least 1')
        elif self.starts > 1 and default is None:
            several = [name for name, expert in EXPERTS.items() if expert.starts]
            raise ValueError(f"the expert '{self.expert}' has one start; choose from {several}")
        if self.draws and not _takes_parameters(self.expert):
            able = [name for name in EXPERTS if _takes_parameters(name)]
            raise ValueError(
                f"the expert '{self.expert}' knows no constraints or ranges; choose from {able}"
            )

    @property
    def draws(self) -> bool:
        """Whether problems are drawn with parameters, and with starts that violate nothing."""
        return bool(self.system.task.constraints) or bool(self.system.ranges)

    @property
    def is_free(self) -> bool:
        """Whether the duration of every trajectory is found by the expert."""
        return self.system.final_time is not None

    def record(self) -> dict[str, Any]:
        """The recipe as JSON values."""
        drawn = {'problems': 'drawn'} if self.draws else {}
        return {
            **drawn,
            'system': system_record(self.system),
            'expert': self.expert,
            'num_samples': self.num_samples,
            'seed': self.seed,
            'starts': self.starts,
        }

    def digest(self) -> str:
        """A short name of the recipe, with its equations, and of how it is cut into shards."""
        made_of = [self.record(), SHARD]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]

    def shards(self) -> Iterator[tuple[int, int]]:
        """(index, number of samples) of every shard."""
        for index, first in enumerate(range(0, self.num_samples, SHARD)):
            yield index, min(SHARD, self.num_samples - first)

    def problems(
        self,
        rng: np.random.Generator,
        count: int,
        hopeless: list[tuple[Array, Array]] | None = None,
    ) -> tuple[Array, Array, list[dict[str, float]] | None]:
        """Starts and goals, each (count, n_x), and parameters where these are drawn as well.

        Draws of which a certificate says that they have no plan are left out, and taken up by
        `hopeless`.
        """
        if not self.draws:
            return *self.system.sample(rng, count), None
        drawn = [drawn_problem(self.system, rng, True, hopeless) for _ in range(count)]
        x0, goal, parameters = zip(*drawn, strict=True)
        return np.array(x0), np.array(goal), list(parameters)

    def solve(
        self, x0: Array, goal: Array, parameters: list[dict[str, float]] | None = None
    ) -> Iterable[Plan]:
        """The expert's plans for x0 (B, n_x) and goal (B, n_x), in order."""
        expert = EXPERTS[self.expert]
        options = {} if expert.starts is None else {'starts': self.starts, 'seed': self.seed}
        if parameters is not None:
            rows = zip(x0, goal, parameters, strict=True)
            return (expert.solve(self.system, a, b, parameters=p, **options) for a, b, p in rows)
        if expert.solve_batch is not None:
            return expert.solve_batch(self.system, x0, goal, **options)
        return (expert.solve(self.system, a, b, **options) for a, b in zip(x0, goal, strict=True))


def _takes_parameters(expert: str) -> bool:
    return 'parameters' in inspect.signature(EXPERTS[expert].solve).parameters
