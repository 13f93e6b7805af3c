"""Episodes in environments, flown by controllers that plan anew at every tick."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from trc_core.evaluation.closed_loop import SWEEPS
from trc_core.lab.environments.environment import Environment
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.problem.system import Array, System
from trc_core.solvers import multistart
from trc_core.solvers.receding_horizon import IlqrMpc

STARTS = 64  # of converged MPC for its first plan

Pilot = Callable[[Array, 'Plan | None'], Plan]
"""State (n_x,), plan of the tick before -> plan."""


@dataclass
class Episode:
    """One episode."""

    reward: float = 0.0
    violations: int = 0
    ticks: int = 0
    seconds: list[float] = field(default_factory=list)
    """CPU time of every plan but the first."""
    first_seconds: float = 0.0
    """CPU time of the first plan."""


def fly(environment: Environment, pilot: Pilot, seed: int) -> Episode:
    """Flies an episode as the environment draws it."""
    x, plan, episode = environment.reset(seed), None, Episode()
    for _ in range(environment.ticks):
        began = time.thread_time()
        plan = pilot(x, plan)
        seconds = time.thread_time() - began
        if episode.ticks:
            episode.seconds.append(seconds)
        else:
            episode.first_seconds = seconds
        after = environment.step(plan.controls[0])
        episode.ticks += 1
        episode.reward += after.reward
        episode.violations += after.violations
        x = after.x
        if after.over:
            break
    return episode


def classical(system: System) -> Pilot:
    """The controller without a network, as it flies, its first plan from as many random starts."""
    return _flown_by(Controller.classical(system, starts=STARTS))


def _flown_by(controller: Controller) -> Pilot:
    controller.warm_up()
    goal = controller.system.goal_centre

    def plan(x: Array, previous: Plan | None) -> Plan:
        return controller.plan(x, goal, previous)

    return plan


class ConvergedMpc:
    """Box-iLQR to convergence at every tick, the first from many starts.

    Args:
        system: the problem.
    """

    def __init__(self, system: System) -> None:
        self.system, self._mpc = system, IlqrMpc(system, SWEEPS)

    def __call__(self, x: Array, previous: Plan | None) -> Plan:
        """The plan from x, given that of the tick before."""
        goal = self.system.goal_centre
        if previous is None:
            return multistart.solve(self.system, x, goal, STARTS)
        return self._mpc(x, goal, previous)


PILOTS: dict[str, Callable[[System], Pilot]] = {
    'trc': classical,
    'converged MPC': ConvergedMpc,
}
"""Those that fly, by the name of their row."""


def summary(episodes: list[Episode]) -> dict[str, float]:
    """Mean and spread of the returns, steps out of bounds, and CPU times of plans [ms]."""
    returns = np.array([episode.reward for episode in episodes])
    milliseconds = 1e3 * np.concatenate([episode.seconds for episode in episodes])
    return {
        'return': float(returns.mean()),
        'deviation': float(returns.std()),
        'lowest': float(returns.min()),
        'violations': float(np.mean([episode.violations for episode in episodes])),
        'ticks': float(np.mean([episode.ticks for episode in episodes])),
        'ms p50': float(np.median(milliseconds)),
        'ms p99': float(np.quantile(milliseconds, 0.99)),
        'first ms': float(1e3 * np.median([episode.first_seconds for episode in episodes])),
    }
