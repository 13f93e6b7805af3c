"""Rows of the experiment `proposals`: planners from different sources of starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.checkpoint import load_checkpoint
from trc_core.evaluation.reference import keep
from trc_core.lab.experiments.mppi import mppi
from trc_core.lab.experiments.starts import (
    LEADING,
    StoredPlans,
    by_law,
    improve,
    left_right,
    random_controls,
    random_detours,
)
from trc_core.planner.backends import BACKENDS
from trc_core.planner.controller import Controller
from trc_core.planner.problems import Problems
from trc_core.problem.system import Array, System
from trc_core.solvers import fatrop, multistart
from trc_core.solvers.fatrop import FATROP
from trc_core.solvers.library import library_labels
from trc_core.solvers.nlp import IPOPT, Method, answer, flown
from trc_core.solvers.plans import Plans, rolled_out
from trc_core.solvers.problem import Problem

SWEEPS = 60  # of a single start
STORED_SEED = 6_100_000
LEFT_RIGHT, DETOURS = 'left or right', '32 random detours'
STORED, MORE_STORED = '32 nearest stored plans', '256 nearest stored plans'
NETWORK, BESIDE = 'network', 'network with the classical starts'
IPOPT_LINE = 'IPOPT from the line'
CONTROLLER = 'the controller'

Parameters = Mapping[str, float]


class Tried(NamedTuple):
    """What a planner found."""

    cost: float
    merit: float
    violation: float
    """The largest."""
    seconds: float
    """Of the CPU."""


class Outcome(NamedTuple):
    """A plan, and the CPU seconds that count where they are not all."""

    controls: Array
    states: Array
    merit: float
    seconds: float | None = None


Plan = Callable[[Problem, Parameters, np.random.Generator], Outcome]
Start = Callable[[Problem, np.random.Generator], Plans]


@dataclass(frozen=True)
class Row:
    """A planner with its label."""

    label: str
    plan: Plan

    def measured(
        self,
        system: System,
        x0: Array,
        goal: Array,
        parameters: Parameters,
        rng: np.random.Generator,
    ) -> Tried:
        """Plans once and judges the plan, which is not timed."""
        began = time.thread_time()
        problem = Problem.of(system, x0, goal, parameters)
        found = self.plan(problem, parameters, rng)
        seconds = time.thread_time() - began
        plan = problem.plan(found.controls, found.states, found.merit, '')
        own = found.seconds if found.seconds is not None else seconds
        return Tried(plan.cost, plan.merit, plan.violation, own)


def rivals(system: System, stored: int) -> list[Row]:
    """What needs no network, in the order of the table."""
    table = stored_plans(system, stored)
    rows = [
        Row(
            'zero + 60 sweeps', _one(lambda problem, rng: rolled_out(problem, problem.trim[None]))
        ),
        Row('line + 60 sweeps', _one(lambda problem, rng: by_law(problem, LEADING))),
        Row(IPOPT_LINE, _by(IPOPT)),
    ]
    if fatrop.is_available():
        rows.append(Row('fatrop from the line', _by(FATROP)))
    return [
        *rows,
        Row('MPPI + 60 sweeps', _one(_mppi)),
        Row('12 random starts, 60 sweeps each', _twelve),
        Row('12 starts of `multistart`, converged', _multistart),
        Row(
            'nearest stored plan + 60 sweeps',
            _one(lambda problem, rng: _nearest(table, 1, problem)),
        ),
        *_ways(),
        *_several(DETOURS, lambda problem, rng: random_detours(problem, 32, rng), (1, 3, 8)),
        *_stored(table),
        *_several(MORE_STORED, lambda problem, rng: _nearest(table, 256, problem), (1, 3, 8)),
    ]


def own(system: System, stored: int) -> list[Row]:
    """The network, and once more the rivals that are compared with it at equal milliseconds."""
    classical = Row(
        'the controller without a network', _by_controller(Controller.classical(system))
    )
    return [*_ways(), *_stored(stored_plans(system, stored)), classical, *_by_network(system.name)]


def _several(source: str, start: Start, counts: Iterable[int]) -> list[Row]:
    return [Row(f'{source}, B = {B}', _best(start, B)) for B in counts]


def _ways() -> list[Row]:
    return _several(LEFT_RIGHT, lambda problem, rng: left_right(problem), (1, 3, 8))


def _stored(table: StoredPlans) -> list[Row]:
    return _several(STORED, lambda problem, rng: _nearest(table, 32, problem), (1, 3, 5, 8))


def _by_network(name: str) -> list[Row]:
    """The proposals of a network as starts, and its controller."""
    checkpoint = load_checkpoint(name)
    backend = BACKENDS['numba'](checkpoint, 'cpu', 1)
    own = np.array([label.startswith('network') for label in backend.candidates])
    proposed = partial(_proposed, backend, own)
    rows = [Row(f'{NETWORK}, no sweeps', _one(proposed, 0))]
    rows += _several(NETWORK, proposed, (1, 3, 5, 8))
    every = partial(_proposed, backend, np.ones(len(own), np.bool_))
    rows += _several(BESIDE, every, (3, 5))
    return [*rows, Row(CONTROLLER, _by_controller(Controller(checkpoint)))]


def _proposed(
    backend: Any, chosen: NDArray[np.bool_], problem: Problem, _: np.random.Generator
) -> Plans:
    """Some of the starts of a backend."""
    plans, merit = backend.propose(Problems(problem.x0[None], problem.r[None], p=problem.p))
    x, u, M = plans.x[0, chosen], plans.u[0, chosen], merit[0, chosen]
    return Plans.begun(problem.system, x, u, M)


def _one(start: Start, sweeps: int = SWEEPS) -> Plan:
    """Sweeps from a single start, the best."""
    return lambda problem, _, rng: Outcome(*improve(problem, start(problem, rng), 1, sweeps, 0))


def _best(start: Start, B: int) -> Plan:
    """The best of B starts."""
    return lambda problem, _, rng: Outcome(*improve(problem, start(problem, rng), B))


def _mppi(problem: Problem, rng: np.random.Generator) -> Plans:
    return mppi(problem, by_law(problem, LEADING).controls[0], 1000, 5, rng)


def _nearest(table: StoredPlans, count: int, problem: Problem) -> Plans:
    return rolled_out(problem, table.nearest(problem, count))


def _twelve(problem: Problem, _: Parameters, rng: np.random.Generator) -> Outcome:
    starts = rolled_out(problem, random_controls(problem, 12, rng))
    return Outcome(*improve(problem, starts, 12, SWEEPS, 0))


def _multistart(problem: Problem, parameters: Parameters, _: np.random.Generator) -> Outcome:
    plan = multistart.solve(problem.system, problem.x0, problem.goal, parameters=parameters)
    return Outcome(plan.controls, plan.states, plan.merit)


def _by_controller(controller: Controller) -> Plan:
    """What a controller plans where nothing came before."""

    def plan(problem: Problem, parameters: Parameters, _: np.random.Generator) -> Outcome:
        found = controller.plan(problem.x0, problem.goal, parameters=parameters)
        return Outcome(found.controls, found.states, found.merit)

    return plan


def _by(method: Method) -> Plan:
    """What a solver of nonlinear programs finds from the line."""

    def plan(problem: Problem, _: Parameters, rng: np.random.Generator) -> Outcome:
        start = by_law(problem, LEADING)
        began = time.thread_time()
        found = answer(method, problem, start.states[0], start.controls[0])
        seconds = time.thread_time() - began
        own = flown(method, problem, found)
        return Outcome(own.controls, own.states, own.merit, seconds)

    return plan


@lru_cache(maxsize=1)
def stored_plans(system: System, count: int) -> StoredPlans:
    """The table of stored plans: labels, found once and kept."""

    def found() -> dict[str, Array]:
        labels = library_labels(system, count, STORED_SEED)
        return {'x0': labels.x0, 'goal': labels.goal, 'controls': labels.controls}

    kept = keep(system, 'stored', [count, STORED_SEED], found)
    return StoredPlans.of(kept['x0'], kept['goal'], kept['controls'])
