"""Several starts for one problem: LQR, a straight line, and random plans that are caught.

A random plan runs under gated LQR feedback, u_t = clip(u_trim + v_t - w(x_t) K_t e_t) with
w = 1 / (1 + s^2) and s = e' G e (`representation.catching_law`): far from the goal v acts alone,
near it the LQR catches.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import count

import numpy as np

from trc_core.numerics.cost import difference
from trc_core.numerics.plan import Plan
from trc_core.numerics.random_controls import random_controls
from trc_core.numerics.representation import catching_law
from trc_core.numerics.rollout import Law
from trc_core.problem.system import STOP, Array, System
from trc_core.solvers.initial_guess import guess
from trc_core.solvers.problem import Problem

AGREEMENT = 1e-3  # relative gap in J within which two starts have found the same optimum
DETOUR, UNTIL = 0.3, (0.2, 0.8)  # spread of random detours, and shares of the horizon they take


def starting_points(
    problem: Problem, starts: int, seed: int = 0
) -> Iterator[tuple[str, Array, Array]]:
    """Yields `starts` times (name, states (T + 1, n_x), controls (T, n_u)).

    First the clipped LQR, then what the laws of the plant do, a straight line with the trim (no
    trajectory of the plant), where there are laws or constraints the trim, held, and then random
    plans, which depend on nothing but the seed, x0 and goal: random detours where the plant has a
    law that leads to the goal.
    """
    for _, start in zip(range(starts), _every_start(problem, seed), strict=False):
        yield start


def _every_start(problem: Problem, seed: int) -> Iterator[tuple[str, Array, Array]]:
    system, x0, goal = problem.system, problem.x0, problem.goal
    yield 'lqr', *guess(problem)[:2]
    for name, flown in problem.fly_laws().items():
        yield f'law {name}', *flown[:2]
    yield 'line', *straight_line(problem)
    if system.laws or system.task.constraints:
        yield 'trim', *problem.hold_trim()[:2]
    key = np.frombuffer(x0.tobytes() + goal.tobytes(), dtype=np.uint32)
    rng = np.random.default_rng([seed, *key])
    leading = [name for name in system.laws if name != STOP]
    for i in count(1):
        if leading:  # what a law does is nearer to a good plan than random controls
            yield f'detour {i}', *random_detour(problem, leading[i % len(leading)], rng)
        else:
            yield f'random {i}', *random_start(problem, rng)


def straight_line(problem: Problem) -> tuple[Array, Array]:
    """States (T + 1, n_x) from x0 that drift onto the reference, and its trim (T, n_u)."""
    share = np.linspace(0.0, 1.0, problem.system.horizon + 1)[:, None]
    gap = difference(problem.system, problem.r[0], problem.x0)
    return problem.x0 + share * gap + (problem.r - problem.r[0]), problem.trim.copy()


def random_start(problem: Problem, rng: np.random.Generator) -> tuple[Array, Array]:
    """States and controls of a random piecewise constant plan under gated feedback."""
    system = problem.system
    v = random_controls(rng, system.u_min, system.u_max, system.horizon) - problem.trim
    return problem.fly(_catch(system, problem.goal.tobytes()), v)[:2]


def random_detour(problem: Problem, law: str, rng: np.random.Generator) -> tuple[Array, Array]:
    """States and controls of a law that leads to a random state first, and then to the goal.

    That state lies beside the line to the goal, by a share of the longest way in its unit.
    """
    system, T = problem.system, problem.system.horizon
    gap = difference(system, problem.goal, problem.x0)
    units = np.array(system.state_units)
    longest = np.array([np.abs(gap[units == unit]).max() for unit in units])
    share, spread = rng.uniform(0.0, 1.0), DETOUR * longest
    detour = problem.x0 + share * gap + rng.normal(size=system.n_x) * spread
    r = problem.r.copy()
    r[: int(rng.uniform(*UNTIL) * T)] = detour
    return problem.fly_law(law, r)[:2]


@lru_cache(maxsize=256)
def _catch(system: System, goal: bytes) -> Law:
    return catching_law(system, np.frombuffer(goal))


def agreement(plan: Plan) -> int:
    """Number of the plan's `candidates` that found its optimum; 1 where there was one start."""
    best = plan.merit * (1.0 + AGREEMENT)
    return max(1, sum(merit <= best for merit in plan.candidates.values()))
