"""One problem of a plant as the solvers take it: state, reference, parameters and trim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from trc_core.compile.binding import plant_of, violation_weight
from trc_core.compile.kernels import compiled
from trc_core.compile.plant import Plant, with_problem
from trc_core.numerics.batch import empty_trajectory, improve_plans
from trc_core.numerics.cost import constant_reference, violations
from trc_core.numerics.plan import Plan
from trc_core.numerics.reference import trims_along
from trc_core.numerics.rollout import Law, Trajectory, fly_law, plain, reproject, rollout
from trc_core.problem.system import Array, System
from trc_core.solvers.kernels import tracking_gains


@dataclass(frozen=True, eq=False)
class Problem:
    """One problem of a plant."""

    system: System
    x0: Array
    """Initial state (n_x,)."""
    r: Array
    """Reference (T + 1, n_x)."""
    p: Array
    """Parameters (n_p,)."""
    trim: Array
    """Controls (T, n_u) that hold the reference."""

    @classmethod
    def of(
        cls,
        system: System,
        x0: ArrayLike,
        goal: ArrayLike,
        parameters: Mapping[str, float] | None = None,
    ) -> Problem:
        """The problem of a state, a goal and parameters.

        Args:
            system: the plant.
            x0: initial state (n_x,).
            goal: goal state (n_x,), or a reference (T + 1, n_x).
            parameters: those that differ from the system's own, by name.

        Raises:
            ValueError: if a shape is wrong, a parameter is unknown, or the duration is free; the
                message says what would work.
        """
        if system.final_time is not None:
            raise ValueError(
                f"'{system.name}' has a free duration, which the experts 'ipddp' and 'nlp' solve"
            )
        x0, r = state_vector(system, 'x0', x0), reference(system, goal)
        p = system.parameter_rows(parameters) if parameters else system.p
        moving = np.ndim(goal) == 2
        return cls(system, x0, r, p, trims_along(system, r[None], p, moving)[0])

    @property
    def goal(self) -> Array:
        """Where the reference ends (n_x,)."""
        return self.r[-1]

    @cached_property
    def plant(self) -> Plant:
        """The plant for compiled kernels, with the problem's parameters and trim."""
        plant: Plant = with_problem(plant_of(self.system), self.p, self.trim)
        return plant

    def fly(self, law: Law, v: Array) -> tuple[Array, Array, float]:
        """States (T + 1, n_x), controls (T, n_u) and merit of a plan v (T, n_u) under a law."""
        x, u = empty_trajectory(self.system)
        merit = compiled(rollout)(self.plant, law, v, self.x0, self.r, Trajectory(x, u))
        return x, u, float(merit)

    def replay(self, controls: Array) -> tuple[Array, float]:
        """The states (T + 1, n_x) of controls (T, n_u) inside the bounds, and the merit."""
        law = plain(np.zeros((*controls.shape, self.system.n_x)))
        states, _, merit = self.fly(law, controls - self.trim)
        return states, merit

    def track(self, states: Array, controls: Array) -> tuple[Array, Array, float]:
        """Flies along states (T + 1, n_x) and controls (T, n_u) under feedback, as `fly`.

        The gains are those of iLQR along them: an unstable plant, whose controls alone would let
        the last digit of a state grow, stays near.
        """
        along = Trajectory(states, controls)
        law, v = plain(np.zeros((*controls.shape, self.system.n_x))), np.zeros_like(controls)
        compiled(tracking_gains)(self.plant, along, self.r, law.K)
        compiled(reproject)(self.plant, law, along, self.r, v)
        return self.fly(law, v)

    def hold_trim(self) -> tuple[Array, Array, float]:
        """What the trim does, as `fly`."""
        controls = self.trim.clip(self.system.u_min, self.system.u_max)
        states, merit = self.replay(controls)
        return states, controls, merit

    def fly_ladder(self, factors: Iterable[float]) -> list[tuple[Array, Array, float]]:
        """What clipped LQRs about the end of the reference do, as `fly`: one for each factor of R.

        Those that the plant does not have are left out.
        """
        there = np.ascontiguousarray(np.tile(self.goal, (len(self.r), 1)))
        still, flown = np.zeros_like(self.trim), []
        for factor in factors:
            K = np.empty((*self.trim.shape, self.system.n_x))
            plant = self.plant._replace(R=factor * self.plant.R)
            compiled(tracking_gains)(plant, Trajectory(there, self.trim), there, K)
            if np.isfinite(K).all():
                flown.append(self.fly(plain(K), still))
        return flown

    def fly_laws(self) -> dict[str, tuple[Array, Array, float]]:
        """What every law of the plant does, as `fly`, by name."""
        return {name: self.fly_law(name, self.r) for name in self.system.laws}

    def fly_law(self, name: str, r: Array) -> tuple[Array, Array, float]:
        """What a law of the plant does along a reference r (T + 1, n_x), as `fly`."""
        x, u = empty_trajectory(self.system)
        place = list(self.system.laws).index(name)
        merit = compiled(fly_law)(self.plant, place, self.x0, r, Trajectory(x, u))
        return x, u, float(merit)

    def improve(self, sweeps: int, states: Array, controls: Array) -> tuple[float, int, bool]:
        """Box-iLQR sweeps on states (T + 1, n_x) and controls (T, n_u), in place.

        Returns:
            The merit, the sweeps spent, and whether nothing was left to gain.
        """
        rows = Trajectory(states[None], controls[None])
        outcome = improve_plans(self.plant, self.r[None], sweeps, rows)
        return float(outcome.J[0]), int(outcome.spent[0]), bool(outcome.converged[0])

    def violations(self, states: Array, controls: Array) -> tuple[float, float]:
        """The sum of the violations of all constraints, and the largest."""
        if not self.system.task.constraints:
            return 0.0, 0.0
        with np.errstate(all='ignore'):  # a plan may have left what numbers can hold
            plan = Plan(controls, states, np.nan, '')
            found = violations(self.system, plan, self.r, list(self.p))
        total, largest = float(found.sum()), float(found.max())
        return (total, largest) if np.isfinite(total) else (np.inf, np.inf)

    def plan(
        self,
        controls: Array,
        states: Array,
        merit: float,
        source: str,
        converged: bool = True,
        cycles: int = 0,
        candidates: Mapping[str, float] | None = None,
    ) -> Plan:
        """A plan with its cost J, its largest violation and its merit."""
        total, largest = self.violations(states, controls)
        J = merit - violation_weight(self.system) * total if total > 0.0 else merit
        return Plan(
            controls,
            states,
            J if np.isfinite(J) else np.inf,
            source,
            converged,
            cycles,
            candidates or {},
            largest,
            merit if np.isfinite(merit) else np.inf,
        )


def state_vector(system: System, name: str, value: ArrayLike) -> Array:
    """`value` as a float64 array (n_x,).

    Raises:
        ValueError: if it has another shape; the message calls it `name`.
    """
    vector = np.ascontiguousarray(value, dtype=np.float64)
    if vector.shape != (system.n_x,):
        raise ValueError(
            f"{name} has shape {vector.shape}, expected ({system.n_x},) for '{system.name}'"
        )
    return vector


def reference(system: System, goal: ArrayLike) -> Array:
    """The reference (T + 1, n_x) of a goal (n_x,), or the one that is given.

    Raises:
        ValueError: if it has another shape.
    """
    if np.ndim(goal) < 2:
        return constant_reference(state_vector(system, 'goal', goal), system.horizon)
    r, expected = np.ascontiguousarray(goal, dtype=np.float64), (system.horizon + 1, system.n_x)
    if r.shape != expected:
        raise ValueError(
            f'goal has shape {r.shape}, expected ({system.n_x},), or {expected} for a reference'
        )
    return r
