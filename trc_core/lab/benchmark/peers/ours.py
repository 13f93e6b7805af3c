"""Our controller and our MPPI as contenders of the same form as the peers."""

from __future__ import annotations

import numpy as np

from trc_core.lab.benchmark.peers.peer import Peer, flown, timed
from trc_core.lab.experiments.mppi import mppi
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.problem.system import Array, System
from trc_core.solvers.problem import Problem

SAMPLES = 512


class Ours(Peer):
    """The controller as it flies: a plan call of a tick, with all its checks.

    Args:
        system: of its problems.
        controller: plans for it.
    """

    def __init__(self, system: System, controller: Controller) -> None:
        super().__init__(system)
        self._controller = controller
        self._own: Plan | None = None
        controller.warm_up()

    def plan(self, problem: Problem, previous: Plan | None, first: Plan) -> tuple[Plan, float]:
        """The controller's plan, which goes on from its own memory of the last."""
        before = None if previous is None else self._own
        p = None if np.array_equal(problem.p, self.system.p) else problem.p
        self._own, seconds = timed(
            lambda: self._controller.plan(problem.x0, problem.goal, before, p=p)
        )
        assert self._own is not None
        return flown(problem, self._own.controls), seconds

    def solve(self, problem: Problem, x: Array, u: Array, warm: bool) -> tuple[Array, float]:
        """The controls of a plan from nothing."""
        plan, seconds = self.plan(problem, None, Plan(u, x, np.nan, ''))
        return plan.controls, seconds


class MppiPeer(Peer):
    """One iteration of model predictive path integral control on compiled roll-outs."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self._rng = np.random.default_rng(0)

    def solve(self, problem: Problem, x: Array, u: Array, warm: bool) -> tuple[Array, float]:
        """The weighted mean of the samples, or the best of them if that is better."""
        found, seconds = timed(lambda: mppi(problem, u, SAMPLES, 1, self._rng))
        return found.controls[int(found.merit.argmin())], seconds
