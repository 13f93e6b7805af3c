"""The sections that time single plans: beside the baselines, against eager, and alone."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from trc_core.checkpoint import Checkpoint, load_checkpoint
from trc_core.evaluation.problems import fresh_problems
from trc_core.evaluation.reference import reference_optima, starts_needed
from trc_core.lab.benchmark.baselines import baselines
from trc_core.lab.benchmark.interleaved import InterleavedTiming, percentiles
from trc_core.lab.benchmark.options import Options
from trc_core.lab.benchmark.planners import available, controllers, every_cycle
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.problem.system import Array, System
from trc_core.progress import progress_bar
from trc_core.solvers import ilqr


def beside_the_baselines(options: Options, results: dict[str, Any]) -> None:
    """Latency and J/J* of every backend and every baseline, by system."""
    for name in options.systems:
        checkpoint = load_checkpoint(name)
        table = {**controllers(checkpoint, options.backends), **baselines(checkpoint.system)}
        _timed(options, checkpoint, table, results.setdefault(name, {}))


def against_eager(options: Options, results: dict[str, Any]) -> None:
    """Speed of the first backend over PyTorch eager at the same work, by system."""
    backends = tuple(dict.fromkeys([options.backends[0], 'torch']))
    for name in options.systems:
        checkpoint, result = load_checkpoint(name), results.setdefault(name, {})
        try:
            _timed(options, checkpoint, every_cycle(checkpoint, backends), result)
        finally:
            _compare(result, f'trc {backends[0]}')


def _compare(result: dict[str, Any], ours: str) -> None:
    """Adds, to every planner, how many times longer it takes than `ours`."""
    figures = result.get('figures', {})
    own = figures.get(ours, {'cold': {}})['cold'].get('p50')
    for figure in figures.values():
        if own is not None and 'p50' in figure['cold']:
            figure['times'] = figure['cold']['p50'] / own


def _timed(
    options: Options, checkpoint: Checkpoint, table: dict[str, Any], result: dict[str, Any]
) -> None:
    system = checkpoint.system
    x0, goal, optimum = problems(system, options.states)
    planners, absent = available(table)
    timing = InterleavedTiming(system, planners, x0, goal, optimum)
    result['absent'] = absent
    try:
        timing.run(options.repetitions, options.seconds, options.least, system.name)
    finally:
        result['figures'] = timing.figures()
        absent.update(timing.absent)
        result['first calls'] = timing.order[: 2 * len(planners)]


def problems(system: System, states: int) -> tuple[Array, Array, Array]:
    """Fresh x0 and goals (N, n_x), and J* (N,), NaN where no solver converged.

    Without CasADi J* is that of converged iLQR.
    """
    x0, goal = fresh_problems(system, states)
    try:
        optimum, solved = reference_optima(system, x0, goal, starts_needed(system))
    except ModuleNotFoundError:
        plans: Any = ilqr.solve_batch(system, x0, goal)
        optimum, solved = plans.cost, plans.converged
    return x0, goal, np.where(solved, optimum, np.nan)


def alone(options: Options, results: dict[str, Any]) -> None:
    """Latency of the first backend back to back, as on a robot's own core: the tails."""
    backend = options.backends[0]
    for name in options.systems:
        full, one = (Controller.load(name, backend, cycles=cycles) for cycles in (None, 1))
        x0, goal = fresh_problems(full.system, options.states)
        result = results.setdefault(name, {})
        calls: dict[str, Callable[[int, Plan | None], Plan]] = {
            'a plan': partial(_afresh, full, x0, goal),
            'warm-started': partial(_next, full, x0, goal),
            'warm-started, 1 cycle': partial(_next, one, x0, goal),
        }
        for label, call in calls.items():
            result[label] = _back_to_back(call, options, f'{name}: {label}')


def _afresh(controller: Controller, x0: Array, goal: Array, i: int, _: Plan | None) -> Plan:
    return controller.plan(x0[i], goal[i])


def _next(controller: Controller, x0: Array, goal: Array, i: int, previous: Plan | None) -> Plan:
    """The plan from the second state of the previous one; the first from x0."""
    if previous is None:
        return controller.plan(x0[i], goal[i])
    return controller.plan(previous.states[1], goal[i], warm_start=previous)


def _back_to_back(
    call: Callable[[int, Plan | None], Plan], options: Options, title: str
) -> dict[str, float]:
    """Percentiles of `call`, one problem after the other, each in closed loop for some steps."""
    N, nanoseconds = options.states, []
    plans = [call(i, None) for i in range(N)]
    gc.collect()
    gc.disable()
    try:
        for _ in progress_bar(range(max(1, options.alone // N)), title, leave=False):
            for i in range(N):
                began = time.perf_counter_ns()
                plans[i] = call(i, plans[i])
                nanoseconds.append(time.perf_counter_ns() - began)
    finally:
        gc.enable()
    return percentiles(nanoseconds)
