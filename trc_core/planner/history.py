"""History of problems: the plans that were made before, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trc_core.numerics.free_time.timed import Flight
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System


@dataclass(frozen=True)
class History:
    """Earlier plan and command of B problems."""

    plan: Plan | None = None
    elapsed: float | Array | None = None
    """Seconds since the plan was made, for all or (B,); the system's dt by default."""
    issued: Array | None = None
    """Controls (B, n_u) really commanded since; the first of the plan by default."""

    def steps(self, dt: float) -> float | Array:
        """The time since the plan was made, for all or (B,), in sampling periods."""
        if isinstance(self.elapsed, np.ndarray):
            return np.maximum(self.elapsed, 0.0) / dt
        return 1.0 if self.elapsed is None else max(self.elapsed, 0.0) / dt


def checked_history(
    system: System,
    rows: int,
    plan: Plan | None,
    elapsed: ArrayLike | None,
    issued: Array | None,
) -> History:
    """The history of `rows` problems of a system.

    Raises:
        ValueError: if the plan is not one of `rows` plans of such a system, if `issued` has
            another number of rows, or if `elapsed` is not finite, or one number per row where
            plans go on with a memory, all of them by the same time.
    """
    times: float | Array | None = None
    if elapsed is not None and np.ndim(elapsed) == 0:
        times = float(elapsed)  # type: ignore[arg-type]
        if not math.isfinite(times):
            raise ValueError(
                f'elapsed is {elapsed}; give seconds, or nothing for the dt of the plant'
            )
    elif elapsed is not None:
        times = np.array(elapsed, dtype=np.float64)
        _require_times(rows, times, plan)
    if issued is not None and len(issued) != rows:
        raise ValueError(f'issued has {len(issued)} rows, expected {rows}')
    if plan is not None:
        T = system.horizon
        _require_rows('states', plan.states, rows, (T + 1, system.n_x), system.name)
        _require_rows('controls', plan.controls, rows, (T, system.n_u), system.name)
        _require_memory(system, rows, plan)
    return History(plan, times, issued)


def _require_times(rows: int, elapsed: Array, plan: Plan | None) -> None:
    if elapsed.shape != (rows,) or not np.isfinite(elapsed).all():
        raise ValueError(f'elapsed is {elapsed}; give finite seconds, one or {rows} of them')
    if plan is not None and (plan.memory is not None or plan.observation is not None):
        raise ValueError(
            'elapsed has one number per row, but these plans go on all together: give one for all'
        )


def _require_memory(system: System, rows: int, plan: Plan) -> None:
    """Compares what a plan left with what kernels read of it, which check no sizes."""
    if plan.memory is None:
        return
    if isinstance(plan.memory, Flight) != (system.final_time is not None):
        raise ValueError(f'warm_start is no plan of {system.name}: only one has a free duration')
    if isinstance(plan.memory, Flight):
        same = plan.memory.x.shape == plan.states.shape
        if not same or plan.memory.nu.shape != (len(system.terminal),):
            raise ValueError(f'warm_start left prices of another plant than {system.name}')
        return
    T, n_h = system.horizon, len(system.task.constraints)
    expected = ((rows, T, system.n_u, system.n_x), (rows, T + 1, n_h), (rows, n_h))
    shapes = tuple(np.shape(values) for values in plan.memory)
    if shapes != expected:
        raise ValueError(
            f'warm_start left gains and multipliers of shapes {shapes}, expected {expected}: '
            f'it is no plan of {system.name}'
        )


def _require_rows(
    name: str, array: Array, rows: int, shape: tuple[int, int], system_name: str
) -> None:
    if array.shape[-2:] != shape:
        raise ValueError(
            f'warm_start has {name} of shape {array.shape}, expected {shape} at the end: '
            f'it is no plan of {system_name}'
        )
    count = math.prod(array.shape[:-2])
    if count != rows:
        raise ValueError(f'warm_start holds {count} plans, expected {rows}')
