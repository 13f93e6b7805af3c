"""A solver of others on one of our problems: what it is asked, and what it answers."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
from trc_core.solvers.problem import Problem


class Peer(ABC):
    """A solver with what it keeps from tick to tick.

    Args:
        system: of all its problems.
    """

    def __init__(self, system: System) -> None:
        self.system = system

    @abstractmethod
    def solve(self, problem: Problem, x: Array, u: Array, warm: bool) -> tuple[Array, float]:
        """Controls (T, n_u) for a problem, and the CPU seconds that they took.

        Args:
            problem: of the system.
            x: states (T + 1, n_x) to start from: the first guess of all solvers, or its own plan
                one step before, a step later.
            u: controls (T, n_u) to start from.
            warm: whether they are its own.
        """

    def plan(self, problem: Problem, previous: Plan | None, first: Plan) -> tuple[Plan, float]:
        """The plan, flown on our dynamics and clipped into the bounds, and its CPU seconds.

        Args:
            problem: of the system.
            previous: its own plan one step before, or None.
            first: the guess of all solvers where there is none.
        """
        start = first if previous is None else later(problem, previous)
        controls, seconds = self.solve(
            problem, start.states.copy(), start.controls.copy(), previous is not None
        )
        return flown(problem, controls), seconds


def later(problem: Problem, plan: Plan) -> Plan:
    """A plan one step later, its last control twice, from where the problem begins."""
    controls = np.vstack([plan.controls[1:], plan.controls[-1:]])
    states = np.vstack([problem.x0, plan.states[2:], plan.states[-1:]])
    states[-1] = problem.system.step(plan.states[-1], controls[-1])
    return Plan(controls, states, np.nan, 'later')


def flown(problem: Problem, controls: Array) -> Plan:
    """The plan of controls (T, n_u) on our dynamics."""
    inside = np.ascontiguousarray(controls.clip(problem.system.u_min, problem.system.u_max))
    states, merit = problem.replay(inside)
    return problem.plan(inside, states, merit, 'peer')


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What work gives, and the CPU seconds of this thread."""
    began = time.thread_time()
    found = work()
    return found, time.thread_time() - began
