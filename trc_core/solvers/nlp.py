"""The reference optimum: multiple shooting in CasADi, solved by IPOPT to a tight tolerance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from trc_core.numerics.cost import is_success, trajectory_cost
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
from trc_core.solvers import free_time_nlp
from trc_core.solvers.free_time import TimedProblem
from trc_core.solvers.initial_guess import cheapest_start, guess
from trc_core.solvers.problem import Problem
from trc_core.solvers.starting_points import starting_points, straight_line
from trc_core.solvers.transcription import ByContents, Program, joined, program_of

OPTIONS: dict[str, Any] = {
    'print_time': False,
    'ipopt.print_level': 0,
    'ipopt.sb': 'yes',
    'ipopt.tol': 1e-10,
    'ipopt.max_iter': 500,
    # An 'acceptable' stop is a failure to reach the tolerance: do not take it for an optimum.
    'ipopt.acceptable_iter': 0,
    # The objective is scaled by the start's cost, which suits IPOPT better than its own guess.
    'ipopt.nlp_scaling_method': 'none',
    'ipopt.bound_relax_factor': 0.0,
    'ipopt.mu_strategy': 'adaptive',
}
REPLAY_TOLERANCE = 1e-7  # relative gap allowed between the solver's J and J of the replayed plan
FEASIBLE = 1e-6  # violation of a constraint, in its unit, that a converged plan may have


@dataclass(frozen=True)
class Method:
    """A solver of nonlinear programs that CasADi offers."""

    source: str
    """The name of its plans."""
    plugin: str
    """CasADi's name of it."""
    options: Callable[[Program], dict[str, Any]]
    limits: Callable[[Program], dict[str, Array]] = attrgetter('limits')

    def solver(self, system: System) -> tuple[Program, Any]:
        """The program of a system, and CasADi's solver for it; both are built once."""
        return _solver(self, ByContents(system))


IPOPT = Method('nlp', 'ipopt', lambda program: OPTIONS)


@lru_cache(maxsize=16)
def _solver(method: Method, key: ByContents) -> tuple[Program, Any]:
    import casadi as ca

    program = program_of(key)
    options = method.options(program)
    return program, ca.nlpsol('solver', method.plugin, program.expressions, options)


def solve(
    system: System,
    x0: ArrayLike,
    goal: ArrayLike,
    warm_start: Plan | None = None,
    starts: int = 1,
    seed: int = 0,
    parameters: Mapping[str, float] | None = None,
) -> Plan:
    """The optimum of J inside the bounds and constraints (a local one if it is not convex).

    Args:
        system: the plant.
        x0: initial state (n_x,).
        goal: goal state (n_x,), or a reference (T + 1, n_x).
        warm_start: a plan to start from; by default the clipped LQR, or where that misses the
            goal, the cheapest of it and what the laws of the plant do; without laws, a straight
            line to the goal. Of a free duration: the best of the laws and of the trim.
        starts: when above 1, the best from this many `starting_points` (and the warm start).
        seed: of the random ones among them.
        parameters: those that differ from the system's own, by name.

    Returns:
        The optimal controls, clipped into the bounds, and their trajectory on the true dynamics;
        those of a plant that is unstable over the horizon are corrected by feedback on the way.
        `converged` is True when IPOPT met its tolerance, the replayed J agrees with it and no
        constraint is violated by more than 1e-6; `candidates` holds the merit of every start that
        converged, `cycles` the iterations of them all.

    Raises:
        ValueError: if a shape is wrong, a parameter is unknown or `starts` is less than 1.
    """
    if system.final_time is not None:
        return free_time_nlp.solve(TimedProblem.of(system, x0, goal, parameters), warm_start)
    problem = Problem.of(system, x0, goal, parameters)
    return solve_by(IPOPT, problem, warm_start, starts, seed)


def solve_by(
    method: Method, problem: Problem, warm_start: Plan | None, starts: int, seed: int
) -> Plan:
    """`solve` by a method."""
    if starts < 1:
        raise ValueError(f'starts is {starts}, expected at least 1')
    if starts == 1:
        return optimise(method, problem, *start(problem, warm_start))
    points = list(starting_points(problem, starts, seed))
    if warm_start is not None:
        points.insert(0, ('warm start', *guess(problem, warm_start)[:2]))
    plans = {name: optimise(method, problem, x, u) for name, x, u in points}
    best = min(plans.values(), key=lambda plan: (not plan.converged, plan.merit))
    return replace(
        best,
        cycles=sum(plan.cycles for plan in plans.values()),
        candidates={name: plan.merit for name, plan in plans.items() if plan.converged},
    )


class Answer(NamedTuple):
    """What a solver says of a program."""

    controls: Array
    """(T, n_u), inside the bounds."""
    states: Array
    """(T + 1, n_x), consistent with the dynamics to the solver's tolerance."""
    cost: float
    """J as the solver sees it."""
    scale: float
    """J of the start."""
    iterations: int
    success: bool


def answer(method: Method, problem: Problem, x: Array, u: Array) -> Answer:
    """What a method finds from the guess x (T + 1, n_x), u (T, n_u)."""
    system = problem.system
    program, solver = method.solver(system)
    # the program, in units of the cost of its start
    J = trajectory_cost(system, x, u, problem.r, p=list(problem.p), trim=problem.trim)
    scale = max(float(J), 1e-9)
    assert system.x_min is not None and system.x_max is not None
    guessed = np.clip(x[1:], system.x_min, system.x_max)
    numbers = program.numbers(problem, scale)
    found = solver(x0=joined(u, guessed), p=numbers, **method.limits(program))
    controls, states = program.parts(found['x'])
    controls, states = controls.clip(system.u_min, system.u_max), np.vstack([problem.x0, states])
    statistics = solver.stats()
    iterations, success = int(statistics['iter_count']), bool(statistics['success'])
    return Answer(controls, states, float(found['f']) * scale, scale, iterations, success)


def flown(method: Method, problem: Problem, found: Answer) -> Plan:
    """The plan of an answer, flown on the true dynamics.

    Its controls are flown as they are. Where the plant is so unstable that this leads elsewhere,
    its states are tracked under feedback, which changes controls by the solver's tolerance.
    """
    states, merit = problem.replay(found.controls)
    plan = problem.plan(found.controls, states, merit, method.source, cycles=found.iterations)
    if found.success and not _agrees(plan, found):
        states, controls, merit = problem.track(found.states, found.controls)
        tracked = problem.plan(controls, states, merit, method.source, cycles=found.iterations)
        plan = tracked if tracked.merit < plan.merit else plan
    converged = found.success and _agrees(plan, found) and plan.violation <= FEASIBLE
    return replace(plan, converged=bool(converged))


def _agrees(plan: Plan, found: Answer) -> bool:
    """Whether a plan that was flown costs what the solver says."""
    return abs(plan.cost - found.cost) <= REPLAY_TOLERANCE * found.scale


def optimise(method: Method, problem: Problem, x: Array, u: Array) -> Plan:
    """The optimum that a method finds from the guess x (T + 1, n_x), u (T, n_u)."""
    return flown(method, problem, answer(method, problem, x, u))


def start(problem: Problem, warm_start: Plan | None = None) -> tuple[Array, Array]:
    """The guessed states (T + 1, n_x) and controls (T, n_u); shooting need not start feasible."""
    x, u, _ = guess(problem, warm_start)
    if warm_start is not None or is_success(problem.system, x, problem.goal):
        return x, u
    if problem.system.laws:
        return cheapest_start(problem)[:2]
    # The LQR misses the goal, and following it (a fallen pole) leads to poor local optima.
    return straight_line(problem)
