"""Several starts for one problem: LQR, a straight line, and random plans that are caught.

A random plan runs under gated LQR feedback, u_t = clip(u_trim + v_t - w(x_t) K_t e_t) with
w = 1 / (1 + s^2) and s = e' G e (`representation.catching_law`): far from the goal v acts alone,
near it the LQR catches.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from trc_core.numerics.batch import roll_out
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.plan import Plan
from trc_core.numerics.representation import catching_law
from trc_core.numerics.rollout import Law
from trc_core.problem.system import Array, System
from trc_core.solvers.initial_guess import initial_guess

SEGMENTS = (2, 16)  # a random plan holds its control over one of this many segments
AGREEMENT = 1e-3  # relative gap in J within which two starts have found the same optimum


def starting_points(
    system: System, x0: ArrayLike, goal: ArrayLike, starts: int, seed: int = 0
) -> Iterator[tuple[str, Array, Array]]:
    """Yields `starts` times (name, states (T + 1, n_x), controls (T, n_u)).

    First the clipped LQR, then a straight line with u = u_trim (no trajectory of the plant),
    then random plans, which depend on nothing but the seed, x0 and goal.
    """
    x0 = np.ascontiguousarray(x0, dtype=np.float64)
    goal = np.ascontiguousarray(goal, dtype=np.float64)
    states, controls, _ = initial_guess(system, x0, goal)
    yield 'lqr', states, controls
    if starts > 1:
        yield 'line', *straight_line(system, x0, goal)
    key = np.frombuffer(x0.tobytes() + goal.tobytes(), dtype=np.uint32)
    rng = np.random.default_rng([seed, *key])
    for i in range(2, starts):
        yield f'random {i - 1}', *random_start(system, x0, goal, rng)


def straight_line(system: System, x0: Array, goal: Array) -> tuple[Array, Array]:
    """States (T + 1, n_x) on the line from x0 to goal, and the trim control (T, n_u)."""
    share = np.linspace(0.0, 1.0, system.horizon + 1)[:, None]
    return (1.0 - share) * x0 + share * goal, np.tile(system.u_trim, (system.horizon, 1))


def random_start(
    system: System, x0: Array, goal: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """States and controls of a random piecewise constant plan under gated feedback."""
    T = system.horizon
    segments = int(rng.integers(SEGMENTS[0], SEGMENTS[1] + 1))
    levels = rng.uniform(system.u_min, system.u_max, (segments, system.n_u)) - system.u_trim
    v = levels[np.arange(T) * segments // T]
    r = constant_reference(goal, T)
    return roll_out(system, _catch(system, goal.tobytes()), v, x0, r)[:2]


@lru_cache(maxsize=256)
def _catch(system: System, goal: bytes) -> Law:
    return catching_law(system, np.frombuffer(goal))


def agreement(plan: Plan) -> int:
    """Number of the plan's `candidates` that found its optimum; 1 where there was one start."""
    best = plan.cost * (1.0 + AGREEMENT)
    return max(1, sum(cost <= best for cost in plan.candidates.values()))
