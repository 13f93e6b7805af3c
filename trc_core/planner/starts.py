"""Plans from several starts: a few sweeps on the best of them, and the best after those.

A start that is cheap as it is may lead into a dead end, so the winner is chosen after some sweeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trc_core.compile.plant import Plant
from trc_core.numerics.batch import memory_of
from trc_core.numerics.classical import START_SWEEPS
from trc_core.numerics.ilqr import Memory, Outcome
from trc_core.numerics.rollout import Trajectory
from trc_core.planner.kernels import Found, Requests
from trc_core.problem.system import Array, System

SWEEPS_AT_ONCE = 4  # where there is a deadline: multipliers are updated every few
SAME = 1e-4  # relative gap in the merit within which two starts count as one


class Starts:
    """Sweeps on the best starts of problems.

    Where the best of them still violates constraints the others get sweeps as well.

    Args:
        system: the plant.
        improve: the kernel `batch_improve`.
        assess: the kernel `assess_rows`.
        tried: how many starts of a problem get sweeps.
    """

    def __init__(
        self, system: System, improve: Callable[..., Any], assess: Callable[..., Any], tried: int
    ) -> None:
        self.system, self.tried = system, tried
        self._improve, self._assess = improve, assess

    def choose(
        self,
        plant: Plant,
        requests: Requests,
        plans: Trajectory,
        results: Found,
        memory: Memory,
        is_over: Callable[[], bool] | None,
    ) -> None:
        """Fills the results and the memory with the best of the starts after sweeps.

        The last start, if it is trusted and the cheapest, goes on as it is.

        Args:
            plant: of all the problems.
            requests: the problems (B).
            plans: of all starts (B, N).
            results: `starts` are the merits of the plans; the rest is filled.
            memory: filled with that of the winners.
            is_over: whether there is no time for more sweeps, where there is a deadline; the
                starts then take turns.
        """
        N = results.starts.shape[1]
        for b in range(len(results.J)):
            J, own, r = results.starts[b], Trajectory(plans.x[b], plans.u[b]), requests.r[b]
            if requests.trusted[b] and J.argmin() == N - 1:
                _take(results, b, own, N - 1, float(J[N - 1]), 0)
                continue
            results.J[b], results.cycles[b] = math.inf, 0
            chosen = distinct(J, N)
            best, others = chosen[: self.tried], chosen[self.tried :]
            self._try(plant, r, own, best, results, memory, b, is_over)
            if len(others) and self._violates(plant, requests, results, b):
                self._try(plant, r, own, others, results, memory, b, is_over)

    def _violates(self, plant: Plant, requests: Requests, results: Found, b: int) -> bool:
        """Whether the plan of problem b violates constraints by more than the tolerance."""
        if not self.system.task.constraints:
            return False
        one, violation = slice(b, b + 1), np.empty((1, 2))
        self._assess(plant, requests.rows(one), results.rows(one), violation)
        return not violation[0, 1] <= self.system.constraint_tolerance

    def _try(
        self,
        plant: Plant,
        r: Array,
        plans: Trajectory,
        chosen: NDArray[np.int64],
        results: Found,
        memory: Memory,
        b: int,
        is_over: Callable[[], bool] | None,
    ) -> None:
        """Sweeps on some starts of problem b; the best of them is taken if it is better."""
        J = results.starts[b]
        tried = Trajectory(plans.x[chosen], plans.u[chosen])
        count = len(chosen)
        own = memory_of(self.system, count)
        outcome = Outcome(J[chosen], np.zeros(count, np.int64), np.zeros(count, np.bool_))
        r = np.repeat(r[None], count, 0)
        if is_over is None:
            self._improve(plant, r, START_SWEEPS, 0.0, tried, own, outcome)
            spent = int(outcome.spent.sum())
        else:
            spent = self._improve_in_turn(plant, r, tried, own, outcome, is_over)
        spent += int(results.cycles[b])
        results.cycles[b] = spent
        winner = int(np.argmin(outcome.J))
        if outcome.J[winner] < results.J[b] or results.J[b] == math.inf:
            _take(results, b, tried, winner, float(outcome.J[winner]), spent)
            results.start[b] = chosen[winner]
            for values, theirs in zip(memory, own, strict=True):
                values[b] = theirs[winner]

    def _improve_in_turn(
        self,
        plant: Plant,
        r: Array,
        tried: Trajectory,
        own: Memory,
        outcome: Outcome,
        is_over: Callable[[], bool],
    ) -> int:
        """A few sweeps on every start, and again, until time is over; returns how many."""
        spent = 0
        for _ in range(0, START_SWEEPS, SWEEPS_AT_ONCE):
            for n in range(len(outcome.J)):
                if outcome.converged[n]:
                    continue
                if is_over():
                    return spent
                one = slice(n, n + 1)
                plans = Trajectory(tried.x[one], tried.u[one])
                found = Outcome(outcome.J[one], outcome.spent[one], outcome.converged[one])
                self._improve(plant, r[one], SWEEPS_AT_ONCE, 0.0, plans, own.rows(one), found)
                spent += int(outcome.spent[n])
        return spent


def distinct(J: Array, most: int) -> NDArray[np.int64]:
    """The numbers of the cheapest plans, at most so many, of which no two cost the same.

    There is at least one, even where every merit J (N,) is infinite.
    """
    order = [int(n) for n in np.argsort(J, kind='stable')]
    chosen = order[:1]
    for n in order[1:]:
        if len(chosen) < most and math.isfinite(J[n]) and J[n] - J[chosen[-1]] > SAME * abs(J[n]):
            chosen.append(n)
    return np.array(chosen, dtype=np.int64)


def _take(results: Found, b: int, plans: Trajectory, n: int, J: float, spent: int) -> None:
    """Makes plan n the one of problem b."""
    results.x[b], results.u[b], results.J[b] = plans.x[n], plans.u[n], J
    results.start[b], results.cycles[b], results.seconds[b] = n, spent, 0.0
