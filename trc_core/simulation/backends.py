"""Plant backends: what computes the motion of a plant, in one table."""

from __future__ import annotations

from collections.abc import Callable

from trc_core.numerics.batch import BatchStep
from trc_core.problem.motion import require_own_dt
from trc_core.problem.system import Array, System
from trc_core.simulation.mujoco_plants import mujoco_physics
from trc_core.simulation.plant import Imperfections, Physics, Plant, in_error
from trc_core.systems.catalogue import shipped_as

NOTHING = 1e-9  # of the largest length of a vector of controls


def own_equations(system: System) -> Physics:
    """The equations of the model as machine code, made now and not at the first step.

    NumPy takes 20 ms for a step of six joints, ten times a step of the simulation.
    """
    step, groups = BatchStep(system), _groups_of(system)
    step(system.x0_centre[None], system.u_trim[None])

    def move(x: Array, u: Array, dt: float) -> Array:
        for places, least in groups:
            if not u[places].any():  # off: equations may divide by the length
                u = u.copy()
                u[places[0]] = least
        return step(x[None], u[None], seconds=dt)[0]

    return move


def _groups_of(system: System) -> list[tuple[list[int], float]]:
    """The places of controls that are one vector, and the length that stands for none."""
    names = system.control_names
    return [([names.index(name) for name in n.controls], NOTHING * n.high) for n in system.norms]


PLANTS: dict[str, Callable[[System], Physics]] = {
    'system': own_equations,
    'mujoco': mujoco_physics,
}
"""Makers of the physics of a system, by plant backend."""


def make_plant(
    backend: str,
    system: System,
    imperfections: Imperfections | None = None,
    integration_step: float | None = None,
    seed: int = 0,
) -> Plant:
    """A plant that stands at the origin under the trim control.

    Args:
        backend: a key of `PLANTS`.
        system: gives physics, bounds and sampling period; `imperfections.parameter_error` is
            applied to its parameters here.
        imperfections: differences from its model; none by default.
        integration_step: step of the physics [s]; a tenth of the system's dt by default, all of
            it in discrete time.
        seed: decides the disturbance.

    Raises:
        ValueError: for an unknown backend, or one that cannot simulate this system, or another
            integration step than dt in discrete time.
    """
    if backend not in PLANTS:
        raise ValueError(f"unknown plant backend '{backend}'; choose from {sorted(PLANTS)}")
    imperfections = imperfections or Imperfections()
    physics = PLANTS[backend](in_error(system, imperfections.parameter_error))
    require_own_dt(system, integration_step)
    own = system.dt if system.discrete else system.dt / 10
    known = shipped_as(system)
    contact = None if known is None else known.contact
    return Plant(physics, system, imperfections, integration_step or own, seed, contact)
