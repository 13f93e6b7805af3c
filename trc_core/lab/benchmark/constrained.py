"""The section about constraints: a car among circles, planned without a network.

Plans from the line that the plant's own law drives, by sweeps, IPOPT and fatrop from the same
start; then flights with noise, beside those of a controller that converges at every tick.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trc_core.evaluation.problems import TEST_SEED
from trc_core.lab.benchmark.interleaved import SHUFFLE_SEED
from trc_core.lab.benchmark.options import Options
from trc_core.lab.markdown import table
from trc_core.numerics.cost import difference, stage_cost, terminal_cost
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.problem.parameters import moved
from trc_core.problem.system import STOP, Array, System
from trc_core.progress import progress_bar
from trc_core.solvers import fatrop
from trc_core.solvers.fatrop import FATROP
from trc_core.solvers.nlp import IPOPT, Method, answer, flown, optimise
from trc_core.solvers.problem import Problem
from trc_core.systems.bicycle_circles import bicycle_circles, draw

SWEEPS = 60
LINE = 'line'  # the law whose flight is the start
REACHED, NEAR, INSIDE = 1e-3, 1.001, 1e-2  # violation [m], J over IPOPT's, violation [m]
LOST = 0.05  # [m] inside a circle
AT_REST = ('trim', STOP)  # sources of plans that give up
NOISE = np.array([0.005, 0.005, 0.01, 0.02, 0.005])  # standard deviations, added at every tick
NOISE_SEED = 1
OURS = f'trc, {SWEEPS} sweeps'
KINDS = {'fixed circles': False, 'moving circles': True}

Solver = Callable[[Problem, Array, Array], tuple[Plan, float]]
"""Problem, start x and u -> plan, CPU seconds."""


def among_circles(options: Options, results: dict[str, Any]) -> None:
    """Share reached, CPU time and flights of a car among circles, beside IPOPT and fatrop."""
    results['plans'] = plans_from_the_line(options.states)
    for kind, moving in KINDS.items():
        results[kind] = flights(options.states, moving)


@dataclass
class Record:
    """Plans of one solver, judged by IPOPT from their own ends."""

    seconds: list[float] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)
    reached: list[bool] = field(default_factory=list)
    inside: list[bool] = field(default_factory=list)
    wedged: list[bool] = field(default_factory=list)
    ratio: list[float] = field(default_factory=list)
    """J over that of IPOPT from there, where that converged."""

    def add(self, problem: Problem, plan: Plan, seconds: float) -> None:
        """Judges a plan."""
        again = optimise(IPOPT, problem, plan.states, plan.controls)
        ratio = plan.cost / again.cost
        inside = not plan.violation <= INSIDE
        self.seconds.append(seconds)
        self.cycles.append(plan.cycles)
        self.inside.append(inside)
        self.wedged.append(inside and not again.converged)
        self.reached.append(again.converged and plan.violation <= REACHED and ratio <= NEAR)
        if again.converged and not inside:
            self.ratio.append(ratio)

    def figures(self) -> dict[str, float]:
        """Shares, medians and 90th percentiles."""
        free, milliseconds = ~np.array(self.wedged), 1e3 * np.array(self.seconds)
        return {
            'count': len(self.seconds),
            'reached': float(np.mean(self.reached)),
            'reached, not wedged': float(np.mean(np.array(self.reached)[free])),
            'wedged': float(np.mean(self.wedged)),
            'inside': float(np.mean(self.inside)),
            'ratio': float(np.median(self.ratio)) if self.ratio else float('nan'),
            'cycles': float(np.median(self.cycles)),
            'cycles p90': float(np.quantile(self.cycles, 0.9)),
            'ms': float(np.median(milliseconds)),
            'ms p90': float(np.quantile(milliseconds, 0.9)),
        }


def plans_from_the_line(states: int) -> dict[str, dict[str, float]]:
    """Figures by solver, all from the same start; they take turns in a random order."""
    solvers: dict[str, Solver] = {OURS: _sweeps, 'IPOPT': _by(IPOPT)}
    if fatrop.is_available():
        solvers['fatrop'] = _by(FATROP)
    records = {label: Record() for label in solvers}
    rng, order = np.random.default_rng(TEST_SEED), np.random.default_rng(SHUFFLE_SEED)
    for i in progress_bar(range(-1, states), 'from the line', leave=False):
        x0, goal, parameters = draw(rng)
        problem = Problem.of(bicycle_circles, x0, goal, parameters)
        x, u, _ = problem.fly_law(LINE, problem.r)
        for label in order.permutation(list(solvers)):
            plan, seconds = solvers[label](problem, x.copy(), u.copy())
            if i >= 0:  # the first problem compiles and builds programs
                records[label].add(problem, plan, seconds)
    return {label: record.figures() for label, record in records.items()}


def _sweeps(problem: Problem, x: Array, u: Array) -> tuple[Plan, float]:
    _ = problem.plant
    began = time.process_time()
    merit, spent, converged = problem.improve(SWEEPS, x, u)
    seconds = time.process_time() - began
    return problem.plan(u, x, merit, 'ilqr', converged, spent), seconds


def _by(method: Method) -> Solver:
    def solve(problem: Problem, x: Array, u: Array) -> tuple[Plan, float]:
        began = time.process_time()
        found = answer(method, problem, x, u)
        seconds = time.process_time() - began
        return flown(method, problem, found), seconds

    return solve


@dataclass
class Flight:
    """One flight."""

    cost: float
    deepest: float
    """How far it ever was inside a circle [m]; negative: how near it came."""
    seconds: list[float]
    """CPU time of every plan but the first."""


def flights(states: int, moving: bool) -> dict[str, Any]:
    """Figures of flights with noise, each beside one that converges at every tick.

    Problems for which no way is found at first are left out, and counted.
    """
    controller = Controller.classical(bicycle_circles)
    controller.warm_up()
    rng = np.random.default_rng(TEST_SEED + 1 + moving)
    ours: list[Flight] = []
    converged: list[Flight] = []
    left_out = 0
    bar = progress_bar(total=states, label='moving' if moving else 'fixed', leave=False)
    while len(ours) < states:
        x0, goal, parameters = draw(rng, moving)
        first = controller.plan(x0, goal, parameters=parameters)
        if first.violation > INSIDE or first.source in AT_REST:
            left_out += 1
            continue
        noise = np.random.default_rng([NOISE_SEED, len(ours)]).normal(
            size=(bicycle_circles.horizon, bicycle_circles.n_x)
        )
        for found, polish in ((ours, 0), (converged, SWEEPS)):
            found.append(fly(controller, x0, goal, parameters, NOISE * noise, polish))
        bar.update()
    bar.close()
    ratio = np.array([a.cost / b.cost for a, b in zip(ours, converged, strict=True)])
    return {
        'count': states,
        'left out': left_out,
        'cost': sum(flight.cost for flight in ours) / sum(flight.cost for flight in converged),
        'ratio': float(ratio.mean()),
        'ratio max': float(ratio.max()),
        'trc': _figures(ours),
        'converged': _figures(converged),
    }


def _figures(found: list[Flight]) -> dict[str, float]:
    milliseconds = 1e3 * np.concatenate([flight.seconds for flight in found])
    deepest = np.array([flight.deepest for flight in found])
    return {
        'deepest mm': 1e3 * float(deepest.max()),
        'lost': float(np.mean(deepest > LOST)),
        'ms': float(np.median(milliseconds)),
        'ms p99': float(np.quantile(milliseconds, 0.99)),
    }


def fly(
    controller: Controller,
    x: Array,
    goal: Array,
    parameters: Mapping[str, float],
    noise: Array,
    polish: int,
) -> Flight:
    """Flies one plan horizon with noise (T, n_x) added to the state at every tick.

    Args:
        controller: plans at every tick from the plan before.
        x: initial state (n_x,).
        goal: goal state (n_x,).
        parameters: where the circles are at the beginning, and how they move.
        noise: what is added.
        polish: the most sweeps of a tick, where more than one.
    """
    system, J, deepest = controller.system, 0.0, -np.inf
    plan, seconds = None, []
    for t, push in enumerate(noise):
        # plan, with the circles where they are now
        now = moved(system, parameters, t * system.dt)
        began = time.process_time()
        plan = controller.plan(x, goal, plan, polish=polish, parameters=now)
        seconds.append(time.process_time() - began)
        # one tick of the plant
        u = plan.controls[0]
        J += float(stage_cost(system, difference(system, x, goal), u))
        x = system.step(x, u) + push
        deepest = max(deepest, depth(system, x, moved(system, parameters, (t + 1) * system.dt)))
    J += float(terminal_cost(system, difference(system, x, goal)))
    return Flight(J, deepest, seconds[1:])


def depth(system: System, x: Array, parameters: Mapping[str, float]) -> float:
    """How far x (n_x,) is inside the deepest round obstacle [m]; negative outside of all."""
    known = [o for o in system.obstacles if o.radius in parameters]
    return max(
        parameters[o.radius] - float(np.hypot(x[0] - parameters[o.x], x[1] - parameters[o.y]))
        for o in known
    )


def pages(results: Mapping[str, Any]) -> Iterator[str]:
    """The section of the page."""
    if not results.get('plans'):
        return
    yield '## Constraints'
    yield (
        'A car among 3 to 6 circles (`bicycle_circles`), without a network. All from the same '
        'start, the flight of the law that drives to the goal; in a random order, problem by '
        'problem. *Reached*: at most 1 mm inside, and J within 0.1 % of IPOPT started from where '
        'the method ended. *Wedged*: more than 1 cm inside, and IPOPT fails from there too. CPU '
        'milliseconds of the solver alone.'
    )
    heads = ['', 'reached', 'of those not wedged', 'wedged', '> 1 cm', 'J over IPOPT from there']
    heads += ['sweeps, iterations (p90)', 'ms median', 'ms p90', 'n']
    yield table(heads, [_row(label, row) for label, row in results['plans'].items()])
    yield (
        f'Flights of one horizon with noise of 5 mm, 10 mrad, 0.02 m/s and 5 mrad a tick: '
        f'`Controller.classical`, one sweep a tick, beside the same controller with up to '
        f'{SWEEPS} sweeps a tick, in the same noise. *Lost*: more than {1e3 * LOST:.0f} mm inside '
        'a circle. *Left out*: no way was found at first. CPU milliseconds of a whole plan call.'
    )
    heads = ['', 'cost over converged MPC', 'ratio mean (max)', 'deepest mm', 'lost']
    heads += ['ms a tick (p99)', 'converged: deepest mm', 'lost', 'ms a tick', 'n', 'left out']
    yield table(heads, [_flight_row(k, results[k]) for k in KINDS if k in results])


def _row(label: str, row: Mapping[str, float]) -> list[str]:
    shares = ('reached', 'reached, not wedged', 'wedged', 'inside')
    return [
        label,
        *(f'{row[name]:.1%}' for name in shares),
        f'{row["ratio"]:.6f}',
        f'{row["cycles"]:.0f} ({row["cycles p90"]:.0f})',
        f'{row["ms"]:.2f}',
        f'{row["ms p90"]:.2f}',
        str(row['count']),
    ]


def _flight_row(kind: str, row: Mapping[str, Any]) -> list[str]:
    ours, theirs = row['trc'], row['converged']
    return [
        kind,
        f'{row["cost"]:.4f}',
        f'{row["ratio"]:.4f} ({row["ratio max"]:.4f})',
        f'{ours["deepest mm"]:.1f}',
        f'{ours["lost"]:.1%}',
        f'{ours["ms"]:.3f} ({ours["ms p99"]:.3f})',
        f'{theirs["deepest mm"]:.1f}',
        f'{theirs["lost"]:.1%}',
        f'{theirs["ms"]:.3f}',
        str(row['count']),
        str(row['left out']),
    ]
