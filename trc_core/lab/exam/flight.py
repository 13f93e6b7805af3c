"""Closed loop of an exam: a controller that plans anew at every step, on the model itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from trc_core.lab.exam.files import Exam
from trc_core.numerics.batch import BatchStep
from trc_core.numerics.cost import constraint_values, trajectory_cost
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.problem.system import Array, System

HORIZONS, MOST = 2, 150  # that a flight lasts, and ticks at most
TO_THE_END = 100  # sweeps of a tick, with which plans have converged

Tick = Callable[[Array, Array, Plan | None], Plan]


def flights(exam: Exam, controller: Controller) -> dict[str, Any]:
    """Flies a controller from the source's start, and once more with sweeps to the end.

    Returns:
        Its closed-loop cost over that of the other, the largest violation on the way, and the
        median CPU time of a tick [ms].
    """

    def converged(x: Array, goal: Array, last: Plan | None) -> Plan:
        return controller.plan(x, goal, last, polish=TO_THE_END)

    ours, theirs = fly(exam, controller.plan), fly(exam, converged)
    scale = abs(theirs['cost'] - exam.constant * theirs['ticks'] / exam.system.horizon)
    return {
        **ours,
        'converged': theirs['cost'],
        'ratio': 1.0 + (ours['cost'] - theirs['cost']) / max(scale, 1e-12),
        'violation of converged': theirs['violation'],
    }


def fly(exam: Exam, tick: Tick) -> dict[str, Any]:
    """One flight: its cost, the largest violation, and the median CPU time of a tick [ms].

    Where the reference runs ahead of the plant, whatever it does, no error is left along the way:
    there the cost is the mean of J of all plans.
    """
    system, step = exam.system, BatchStep(exam.system)
    ticks = min(MOST, HORIZONS * system.horizon)
    states, rows = [exam.start], []
    controls, seconds, plan = np.empty((ticks, system.n_u)), np.empty(ticks), None
    costs = []
    for k in range(ticks):
        goal = exam.goal(k * system.dt, states[-1], system.goal_centre)
        began = time.thread_time()
        plan = tick(states[-1], goal, plan)
        seconds[k] = time.thread_time() - began
        controls[k] = plan.controls[0]
        costs.append(plan.cost)
        rows.append(np.atleast_2d(goal)[0])
        states.append(step(states[-1][None], controls[k : k + 1])[0])
    end = np.atleast_2d(exam.goal(ticks * system.dt, states[-1], system.goal_centre))[0]
    flown = np.array(states), controls, np.array([*rows, end])
    cost = float(trajectory_cost(replace(system, horizon=ticks), *flown))
    return {
        'ticks': ticks,
        'cost': float(np.mean(costs)) if exam.runs_ahead else cost,
        'violation': largest_violation(system, *flown),
        'ms': 1e3 * float(np.median(seconds)),
    }


def largest_violation(system: System, states: Array, controls: Array, reference: Array) -> float:
    """The largest violation of a constraint along a flight, 0 without constraints."""
    found = constraint_values(replace(system, horizon=len(controls)), states, controls, reference)
    return max((float(np.max(h)) for h in found), default=0.0)
