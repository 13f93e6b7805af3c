"""What cycles of a network and sweeps are each worth, where the stage `cost` trained them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from trc_core.evaluation.evaluator import Scores
from trc_core.evaluation.problems import draw_problems
from trc_core.evaluation.reference import best_known_optima, starts_needed
from trc_core.lab.experiments.frame import Figures
from trc_core.lab.experiments.page import ratio
from trc_core.lab.markdown import table
from trc_core.numerics.cost import is_success
from trc_core.numerics.plan import Plan, cost_ratio
from trc_core.numerics.rollout import plain
from trc_core.planner.controller import Controller
from trc_core.problem.system import Array, System
from trc_core.solvers.problem import Problem

SEED = 9_500_000  # of the states
CYCLES, SWEEPS = (0, 1, 3, 5), (0, 1, 3)
ALONE = (0, 1, 3, 10)  # sweeps without a network
ENOUGH = 1.001  # mean J/J*, of which the cheapest way is named

Planner = Callable[[Array, Array], Plan]


def cycles_and_sweeps(name: str, states: int, seed: int) -> Figures:
    """Figures of every planner of a shipped system; they take turns, state by state."""
    controller = Controller.load(name)
    system, rows = controller.system, planners(controller)
    problems = draw_problems(system, states, SEED + seed)
    optima = best_known_optima(system, problems, starts_needed(system))
    order = np.random.default_rng(0)
    costs: dict[str, list[float]] = {label: [] for label in rows}
    ends: dict[str, list[Array]] = {label: [] for label in rows}
    seconds: dict[str, list[float]] = {label: [] for label in rows}
    for i in range(-1, states):
        for label in order.permutation(list(rows)):
            began = time.thread_time()
            plan = rows[label](problems.x0[i], problems.goal[i])
            spent = time.thread_time() - began
            if i >= 0:  # the first time compiles and loads
                costs[label].append(plan.cost)
                ends[label].append(plan.states)
                seconds[label].append(spent)
    known, found = optima.solved, {}
    for label in rows:
        ratios = cost_ratio(np.array(costs[label])[known], optima.cost[known])
        success = is_success(system, np.array(ends[label])[known], problems.goal[known])
        scores = Scores.of(ratios, success)
        found[label] = {
            'mean': scores.mean,
            'median': scores.median,
            'max': scores.worst,
            'wrong': scores.wrong,
            'success': scores.success,
            'ms': 1e3 * float(np.median(seconds[label])),
        }
    return {'states': int(known.sum()), 'trained': controller.cycles, 'rows': found}


def planners(controller: Controller) -> dict[str, Planner]:
    """Sweeps from the LQR and from a ladder of LQRs, and every number of cycles and sweeps."""
    system, gains = controller.system, controller.checkpoint.representation.K_start
    found: dict[str, Planner] = {}
    for sweeps in ALONE:
        found[f'LQR + {sweeps} sweeps'] = partial(_swept, system, gains[:1], sweeps)
    for sweeps in ALONE:
        found[f'best of {len(gains)} LQRs + {sweeps} sweeps'] = partial(
            _swept, system, gains, sweeps
        )
    for K in CYCLES:
        twin = Controller(controller.checkpoint, controller.backend, cycles=K, tolerance=0.0)
        for sweeps in SWEEPS:
            found[f'network, K = {K}, {sweeps} sweeps'] = partial(twin.plan, polish=sweeps)
    return found


def _swept(system: System, gains: Array, sweeps: int, x0: Array, goal: Array) -> Plan:
    """The cheapest flight of several LQRs (N, T, n_u, n_x), after sweeps."""
    problem = Problem.of(system, x0, goal)
    still = np.zeros((system.horizon, system.n_u))
    flights = [problem.fly(plain(np.ascontiguousarray(K)), still) for K in gains]
    states, controls, J = min(flights, key=lambda f: f[2] if np.isfinite(f[2]) else np.inf)
    if sweeps:
        J, _, _ = problem.improve(sweeps, states, controls)
    return Plan(controls, states, J, 'sweeps')


def section(figures: Figures) -> str:
    """The table of a system."""
    heads = ['', 'mean J/J*', 'median', 'max', 'wrong', 'success', 'ms']
    return table(heads, [_row(label, row) for label, row in figures['rows'].items()])


def _row(label: str, row: Mapping[str, float]) -> list[str]:
    ratios = [ratio(row[name]) for name in ('mean', 'median', 'max')]
    return [label, *ratios, f'{row["wrong"]:.1%}', f'{row["success"]:.1%}', f'{row["ms"]:.2f}']


def sentence(name: str, figures: Figures) -> str:
    """What a cycle and a sweep are worth, at equal milliseconds."""
    rows = figures['rows']
    own = {label: row for label, row in rows.items() if label.startswith('network')}
    parts = []
    for kind, among in (('with the network', own), ('without', _others(rows))):
        enough = [(row['ms'], label) for label, row in among.items() if row['mean'] <= ENOUGH]
        if enough:
            ms, label = min(enough)
            parts.append(f'{kind} by {label} in {ms:.2f} ms')
        else:
            parts.append(f'{kind} by none of these')
    return f'On {name}, a mean J/J* of {ENOUGH} is reached {" and ".join(parts)}.'


def _others(rows: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    return {label: row for label, row in rows.items() if not label.startswith('network')}
