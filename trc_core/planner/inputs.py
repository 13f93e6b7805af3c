"""Inputs of a controller: checked, and compared with what it was trained for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trc_core.numerics.cost import TURN, constant_reference, difference, violations
from trc_core.numerics.plan import Plan
from trc_core.planner.clock import now
from trc_core.planner.problems import Weights
from trc_core.problem.system import FAR, Array, System

FAR_OUTSIDE = 'far outside the training box around the goal'  # the end of such warnings
OUTSIDE_FACTOR = 1.5  # a state this many half-widths out of the training box is worth a warning
SMALLEST_RANGE = 1e-9  # of bounds, as a share of the system's: the network divides by it


def checked_end(deadline: float | None) -> float:
    """The time at which planning that may take so many seconds must end.

    Raises:
        ValueError: if that is no number.
    """
    if deadline is None:
        return math.inf
    if math.isnan(deadline):
        raise ValueError('deadline is nan; give seconds, or nothing for as long as it takes')
    return now() + deadline


def checked_state(name: str, value: ArrayLike, n_x: int) -> Array:
    """A state (n_x,).

    Raises:
        ValueError: if it has another shape or is not finite; the message names it.
    """
    vector = np.ascontiguousarray(value, dtype=np.float64)
    if vector.shape != (n_x,):
        raise ValueError(f'{name} has shape {vector.shape}, expected ({n_x},)')
    if not all(map(math.isfinite, vector.tolist())):
        raise ValueError(f'{name} is not finite: {vector}')
    return vector


def checked_problem(system: System, x: ArrayLike, goal: ArrayLike) -> tuple[Array, Array]:
    """A state and a goal (n_x,).

    Raises:
        ValueError: as `checked_state`.
    """
    return checked_state('x', x, system.n_x), checked_state('goal', goal, system.n_x)


def checked_states(name: str, value: ArrayLike, n_x: int) -> Array:
    """States (B, n_x), B > 0.

    Raises:
        ValueError: as `checked_state`; the message names the first bad row.
    """
    array = np.ascontiguousarray(value, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != n_x or not len(array):
        raise ValueError(f'{name} has shape {array.shape}, expected (B, {n_x})')
    bad = np.flatnonzero(~np.isfinite(array).all(-1))
    if len(bad):
        raise ValueError(f'{name} is not finite in row {bad[0]}: {array[bad[0]]}')
    return array


def checked_reference(system: System, value: ArrayLike) -> tuple[Array, bool]:
    """The reference (T + 1, n_x) of a goal (n_x,) or of a reference; whether it may move.

    Raises:
        ValueError: if it has another shape or is not finite; the message names it.
    """
    n_x, T = system.n_x, system.horizon
    if np.ndim(value) < 2:
        return constant_reference(checked_state('goal', value, n_x), T), False
    reference = np.ascontiguousarray(value, dtype=np.float64)
    if reference.shape != (T + 1, n_x):
        raise ValueError(
            f'goal has shape {reference.shape}, expected ({n_x},), or ({T + 1}, {n_x}) for a '
            'reference'
        )
    _require_finite('the reference', reference)
    return reference, True


def nearest_turn(system: System, x: Array, reference: Array, moving: bool) -> Array:
    """References whose angles begin within half a turn of the states and go on without jumps.

    To wrapped differences it is the same; networks read plain ones.

    Args:
        system: names the angles.
        x: states (B, n_x).
        reference: (B, T + 1, n_x).
        moving: whether the references are no goals that stand still.
    """
    angles = system.wrapped
    if len(x) == 1 and not moving:  # plain numbers: NumPy's calls would cost more than their work
        jumps = [abs(x.item(0, i) - reference.item(0, 0, i)) for i in angles.tolist()]
        if max(jumps) <= math.pi:
            return reference
    off = x[:, angles] - reference[:, 0, angles]
    turned = reference.copy()
    if moving:
        turned[..., angles] = np.unwrap(turned[..., angles], axis=1)
    turned[..., angles] += (TURN * np.round(off / TURN))[:, None]
    return turned


def checked_references(system: System, value: ArrayLike, rows: int) -> tuple[Array, bool]:
    """The references (rows, T + 1, n_x) of goals or references, or of one goal for all.

    Raises:
        ValueError: as `checked_reference`.
    """
    n_x, T = system.n_x, system.horizon
    if np.ndim(value) == 3:
        references = np.ascontiguousarray(value, dtype=np.float64)
        if references.shape != (rows, T + 1, n_x):
            raise ValueError(
                f'goal has shape {references.shape}, expected ({rows}, {T + 1}, {n_x})'
            )
        _require_finite('the reference', references)
        return references, True
    if np.ndim(value) == 1:
        return constant_reference(np.tile(checked_state('goal', value, n_x), (rows, 1)), T), False
    goals = checked_states('goal', value, n_x)
    if len(goals) != rows:
        raise ValueError(f'goal has shape {goals.shape}, expected ({rows}, {n_x})')
    return constant_reference(goals, T), False


def _require_finite(name: str, values: Array) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise ValueError(f'{name} is not finite in row {bad[0][-2]}')


def checked_weights(system: System, weights: Mapping[str, ArrayLike]) -> Weights:
    """The weights of J, some of them changed.

    Raises:
        ValueError: if one is unknown, of another shape or not positive (semi-)definite.
    """
    unknown = sorted(set(weights) - set(Weights._fields))
    if unknown:
        raise ValueError(f'unknown weights {unknown}; choose from {list(Weights._fields)}')
    given = tuple((name, _hashable(name, weights[name])) for name in sorted(weights))
    return _weights(system, given)


def _hashable(name: str, value: ArrayLike) -> Any:
    try:
        rows = np.asarray(value, dtype=np.float64).tolist()
    except (TypeError, ValueError):
        raise ValueError(f'{name} is {value!r:.60}; write numbers') from None
    if not isinstance(rows, list):
        return rows
    return tuple(tuple(row) if isinstance(row, list) else row for row in rows)


@lru_cache(maxsize=256)
def _weights(system: System, given: tuple[tuple[str, Any], ...]) -> Weights:
    changed = replace(system, **dict(given))
    return Weights(changed.Q, changed.R, changed.Q_f)


def narrower_bounds(system: System, low: ArrayLike, high: ArrayLike) -> tuple[Array, Array] | None:
    """Bounds (n_u,) narrower than the system's, a little apart where equal; None if they are not.

    Raises:
        ValueError: if they go beyond those, or in the wrong order; the message shows both.
    """
    low, high = (checked_state('a bound', bound, system.n_u) for bound in (low, high))
    if not ((system.u_min <= low) & (low <= high) & (high <= system.u_max)).all():
        raise ValueError(
            f'plans cannot use controls from {low.tolist()} to {high.tolist()}; '
            f'those of {system.name} lie from {system.u_min.tolist()} to {system.u_max.tolist()}'
        )
    width = SMALLEST_RANGE * (system.u_max - system.u_min)
    low = np.clip(high - width, system.u_min, low)
    high = np.maximum(high, low + width)
    narrower = (low > system.u_min).any() or (high < system.u_max).any()
    return (low, high) if narrower else None


def require_whole(name: str, value: float) -> None:
    """Raises a ValueError unless the value is a whole number."""
    if not isinstance(value, Integral):
        raise ValueError(f'{name} must be a whole number, got {value!r}')


def require_settings(cycles: int, tolerance: float, num_threads: int | None) -> None:
    """Raises a ValueError for settings with which a controller cannot plan."""
    require_whole('cycles', cycles)
    if cycles < 0:
        raise ValueError(f'cycles must not be negative, got {cycles}')
    if not tolerance >= 0:
        raise ValueError(f'tolerance must not be negative, got {tolerance}')
    if num_threads is not None:
        require_whole('num_threads', num_threads)
        if num_threads < 1:
            raise ValueError(f'num_threads must be at least 1, got {num_threads}')


def require_starts(starts: int, is_classical: bool) -> None:
    """Raises a ValueError for random starts that cannot be tried."""
    require_whole('starts', starts)
    if starts < 0:
        raise ValueError(f'starts must not be negative, got {starts}')
    if starts and not is_classical:
        raise ValueError(
            f'starts is {starts}, but a network proposes where plans begin; take '
            'Controller.classical'
        )


def require_sweeps(polish: int) -> None:
    """Raises a ValueError for a negative number of sweeps, before anything is planned."""
    require_whole('polish', polish)
    if polish < 0:
        raise ValueError(f'polish must not be negative, got {polish}')


def is_violated(system: System, plan: Plan) -> bool:
    """Whether a plan violates constraints by more than noise."""
    return plan.violation > system.constraint_tolerance


def violation_warning(system: System, plan: Plan, r: Array, p: Array | None) -> str:
    """A line about the largest violation of a plan along a reference (T + 1, n_x)."""
    found = violations(system, plan, r, p)  # (T, n_h)
    step, worst = np.unravel_index(np.nanargmax(found), found.shape)
    constraints = system.task.constraints
    after = system.dt * (step + (0 if constraints.uses_control[worst] else 1))
    return (
        f"constraint '{constraints.names[worst]}' is violated by {found[step, worst]:.3g} "
        f'after {after:.3g} s: nothing better was found'
    )


@lru_cache(maxsize=256)
def _reach(system: System) -> tuple[list[float], list[float], list[int]]:
    """Between which x - goal is not worth a warning, state by state; and which are angles."""
    middle = system.x0_centre - system.goal_centre
    reach = OUTSIDE_FACTOR * (system.x0_box + system.goal_box)
    return (middle - reach).tolist(), (middle + reach).tolist(), system.wrapped.tolist()


def warnings(system: System, x: Array, goal: Array) -> tuple[str, ...]:
    """Warnings about a state x (n_x,): coordinates far outside the training box."""
    # plain numbers: for a few of them NumPy's calls would cost more than their work
    low, high, turns = _reach(system)
    errors = [a - b for a, b in zip(x.tolist(), goal.tolist(), strict=True)]
    for i in turns:
        middle = 0.5 * (low[i] + high[i])
        errors[i] = (errors[i] - middle + math.pi) % TURN - math.pi + middle
    far = [not a <= e <= b for a, e, b in zip(low, errors, high, strict=True)]
    if not any(far):
        return ()
    return tuple(
        f'{system.state_names[i]} is {x[i]:.3g}, {FAR_OUTSIDE}' for i in np.flatnonzero(far)
    )


def parameter_warnings(
    system: System, ranges: Mapping[str, tuple[float, float]], p: Array
) -> tuple[str, ...]:
    """Warnings about parameters p (n_p,) or (B, n_p) outside the ranges of training."""
    found = []
    columns = np.atleast_2d(p).T.tolist()  # plain numbers: most often there is one row
    for name, (low, high) in ranges.items():
        if name not in system.places:  # a weight
            continue
        values = columns[system.places[name]]
        # an obstacle that is not there lies far away
        wrong = [value for value in values if not low <= value <= high and value != FAR]
        if wrong:
            rows = f' in {len(wrong)} of {len(values)} rows' if p.ndim > 1 else ''
            found.append(
                f"parameter '{name}' is {wrong[0]:.4g}{rows}, outside the trained range "
                f'{low:g} to {high:g}'
            )
    return tuple(found)


def batch_warnings(system: System, x: Array, goal: Array) -> tuple[str, ...]:
    """Warnings about states x (B, n_x), each with the number of rows it is about."""
    middle = system.x0_centre - system.goal_centre
    off = np.abs(difference(system, x - middle, goal))
    counts = (off > OUTSIDE_FACTOR * (system.x0_box + system.goal_box)).sum(0).tolist()
    return tuple(
        f'{name} is {FAR_OUTSIDE} in {count} of {len(x)} rows'
        for name, count in zip(system.state_names, counts, strict=True)
        if count
    )
