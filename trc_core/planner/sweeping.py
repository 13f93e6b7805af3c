"""Sweeps in flight: plans that go on with their own gains and multipliers, and get better."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trc_core.compile.plant import Plant
from trc_core.numerics.ilqr import Memory, Outcome, batch_improve
from trc_core.numerics.plan import Plan
from trc_core.numerics.rollout import Law, Trajectory
from trc_core.planner.problems import Problems
from trc_core.planner.rows import ALL, Found
from trc_core.planner.starts import SWEEPS_AT_ONCE
from trc_core.planner.sweep_kernels import assess_rows, follow_rows, go_on_rows
from trc_core.planner.watch import Watch
from trc_core.problem.system import Array, System

MARGIN = 0.5  # of the tolerance, by which ticks keep off constraints: noise pushes into them


class Sweeping:
    """The kernels of `sweep_kernels.py` for the rows of problems.

    Args:
        system: the plant.
        plant_of: its plant for kernels.
        bind: compiles a kernel, or leaves it as plain Python.
    """

    def __init__(
        self,
        system: System,
        plant_of: Callable[[System], Plant],
        bind: Callable[[Callable[..., Any]], Callable[..., Any]],
    ) -> None:
        self.system, self._plant_of = system, plant_of
        self.watch = Watch()
        self.margin = MARGIN * system.constraint_tolerance
        """By which ticks keep off constraints, in their units."""
        self.is_constrained = len(system.task.constraints) > 0
        self._follow_rows, self._improve = bind(follow_rows), bind(batch_improve)
        self._assess_rows, self._go_on_rows = bind(assess_rows), bind(go_on_rows)
        self.kernels = (self._follow_rows, self._improve)
        """Those that every plant needs."""
        self.constrained_kernels = (self._assess_rows, self._go_on_rows)
        """Those that constraints, or the lack of a network, need as well."""

    def improve(
        self,
        found: Found,
        problems: Problems,
        memory: Memory,
        sweeps: int,
        deadline: float,
        margin: float = 0.0,
        chosen: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """Spends sweeps on plans in place, few at a time where there is a deadline.

        They keep off the constraints by a margin, in their units. Plans that are not chosen (B,)
        stay as they are; all are by default.

        Returns:
            How many were spent on each (B,).
        """
        B, spent = len(found.J), np.zeros(len(found.J), np.int64)
        merits = found.J if chosen is None else np.where(chosen, found.J, math.inf)
        converged = ~np.isfinite(merits)
        few = SWEEPS_AT_ONCE if self.is_constrained else 1
        at_once, total = (
            sweeps if deadline == math.inf else min(sweeps, few),
            np.zeros(B, np.int64),
        )

        def run(plant: Plant, rows: slice) -> None:
            outcome = Outcome(merits[rows], spent[rows], converged[rows])
            plans, r = Trajectory(found.x[rows], found.u[rows]), problems.r[rows]
            self._improve(plant, r, at_once, margin, plans, memory.rows(rows), outcome)

        for _ in range(0, sweeps, at_once):
            if converged.all() or self.watch.is_over(deadline):
                break
            problems.share_out(self._plant_of(self.system), run)
            total += spent
        if chosen is not None:
            found.J[chosen] = merits[chosen]
        return total

    def followed(
        self,
        problems: Problems,
        earlier: Trajectory,
        memory: Memory,
        steps: float,
        law: Law,
        tolerance: Array,
    ) -> Problems:
        """The problems with earlier plans, `steps` later, as `previous`, `trusted`, `memory`.

        Args:
            problems: without those.
            earlier: the plans (B).
            memory: that they left; it is copied.
            steps: since the plans were made, in sampling periods.
            law: of the coordinates of `previous`.
            tolerance: (n_x,) within which a state was expected.
        """
        requests, memory = problems.requests(self.system), memory.copied()

        def run(plant: Plant, rows: slice) -> None:
            plans, own = rows_of(earlier, rows), memory.rows(rows)
            of = requests.rows(rows)
            self._follow_rows(plant, law, plans, of, float(steps), tolerance, own)

        problems.share_out(self._plant_of(self.system), run)
        return problems._replace(
            previous=requests.previous, trusted=requests.trusted, memory=memory
        )

    def gone_on(
        self, problems: Problems, earlier: Trajectory, found: Found, steps: float, sweeps: int
    ) -> Array:
        """Fills the plans that go on with earlier ones, improved by sweeps.

        Args:
            problems: with the memory of the earlier plans, which becomes that of the new ones.
            earlier: the plans before.
            found: to be filled.
            steps: since then, in sampling periods.
            sweeps: to spend on each.

        Returns:
            The sum and the largest of the violations of every plan (B, 2).
        """
        requests, memory = problems.requests(self.system), problems.memory
        assert memory is not None

        def run(plant: Plant, rows: slice) -> None:
            plans, own = rows_of(earlier, rows), memory.rows(rows)
            self._go_on_rows(plant, plans, requests.rows(rows), steps, found.rows(rows), own)

        problems.share_out(self._plant_of(self.system), run)
        found.seconds[:] = 0.0
        found.cycles[:] = self.improve(found, problems, memory, sweeps, math.inf, self.margin)
        return self.violations(found, problems)

    def violations(self, found: Found, problems: Problems) -> Array:
        """The sum and the largest of the violations of every plan (B, 2)."""
        requests, violation = problems.requests(self.system), np.empty((len(found.J), 2))

        def run(plant: Plant, rows: slice) -> None:
            self._assess_rows(plant, requests.rows(rows), found.rows(rows), violation[rows])

        problems.share_out(self._plant_of(self.system), run)
        return violation


def trajectories(system: System, plan: Plan, B: int) -> Trajectory:
    """The trajectories of B plans, for kernels."""
    T, n_x, n_u = system.horizon, system.n_x, system.n_u
    x, u = plan.states.reshape(B, T + 1, n_x), plan.controls.reshape(B, T, n_u)
    return Trajectory(np.ascontiguousarray(x), np.ascontiguousarray(u))


def rows_of(plans: Trajectory, rows: slice) -> Trajectory:
    """Views of some trajectories."""
    return plans if rows == ALL else Trajectory(plans.x[rows], plans.u[rows])
