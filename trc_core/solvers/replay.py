"""Trajectory of an expert's controls on the true dynamics, and its J."""

from __future__ import annotations

from trc_core.problem.system import Array, System
from trc_core.solvers.problem import Problem


def replay(system: System, x0: Array, goal: Array, controls: Array) -> tuple[Array, float]:
    """The trajectory (T + 1, n_x) of controls (T, n_u) inside the bounds, and its J."""
    return Problem.of(system, x0, goal).replay(controls)
