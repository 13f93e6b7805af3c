"""Test problems: states, goals and parameters that are not used in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.problem.system import Array, System
from trc_core.systems.draws import drawn_problem
from trc_core.systems.registry import draw_of

TEST_SEED = 9_000_000  # no training or validation draws its states from this seed


class Problems(NamedTuple):
    """N problems of a system."""

    x0: Array
    """(N, n_x)."""
    goal: Array
    """(N, n_x)."""
    parameters: list[dict[str, float]] | None = None
    """Parameters of every problem by name; None if all have those of the system."""

    def arguments(self, i: int) -> dict[str, Mapping[str, float]]:
        """The keyword arguments of a planner for problem i, beside its start and its goal."""
        return {} if self.parameters is None else {'parameters': self.parameters[i]}

    def rows(self, chosen: NDArray[np.bool_]) -> Problems:
        """The problems that are chosen (N,)."""
        parameters = self.parameters
        if parameters is not None:
            parameters = [row for row, take in zip(parameters, chosen, strict=True) if take]
        return Problems(self.x0[chosen], self.goal[chosen], parameters)


def fresh_problems(system: System, count: int, seed: int = TEST_SEED) -> tuple[Array, Array]:
    """Initial states and goals (N, n_x) that are not used in training."""
    return system.sample(np.random.default_rng(seed), count)


def draw_problems(system: System, count: int, seed: int = TEST_SEED) -> Problems:
    """Problems with parameters from the ranges of a system.

    A system of the catalogue may draw them by a function of its own. Problems whose start violates
    a constraint are drawn again.

    Raises:
        ValueError: if such a start is all that is drawn.
    """
    draw = draw_of(system)
    if draw is None and not (system.ranges or system.task.constraints):
        return Problems(*fresh_problems(system, count, seed))
    rng = np.random.default_rng(seed)
    found = [drawn_problem(system, rng) for _ in range(count)]
    x0, goal, parameters = zip(*found, strict=True)
    return Problems(np.array(x0), np.array(goal), list(parameters) if system.ranges else None)
