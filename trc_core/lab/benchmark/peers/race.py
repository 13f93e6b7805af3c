"""The section about peers: first plans and warm ticks of ours and of others, interleaved.

All plan the same problems, on our RK4 step and with our costs: the starts of a system, then ticks
along a flight with noise. Whatever a solver says of itself, its controls are clipped into the
bounds, flown on our dynamics and judged by the merit of that flight.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trc_core.evaluation.problems import draw_problems
from trc_core.lab.benchmark.interleaved import SHUFFLE_SEED, percentiles, reason
from trc_core.lab.benchmark.options import DEFAULT_SYSTEMS, Options
from trc_core.lab.benchmark.peers.acados_peer import Acados
from trc_core.lab.benchmark.peers.casadi_peers import (
    CasadiPeer,
    fatrop_peer,
    ipopt_peer,
    sqp_peer,
    structured_qp,
)
from trc_core.lab.benchmark.peers.crocoddyl_peer import Crocoddyl
from trc_core.lab.benchmark.peers.ours import MppiPeer, Ours
from trc_core.lab.benchmark.peers.peer import Peer
from trc_core.lab.benchmark.peers.torch_mppi import TorchMppi
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.problem.parameters import moved
from trc_core.problem.system import Array, System
from trc_core.progress import progress_bar
from trc_core.solvers import nlp
from trc_core.solvers.problem import Problem
from trc_core.systems import get_system

SYSTEMS = ('van_der_pol', 'cartpole', 'quadrotor', 'bicycle_circles', 'arm')
TICKS = 12  # of a flight after its first plan
NOISE = 2e-3  # standard deviation of the noise of a tick, in boxes of starts
FEASIBLE = 1e-3  # violation, in its unit, that counts as none
SWEEPS = 100  # of the judge, from the best plan
LEAST = 2  # flights of a solver, however slow
NETWORK, CLASSICAL = 'trc, its network', 'trc, classical'
CONVERGED = 50  # iterations of solvers that may converge
Maker = Callable[[System, Options], Peer]

PEERS: Mapping[str, Maker] = {
    NETWORK: lambda system, _: Ours(system, Controller.load(system.name, num_threads=1)),
    CLASSICAL: lambda system, _: Ours(system, Controller.classical(system)),
    'fatrop, tol 1e-6': lambda system, _: fatrop_peer(system),
    'IPOPT, tol 1e-6': lambda system, _: ipopt_peer(system),
    'sqpmethod, 1 iteration': lambda system, _: sqp_peer(system, 1),
    'sqpmethod, converged': lambda system, _: sqp_peer(system, CONVERGED),
    'Crocoddyl BoxFDDP, 1 iteration': lambda system, o: Crocoddyl(system, 1, o.crocoddyl_python),
    'Crocoddyl BoxFDDP, converged': lambda s, o: Crocoddyl(s, CONVERGED, o.crocoddyl_python),
    'MPPI, 512 samples': lambda system, _: MppiPeer(system),
    'pytorch-mppi, 512 samples': lambda system, _: TorchMppi(system),
    'acados RTI': lambda system, _: Acados(system, 1),
    'acados SQP': lambda system, _: Acados(system, CONVERGED),
}


def beside_peers(options: Options, results: dict[str, Any]) -> None:
    """First plans and warm ticks beside fatrop, sqpmethod, Crocoddyl and MPPI, by system."""
    systems = SYSTEMS if options.systems == DEFAULT_SYSTEMS else options.systems
    results.setdefault('QP solver', _qp_solver())
    for name in systems:
        if name not in results:  # an interrupted run goes on
            results[name] = race(get_system(name), options)


def _qp_solver() -> str:
    try:
        return structured_qp()
    except ImportError as error:
        return reason(error)


@dataclass
class Record:
    """Plans of one solver."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {'cold': [], 'warm': []})
    ratio: dict[str, list[float]] = field(default_factory=lambda: {'cold': [], 'warm': []})
    violation: dict[str, list[float]] = field(default_factory=lambda: {'cold': [], 'warm': []})
    functions: list[float] = field(default_factory=list)
    """Share of the time that functions of the program took, where the solver tells."""

    def figures(self) -> dict[str, Any]:
        """Microseconds, merit over the best, and violations, cold and warm."""
        table: dict[str, Any] = {}
        for task, seconds in self.seconds.items():
            ratio, violation = np.array(self.ratio[task]), np.array(self.violation[task])
            table[task] = {
                **percentiles(1e9 * np.array(seconds)),
                'ratio': float(np.median(ratio)),
                'ratio mean': float(ratio.mean()),
                'ratio p90': float(np.quantile(ratio, 0.9)),
                'near': float(np.mean((ratio <= 1.001) & (violation <= FEASIBLE))),
                'violation': float(violation.max()),
            }
        if self.functions:
            table['functions'] = float(np.mean(self.functions))
        return table


def race(system: System, options: Options) -> dict[str, Any]:
    """Figures by solver, and why others are absent."""
    peers: dict[str, Peer] = {}
    absent: dict[str, str] = {}
    for label, maker in PEERS.items():
        try:
            peers[label] = maker(system, options)
        except Exception as error:  # of one solver: the others go on
            absent[label] = str(error) if isinstance(error, FileNotFoundError) else reason(error)
    records = {label: Record() for label in peers}
    order = np.random.default_rng(SHUFFLE_SEED)
    rehearsals = 1  # the first flight compiles
    drawn = draw_problems(system, options.states + rehearsals)
    for i in progress_bar(range(options.states + rehearsals), system.name, leave=False):
        parameters = drawn.parameters[i] if drawn.parameters else None
        noise = np.random.default_rng([SHUFFLE_SEED, i]).normal(size=(TICKS, system.n_x))
        start = drawn.x0[i], drawn.goal[i], parameters, NOISE * system.x0_box * noise
        flying = {label: peers[label] for label in peers if _has_time(records[label], options)}
        for k, problem, plans in flight(system, flying, order, *start):
            if i >= rehearsals:
                _judge(problem, plans, 'warm' if k else 'cold', records, peers)
    return {
        'absent': absent,
        'figures': {label: record.figures() for label, record in records.items()},
        'problems': options.states,
        'machine': platform.machine(),
    }


def _has_time(record: Record, options: Options) -> bool:
    """Whether a solver takes part in one more flight."""
    spent = sum(map(sum, record.seconds.values()))
    return spent < options.seconds or len(record.seconds['cold']) < LEAST


Plans = dict[str, tuple[Plan, float]]


def flight(
    system: System,
    peers: Mapping[str, Peer],
    order: np.random.Generator,
    x: Array,
    goal: Array,
    parameters: Mapping[str, float] | None,
    noise: Array,
) -> Iterator[tuple[int, Problem, Plans]]:
    """The problems of a flight, and what every solver plans for them with its CPU seconds.

    The flight follows the best plan of each tick, and the noise (TICKS, n_x).
    """
    previous: dict[str, Plan] = {}
    for k in range(TICKS + 1):
        now = moved(system, parameters, k * system.dt) if parameters else None
        problem = Problem.of(system, x, goal, now)
        _ = problem.plant
        states, controls = nlp.start(problem)
        first = Plan(controls, states, np.nan, 'start')
        plans: Plans = {}
        for label in order.permutation(list(peers)):
            plans[label] = peers[label].plan(problem, previous.get(label), first)
        yield k, problem, plans
        previous = {label: plan for label, (plan, _) in plans.items()}
        best = _best(plans)
        x = best.states[1] + (noise[k] if k < len(noise) else 0.0)


def _best(plans: Plans) -> Plan:
    return min((plan for plan, _ in plans.values()), key=lambda plan: plan.merit)


def _judge(
    problem: Problem,
    plans: Plans,
    task: str,
    records: Mapping[str, Record],
    peers: Mapping[str, Peer],
) -> None:
    """Adds every plan, beside the best one that was found, and improved by sweeps."""
    best = _best(plans)
    states, controls = best.states.copy(), best.controls.copy()
    merit = min(problem.improve(SWEEPS, states, controls)[0], best.merit)
    for label, (plan, seconds) in plans.items():
        record, peer = records[label], peers[label]
        record.seconds[task].append(seconds)
        record.ratio[task].append(plan.merit / merit)
        record.violation[task].append(plan.violation)
        if isinstance(peer, CasadiPeer):
            record.functions.append(peer.functions / seconds)
