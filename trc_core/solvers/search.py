"""The best plan of one problem by merit, from many different starts: labels and the truth alike.

Starts are rolled out and ranked by merit; the best that differ get a few sweeps of the augmented
Lagrangian, the best of those get them to the end. How many of each is the `Effort`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trc_core.numerics.plan import Plan, distinct
from trc_core.problem.system import Array, System
from trc_core.solvers.detours import detours, leading_laws
from trc_core.solvers.plans import Plans, improved, rolled_out
from trc_core.solvers.problem import Problem
from trc_core.solvers.starting_points import random_detour

LADDER = (1.0, 10.0, 100.0)  # times R: clipped LQRs from eager to cautious
KNOTS = (2, 8)  # of random controls, between which they are straight
NEAR = 0.02  # mean distance in units of the way and the boxes, within which starts are one
SAME_OPTIMUM = 1e-3  # relative gap in merit within which two plans are one


class Effort(NamedTuple):
    """How hard a problem is searched."""

    random: int
    """Random starts."""
    tried: int
    """Starts that get `first` sweeps."""
    first: int
    kept: int
    """Plans that get `sweeps` more."""
    sweeps: int


LABEL = Effort(random=4, tried=8, first=12, kept=3, sweeps=60)
"""Of a label. Among circles one of 78 plans was more than 2 % dearer than the best one known."""
RESCUE = Effort(random=24, tried=24, first=15, kept=6, sweeps=120)
"""Of a problem whose plan violates a constraint even so."""


def solve(
    system: System,
    x0: ArrayLike,
    goal: ArrayLike,
    seed: int = 0,
    parameters: Mapping[str, float] | None = None,
) -> Plan:
    """The best plan by merit from many different starts, also from ways around obstacles.

    Args:
        system: the plant.
        x0: initial state (n_x,).
        goal: goal state (n_x,), or a reference (T + 1, n_x).
        seed: of the random starts.
        parameters: those that differ from the system's own, by name.

    Returns:
        The plan; see `best_of` for when it counts as converged.

    Raises:
        ValueError: if a shape is wrong or a parameter is unknown.
    """
    problem = Problem.of(system, x0, goal, parameters)
    return best_of(problem, searched(problem, np.random.default_rng(seed)))


def best_of(problem: Problem, found: Plans) -> Plan:
    """The best plan of a search.

    It counts as converged where its sweeps did, and wherever it keeps the constraints: it is a
    flight, so that its merit holds whatever is left to gain.
    """
    plan = problem.plan(found.controls[0], found.states[0], float(found.merit[0]), 'search')
    system = problem.system
    constrained = bool(system.task.constraints) and np.isfinite(plan.merit)
    keeps = constrained and plan.violation <= system.constraint_tolerance
    return replace(plan, converged=bool(found.converged[0] or keeps))


def searched(problem: Problem, rng: np.random.Generator, known: Array | None = None) -> Plans:
    """`search` with the effort of a label, and with more where the best violates a constraint."""
    found = search(problem, LABEL, rng, known)
    tolerance = problem.system.constraint_tolerance
    if problem.violations(found.states[0], found.controls[0])[1] <= tolerance:
        return found
    return search(problem, RESCUE, rng, known)


def search(
    problem: Problem, effort: Effort, rng: np.random.Generator, known: Array | None = None
) -> Plans:
    """The best plans of a problem.

    Args:
        problem: which.
        effort: how hard.
        rng: of the random starts.
        known: controls (S, T, n_u) that are tried as well, whatever they cost at first.

    Returns:
        At most `effort.kept` plans and those that were not kept behind them.
    """
    starts = rolled_out(problem, all_starts(problem, effort.random, rng))
    chosen = starts.rows(_different(problem, starts, effort.tried))
    if known is not None and len(known):
        chosen = rolled_out(problem, known).joined(chosen)
    tried = improved(problem, chosen, effort.first).best_first()
    kept = distinct(tried.merit, effort.kept, SAME_OPTIMUM)
    return improved(problem, tried.rows(kept), effort.sweeps).best_first()


def all_starts(problem: Problem, random: int, rng: np.random.Generator) -> Array:
    """Controls (S, T, n_u) of all starts of a problem, before any sweep.

    The LQR of a ladder of R, clipped; the trim, held; what every law of the plant does; the same
    along every way around the obstacles; and as many random ones, half of them detours where a
    law leads to the goal, else smooth controls.
    """
    system = problem.system
    starts = [problem.hold_trim()[1], *(flown[1] for flown in problem.fly_laws().values())]
    starts += [flown[1] for flown in problem.fly_ladder(LADDER)]
    leading = leading_laws(system)
    for i in range(random):
        if leading and i % 2 == 0:
            starts.append(random_detour(problem, leading[i // 2 % len(leading)], rng)[1])
        else:
            starts.append(_smooth(problem, rng))
    _, controls, merits = detours(problem)
    return np.concatenate([np.array(starts), controls[np.isfinite(merits)]])


def _smooth(problem: Problem, rng: np.random.Generator) -> Array:
    """Random controls (T, n_u), straight between a few knots."""
    system, (T, n_u) = problem.system, problem.trim.shape
    count = int(rng.integers(*KNOTS, endpoint=True))
    knots = rng.uniform(system.u_min, system.u_max, (count, n_u))
    place = np.linspace(0.0, count - 1.0, T)
    return np.column_stack([np.interp(place, np.arange(count), knots[:, i]) for i in range(n_u)])


def _different(problem: Problem, plans: Plans, count: int) -> NDArray[np.int64]:
    """The cheapest plans that lie apart, at most `count`, in order."""
    system = problem.system
    flat = (plans.states / np.where(system.reach > 0.0, system.reach, 1.0)).reshape(
        len(plans.merit), -1
    )
    chosen: list[int] = []
    for n in np.argsort(plans.merit, kind='stable'):
        if len(chosen) == count or not np.isfinite(plans.merit[n]):
            break
        gaps = [np.mean(np.abs(flat[n] - flat[other])) for other in chosen]
        if not gaps or min(gaps) > NEAR:
            chosen.append(int(n))
    return np.array(chosen, dtype=np.int64)
