"""MPC with the true plant: the reference for controllers whose model is wrong."""

from __future__ import annotations

from dataclasses import replace

from trc_core.evaluation.closed_loop import SWEEPS, PerturbedPlant
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
from trc_core.solvers.receding_horizon import IlqrMpc


class OracleMpc:
    """Converged receding-horizon iLQR that knows the plant and the gain of its input.

    It plans what arrives at the plant, v = gain u, with the bounds and the cost of u.

    Args:
        model: whose cost counts.
        plant: what is flown.
    """

    def __init__(self, model: System, plant: PerturbedPlant) -> None:
        self.gain = gain = plant.gain
        limits = {name: gain * getattr(model, name) for name in ('u_min', 'u_max', 'u_trim')}
        self._mpc = IlqrMpc(replace(plant.system, R=model.R / gain**2, **limits), SWEEPS)
        self._last: Plan | None = None

    def __call__(self, x: Array, goal: Array, previous: Plan | None) -> Plan:
        """The plan, in commands u."""
        self._last = self._mpc(x, goal, self._last)
        return replace(self._last, controls=self._last.controls / self.gain)
