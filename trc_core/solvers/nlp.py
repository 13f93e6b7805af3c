"""The reference optimum: multiple shooting in CasADi, solved by IPOPT to a tight tolerance."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trc_core.numerics.cost import is_success, trajectory_cost
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
from trc_core.solvers.initial_guess import initial_guess
from trc_core.solvers.replay import replay
from trc_core.solvers.starting_points import starting_points, straight_line

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
REPLAY_TOLERANCE = 1e-7  # relative gap allowed between IPOPT's J and J of the replayed controls


def solve(
    system: System,
    x0: ArrayLike,
    goal: ArrayLike,
    warm_start: Plan | None = None,
    starts: int = 1,
    seed: int = 0,
) -> Plan:
    """The optimum of J inside the bounds (a local one where the problem is not convex).

    Args:
        system: the plant.
        x0: initial state (n_x,).
        goal: goal state (n_x,).
        warm_start: a plan to start from; by default the clipped LQR, or where that misses the
            goal, a straight line to it.
        starts: when above 1, the best from this many `starting_points` (and the warm start).
        seed: of the random ones among them.

    Returns:
        The optimal controls, clipped into the bounds, and their trajectory on the true dynamics.
        `converged` is True when IPOPT met its tolerance and the replayed J agrees with it;
        `candidates` holds J of every start that converged, `cycles` the iterations of them all.

    Raises:
        ValueError: if a shape is wrong or `starts` is less than 1.
    """
    if starts < 1:
        raise ValueError(f'starts is {starts}, expected at least 1')
    goal = np.ascontiguousarray(goal, dtype=np.float64)
    if starts == 1:
        x, u = _start(system, x0, goal, warm_start)
        return _optimise(system, goal, x, u)
    points = list(starting_points(system, x0, goal, starts, seed))
    if warm_start is not None:
        points.insert(0, ('warm start', *initial_guess(system, x0, goal, warm_start)[:2]))
    plans = {name: _optimise(system, goal, x, u) for name, x, u in points}
    best = min(plans.values(), key=lambda plan: (not plan.converged, plan.cost))
    return replace(
        best,
        cycles=sum(plan.cycles for plan in plans.values()),
        candidates={name: plan.cost for name, plan in plans.items() if plan.converged},
    )


def _optimise(system: System, goal: Array, x: Array, u: Array) -> Plan:
    """IPOPT from the guess x (T + 1, n_x), u (T, n_u)."""
    scale = max(float(trajectory_cost(system, x, u, goal[None])), 1e-9)
    solver = _program(_ByContents(system))
    T, n_x, n_u = system.horizon, system.n_x, system.n_u
    free = np.full(T * n_x, np.inf)
    answer = solver(
        x0=np.concatenate([u.ravel(), x[1:].ravel()]),
        lbx=np.concatenate([np.tile(system.u_min, T), -free]),
        ubx=np.concatenate([np.tile(system.u_max, T), free]),
        lbg=0.0,
        ubg=0.0,
        p=np.concatenate([x[0], goal, [1.0 / scale]]),
    )
    u = np.asarray(answer['x'])[: T * n_u].reshape(T, n_u).clip(system.u_min, system.u_max)
    x, J = replay(system, x[0].copy(), goal, u)
    claimed = float(answer['f']) * scale
    statistics = solver.stats()
    converged = statistics['return_status'] == 'Solve_Succeeded' and (
        abs(J - claimed) <= REPLAY_TOLERANCE * scale
    )
    return Plan(u, x, J, 'nlp', bool(converged), int(statistics['iter_count']))


def _start(
    system: System, x0: ArrayLike, goal: Array, warm_start: Plan | None
) -> tuple[Array, Array]:
    """The guessed states (T + 1, n_x) and controls (T, n_u); shooting need not start feasible."""
    x, u, _ = initial_guess(system, x0, goal, warm_start)
    if warm_start is not None or is_success(system, x, goal):
        return x, u
    # The LQR misses the goal, and following it (a fallen pole) leads to poor local optima.
    return straight_line(system, x[0], goal)


class _ByContents:
    """A system as a cache key: equal when the dynamics and the contract are."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.contents = system.dynamics, json.dumps(system.contract(), sort_keys=True)

    def __hash__(self) -> int:
        return hash(self.contents)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByContents) and self.contents == other.contents


@lru_cache(maxsize=16)
def _program(key: _ByContents) -> Any:
    """The NLP over (u_0..u_{T-1}, x_1..x_T) with parameters (x_0, goal, 1 / scale)."""
    import casadi as ca

    from trc_core.compile.casadi_reader import casadi_step

    system = key.system
    step = casadi_step(system)
    U = ca.SX.sym('u', system.n_u, system.horizon)
    X = ca.SX.sym('x', system.n_x, system.horizon)
    x0, goal = ca.SX.sym('x0', system.n_x), ca.SX.sym('goal', system.n_x)
    inverse_scale = ca.SX.sym('inverse_scale')
    states = ca.horzcat(x0, X)
    defects = X - step.map(system.horizon)(states[:, :-1], U)
    J = trajectory_cost(system, _scalars(states), _scalars(U), _scalars(goal))
    problem = {
        'x': ca.veccat(U, X),
        'f': inverse_scale * J,
        'g': ca.vec(defects),
        'p': ca.vertcat(x0, goal, inverse_scale),
    }
    return ca.nlpsol('solver', 'ipopt', problem, OPTIONS)


def _scalars(columns: Any) -> Any:
    """The entries of a CasADi matrix (n, N) as an array (N, n) of scalars."""
    import casadi as ca

    rows = [ca.vertsplit(column) for column in ca.horzsplit(columns)]
    return np.array(rows, dtype=object).reshape(columns.shape[1], columns.shape[0])
