"""Motion of a system as NumPy interprets its graph: derivative, step, and slopes of the step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from trc_core.problem.discretise import output_of, rk4, rk4_slopes, slopes_graph
from trc_core.problem.graph import Graph

if TYPE_CHECKING:
    from trc_core.problem.system import Array, System

SAME_DT = 1e-6  # of a dt, by which a time may differ from it


def derivative(system: System, x: Any, u: Any) -> Any:
    """The rate of change (..., n_x) at x (..., n_x) and u (..., n_u)."""
    return _evaluated(system, system.rates, x, u)


def step(system: System, x: ArrayLike, u: ArrayLike, dt: float | None = None) -> Array:
    """The states (..., n_x) after holding u (..., n_u) for `dt` seconds; the system's by default.

    Raises:
        ValueError: if the system is in discrete time, does not take `dt`, and `dt` is not its own.
    """
    state, control = np.asarray(x, dtype=np.float64), np.asarray(u, dtype=np.float64)
    if system.timed is not None:
        seconds = system.dt if dt is None else dt
        return np.asarray(_evaluated(system, system.timed, state, control, seconds))
    if system.discrete:
        require_own_dt(system, dt)
        return np.asarray(_evaluated(system, system.graph, state, control))
    h = (system.dt if dt is None else dt) / system.substeps
    for _ in range(system.substeps):
        state = rk4(system.derivative, state, control, h)
    return state


def step_jacobian(
    system: System, x: ArrayLike, u: ArrayLike, dt: float | None = None
) -> tuple[Array, Array]:
    """Exact A (n_x, n_x) and B (n_x, n_u) of `step` at (x, u)."""
    x, u = np.asarray(x, dtype=np.float64), np.asarray(u, dtype=np.float64)
    if system.discrete:
        require_own_dt(system, dt)
        A, B = np.split(_step_slopes(system, x, u, dt), [system.n_x], axis=1)
        return np.ascontiguousarray(A), np.ascontiguousarray(B)
    h = (system.dt if dt is None else dt) / system.substeps
    A, B = np.eye(system.n_x), np.zeros((system.n_x, system.n_u))
    for _ in range(system.substeps):
        slopes = rk4_slopes(lambda y, u: _slopes(system, system.slopes, y, u), x, u, h)
        A_k, B_k = np.split(slopes, [system.n_x], axis=1)
        A, B = A_k @ A, A_k @ B + B_k
        x = rk4(system.derivative, x, u, h)
    return np.ascontiguousarray(A), np.ascontiguousarray(B)


def require_own_dt(system: System, seconds: float | None) -> None:
    """Refuses a step in discrete time that is not as long as a dt.

    Raises:
        ValueError: if it is not; the message names both times.
    """
    own = system.dt
    if system.timed is not None:
        return
    if system.discrete and seconds is not None and abs(seconds - own) > SAME_DT * own:
        raise ValueError(
            f"'{system.name}' is in discrete time: it steps once per dt of {own:g} s, not in "
            f'{seconds:g} s'
        )


def _evaluated(system: System, graph: Graph, x: Any, u: Any, *dt: float) -> Any:
    """The output (..., n_x) of a graph of the dynamics, which may take a time."""
    inputs = [*np.moveaxis(x, -1, 0), *np.moveaxis(u, -1, 0), *system.p, *dt]
    found = graph.evaluate(inputs)[output_of(graph)]
    return np.stack([np.broadcast_to(e, np.shape(x)[:-1]) for e in found], axis=-1)


def _step_slopes(system: System, x: Array, u: Array, dt: float | None) -> Array:
    """The slopes (n_x, n_x + n_u) of a step in discrete time, of any length if it takes one."""
    if system.timed is None or dt is None:
        return _slopes(system, system.slopes, x, u)[1]
    return _slopes(system, slopes_graph(system.timed), x, u, dt)[1]


def _slopes(system: System, graph: Graph, x: Array, u: Array, *dt: float) -> tuple[Array, Array]:
    """The dynamics (n_x,) and their slopes (n_x, n_x + n_u), by a graph of both."""
    found = graph.evaluate([*x, *u, *system.p, *dt])
    by_x = np.array(found['A']).reshape(system.n_x, system.n_x)
    by_u = np.array(found['B']).reshape(system.n_x, system.n_u)
    return np.array(found[output_of(graph)]), np.concatenate([by_x, by_u], axis=1)
