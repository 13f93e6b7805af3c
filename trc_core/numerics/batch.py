"""Batches: trajectories, costs, gradients, sweeps and steps of many rows, on every core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled, is_compiled
from trc_core.compile.plant import with_problem
from trc_core.numerics.batch_kernels import Family, Flown, batch_simulate, batch_step, batch_sweep
from trc_core.numerics.ilqr import Memory, Outcome, batch_improve, batch_replay
from trc_core.numerics.parallel import in_blocks
from trc_core.numerics.rollout import Law, Trajectory, rollout
from trc_core.problem.motion import require_own_dt

if TYPE_CHECKING:
    from trc_core.compile.plant import Plant
    from trc_core.problem.system import Array, System

ROWS_PER_THREAD = 32  # fewer are not worth waking a thread for


class Simulated(NamedTuple):
    """A batch of plans, flown."""

    v: Array
    """(B, T, n_u), re-projected: reproduces the controls."""
    controls: Array
    """(B, T, n_u)."""
    states: Array
    """(B, T + 1, n_x)."""
    cost: Array
    """J (B,)."""
    gradient: Array
    """Projected dJ/dv (B, T, n_u)."""


class BatchRollout:
    """The compiled kernels of one plant, or of several with other parameters and weights.

    Args:
        systems: the plants; one, or N that differ in nothing but their parameters and weights.
        laws: the feedback of their plans, one each, with the same gate.
    """

    def __init__(self, systems: Sequence[System], laws: Sequence[Law]) -> None:
        self.system = systems[0]
        self.p = np.stack([system.p for system in systems])  # (N, n_p)
        self.K = np.stack([law.K for law in laws])  # (N, T, n_u, n_x)
        self.G = laws[0].G
        first = systems[0]  # most often the weights are the same: one set for all
        names = ('Q', 'R', 'Q_f')
        same = all(
            np.array_equal(getattr(s, name), getattr(first, name))
            for s in systems
            for name in names
        )
        own = systems[:1] if same else systems
        self.weights = [np.stack([getattr(s, name) for s in own]) for name in names]

    def simulate(
        self,
        v: Array,
        x0: Array,
        r: Array,
        plant: NDArray[np.int64] | None = None,
        flown: Array | None = None,
    ) -> Simulated:
        """Flies plans v (B, T, n_u) from x0 (B, n_x).

        Args:
            v: the plans.
            x0: initial states.
            r: references (B, T + 1, n_x).
            plant: which plant each row belongs to (B,); the first by default.
            flown: gains (N, T, n_u, n_x) to fly with, without a gate; the law's by default.
        """
        kernel, numbers = compiled(batch_simulate), plant_of(self.system)
        family = self._family(plant, r)
        law = Law(self.K, self.G) if flown is None else Law(flown, np.zeros_like(self.G))
        found = self._empty(v)

        def run(rows: slice) -> None:
            kernel(numbers, family.rows(rows), law, v[rows], x0[rows], r[rows], found.rows(rows))

        in_blocks(run, len(v), ROWS_PER_THREAD)
        return _simulated(found)

    def sweep(
        self,
        states: Array,
        controls: Array,
        r: Array,
        sweeps: int,
        plant: NDArray[np.int64] | None = None,
    ) -> Simulated:
        """Improves controls (B, T, n_u) by box-iLQR sweeps from states[:, 0]; J never rises."""
        kernel, numbers = compiled(batch_sweep), plant_of(self.system)
        family = self._family(plant, r)
        found = self._empty(controls)
        found.x[:], found.u[:] = states, controls

        def run(rows: slice) -> None:
            kernel(numbers, family.rows(rows), sweeps, r[rows], found.rows(rows))

        in_blocks(run, len(controls), ROWS_PER_THREAD)
        return _simulated(found)

    def _family(self, plant: NDArray[np.int64] | None, r: Array) -> Family:
        of = np.zeros(len(r), dtype=np.int64) if plant is None else plant
        trim = plant_of(self.system).u_trim[None]
        if self.system.trim is not None:
            trim = trims_by_row(self.system, r, self.p[of])
        return Family(self.p, self.K, self.G, of, trim, *self.weights)

    def _empty(self, v: Array) -> Flown:
        B, T, _ = v.shape
        x = np.empty((B, T + 1, self.system.n_x))
        return Flown(np.empty_like(v), x, np.empty_like(v), np.empty(B), np.empty_like(v))


def _simulated(found: Flown) -> Simulated:
    return Simulated(found.v, found.u, found.x, found.J, found.gradient)


class BatchStep:
    """The compiled step of a system, for rows; its bounds do not hold here.

    Args:
        system: whose dynamics.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.kernel = compiled(batch_step)

    @property
    def is_compiled(self) -> bool:
        """Whether its machine code is there."""
        return is_compiled(self.kernel)

    def __call__(
        self, x: Array, u: Array, p: Array | None = None, seconds: float | None = None
    ) -> Array:
        """The states (B, n_x) after holding u (B, n_u) for a time.

        Args:
            x: states (B, n_x).
            u: controls (B, n_u), of any size.
            p: physical parameters (B, n_p); the system's own by default.
            seconds: how long; the system's dt by default.

        Raises:
            ValueError: if the system is in discrete time and `seconds` are not its dt.
        """
        require_own_dt(self.system, seconds)
        kernel, plant = self.kernel, plant_of(self.system)
        seconds = float(self.system.dt if seconds is None else seconds)
        x, u = np.ascontiguousarray(x), np.ascontiguousarray(u)
        parameters = np.ascontiguousarray(self.system.p[None] if p is None else p)
        x_next = np.empty_like(x)

        def run(rows: slice) -> None:
            own = parameters if p is None else parameters[rows]
            kernel(plant, own, x[rows], u[rows], seconds, x_next[rows])

        in_blocks(run, len(x), ROWS_PER_THREAD)
        return x_next


def roll_out(
    system: System, law: Law, v: Array, x0: Array, r: Array
) -> tuple[Array, Array, float]:
    """The trajectory and J of one plan v (T, n_u) from x0 (n_x,), by a reference (T + 1, n_x)."""
    trajectory = empty_trajectory(system)
    J = compiled(rollout)(plant_of(system), law, v, np.ascontiguousarray(x0), r, trajectory)
    return trajectory.x, trajectory.u, float(J)


def improve_rows(system: System, r: Array, sweeps: int, trajectories: Trajectory) -> Outcome:
    """Box-iLQR sweeps on every row of trajectories, in place, by references (B, T + 1, n_x)."""
    plant, B = plant_of(system), len(r)
    if system.trim is None:
        return improve_plans(plant, r, sweeps, trajectories)
    trims = trims_by_row(system, r)
    outcome = Outcome(np.empty(B), np.zeros(B, np.int64), np.zeros(B, np.bool_))
    for b in range(B):
        own, one = with_problem(plant, system.p, trims[b]), slice(b, b + 1)
        plans = Trajectory(trajectories.x[one], trajectories.u[one])
        for values, found in zip(outcome, improve_plans(own, r[one], sweeps, plans), strict=True):
            values[b] = found[0]
    return outcome


def trims_by_row(system: System, r: Array, p: Array | None = None) -> Array:
    """The controls (B, T, n_u) that hold references r (B, T + 1, n_x); p is (n_p,) or (B, n_p)."""
    stands = (r == r[:, :1]).all()  # then one time step is all there is to solve
    trims = system.trims(r[:, :1] if stands else r[:, :-1], p)
    return np.ascontiguousarray(np.broadcast_to(trims, (len(r), system.horizon, system.n_u)))


def improve_plans(plant: Plant, r: Array, sweeps: int, plans: Trajectory) -> Outcome:
    """Box-iLQR sweeps on the controls of plans (B) from their first states, in place.

    Args:
        plant: `Plant`.
        r: references (B, T + 1, n_x).
        sweeps: the most that a plan gets.
        plans: of x only x[:, 0] is read.
    """
    B, T, n_u = plans.u.shape
    outcome = Outcome(np.empty(B), np.zeros(B, np.int64), np.zeros(B, np.bool_))
    compiled(batch_replay)(plant, r, plans, outcome.J)
    memory = empty_memory(B, T, n_u, r.shape[2], len(plant.terms.uses_control))
    compiled(batch_improve)(plant, r, sweeps, 0.0, plans, memory, outcome)
    return outcome


def empty_memory(B: int, T: int, n_u: int, n_x: int, n_h: int) -> Memory:
    """The memory of B plans, each of its arrays zero."""
    return Memory(np.zeros((B, T, n_u, n_x)), np.zeros((B, T + 1, n_h)), np.zeros((B, n_h)))


def memory_of(system: System, B: int) -> Memory:
    """The memory of B plans of a system that nothing came before."""
    n_h = len(system.task.constraints)
    return empty_memory(B, system.horizon, system.n_u, system.n_x, n_h)


def empty_trajectory(system: System, *batch: int) -> Trajectory:
    """Arrays for one trajectory of a system, or for a batch."""
    T = system.horizon
    return Trajectory(np.empty((*batch, T + 1, system.n_x)), np.empty((*batch, T, system.n_u)))
