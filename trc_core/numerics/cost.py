"""The objective, the constraints and their slopes, for arrays and for kernels: the only place.

J = sum over t < T of e_t' Q e_t + w_t' R w_t + |residuals|^2, plus e_T' Q_f e_T +
|terminal residuals|^2, with the error e_t = x_t - r_t to the reference r, wrapped to [-pi, pi)
for angles, and the effort w_t = u_t - u_trim. A constant goal g is the reference r_t = g.

Constraints h <= 0 hold for t = 1..T; those that the control enters, for t = 0..T - 1. Plans are
compared by the merit M = J + weight sum max(0, h), an exact penalty (Nocedal and Wright,
Numerical Optimization, 15.4).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import (
    CONSTRAINTS,
    COUNT,
    RESIDUALS,
    SLOPES,
    TERMINAL,
    VALUES,
    call_value_slopes,
    call_values,
    count_of,
)
from trc_core.problem.graph import NUMPY, Algebra

if TYPE_CHECKING:
    from trc_core.problem.system import Array, System
    from trc_core.problem.terms import Terms

TURN = 2.0 * math.pi
WRONG_BASIN = 1.02  # J/J* above which a plan renders another local optimum, or none


def constant_reference(goal: Any, horizon: int) -> Array:
    """The reference (..., T + 1, n_x) that stays at a goal (..., n_x), contiguous."""
    goal = np.asarray(goal, dtype=np.float64)
    reference = np.empty((*goal.shape[:-1], horizon + 1, goal.shape[-1]))
    reference[...] = goal[..., None, :]
    return reference


def difference(system: System, states: Any, reference: Any, algebra: Algebra = NUMPY) -> Any:
    """x - r (..., n_x), angles wrapped to [-pi, pi), for arrays and tensors alike."""
    error = states - reference
    if not system.angles:
        return error
    turns = _each(algebra['floor'], (error + math.pi) / TURN)
    turn = np.zeros(system.n_x)
    turn[system.wrapped] = TURN
    return error - turns * _like(error, turn)


def _each(function: Any, values: Any) -> Any:
    """A function of numbers, tensors or expressions, entry by entry where NumPy holds objects."""
    if isinstance(values, np.ndarray) and values.dtype == object:
        return np.vectorize(function, otypes=[object])(values)
    return function(values)


def trajectory_cost(
    system: System,
    states: Any,
    controls: Any,
    reference: Any,
    algebra: Algebra = NUMPY,
    p: Any = None,
    trim: Any = None,
) -> Any:
    """J of trajectories, for NumPy arrays (also of expressions) and PyTorch tensors alike.

    Args:
        system: gives the weights, the trim and the residuals.
        states: (..., T + 1, n_x).
        controls: (..., T, n_u).
        reference: broadcasts to (..., T + 1, n_x).
        algebra: that the values belong to, where the system has residuals or angles.
        p: parameters, n_p of them; the system's own by default.
        trim: (..., T, n_u); found from the reference by default.

    Returns:
        J (...,).
    """
    if trim is None:
        trim = _trims(system, reference, p)
    error = difference(system, states, reference, algebra)
    J = stage_cost(system, error[..., :-1, :], controls, trim).sum(-1) + terminal_cost(
        system, error[..., -1, :]
    )
    task, p = system.task, list(system.p) if p is None else p
    if task.is_plain:
        return J
    reference = reference + 0.0 * states
    if task.residuals:
        x, r, t = states[..., :-1, :], reference[..., :-1, :], _times(system, states)[:-1]
        for value in _values(task.residuals, x, controls, r, p, t, algebra):
            J = J + (value * value).sum(-1)
    if task.terminal_residuals:
        x, r, u = states[..., -1, :], reference[..., -1, :], controls[..., -1, :]
        T = system.horizon * system.dt
        for value in _values(task.terminal_residuals, x, u, r, p, T, algebra):
            J = J + value * value
    return J


def _trims(system: System, reference: Any, p: Any) -> Array:
    """The controls that hold a reference, or a goal that stands for all of it."""
    if system.trim is None:
        return system.u_trim
    held = reference if isinstance(reference, np.ndarray) else reference.detach().cpu().numpy()
    moves = held.ndim > 1 and held.shape[-2] > 1
    return system.trims(held[..., :-1, :] if moves else held, p)


def constraint_values(
    system: System,
    states: Any,
    controls: Any,
    reference: Any,
    p: Any = None,
    algebra: Algebra = NUMPY,
) -> list[Any]:
    """Every constraint where it holds, each (..., T), in the order of its names.

    Args:
        system: states them.
        states: (..., T + 1, n_x).
        controls: (..., T, n_u).
        reference: broadcasts to (..., T + 1, n_x).
        p: parameters, n_p of them; the system's own by default.
        algebra: that the values belong to.
    """
    constraints, t = system.task.constraints, _times(system, states)
    reference = reference + 0.0 * states
    p = list(system.p) if p is None else p
    first = constraints.uses_control
    now = _values(
        constraints, states[..., :-1, :], controls, reference[..., :-1, :], p, t[:-1], algebra
    )
    then = _values(
        constraints, states[..., 1:, :], controls, reference[..., 1:, :], p, t[1:], algebra
    )
    return [a if used else b for used, a, b in zip(first, now, then, strict=True)]


def violations(system: System, plan: Any, reference: Any, p: Any = None) -> Array:
    """The violations max(0, h) (..., T, n_h) of a plan's constraints where they hold."""
    found = constraint_values(system, plan.states, plan.controls, reference, p)
    shape = plan.controls.shape[:-1]
    values = [np.broadcast_to(h, shape) for h in found]
    return np.maximum(np.stack(values, -1) if values else np.zeros((*shape, 0)), 0.0)


def _values(terms: Terms, x: Any, u: Any, r: Any, p: Any, t: Any, algebra: Algebra) -> list[Any]:
    """Terms along trajectories, entry by entry where NumPy holds objects."""
    if not (isinstance(x, np.ndarray) and x.dtype == object):
        zero = x[..., 0] * 0.0
        return [zero + value for value in terms.evaluate(x, u, r, p, t, algebra)]
    steps = np.broadcast_to(t, x.shape[:-1])
    rows = [
        terms.evaluate(list(x[k]), list(u[k]), list(r[k]), p, steps[k], algebra)
        for k in np.ndindex(x.shape[:-1])
    ]
    columns = zip(*rows, strict=True)
    return [np.array(column, dtype=object).reshape(x.shape[:-1]) for column in columns]


def _times(system: System, like: Any) -> Any:
    """The seconds of every state since the plan began (T + 1,)."""
    t = system.dt * np.arange(system.horizon + 1)
    return t if isinstance(like, np.ndarray) else like.new_tensor(t)


def stage_cost(system: System, error: Any, control: Any, trim: Any = None) -> Any:
    """The quadratic term of J (...,) of time steps with errors (..., n_x), controls (..., n_u)."""
    effort = control - _like(control, system.u_trim if trim is None else trim)
    return _quadratics(system.Q, error) + _quadratics(system.R, effort)


def terminal_cost(system: System, error: Any) -> Any:
    """The last quadratic term of J (...,) at errors (..., n_x)."""
    return _quadratics(system.Q_f, error)


def _quadratics(M: Array, a: Any) -> Any:
    """A' M a (...,) for rows a (..., n)."""
    return ((a @ _like(a, M)) * a).sum(-1)


def is_success(system: System, states: Any, goal: Any) -> Any:
    """Whether every state ends within its tolerance of the goal.

    Args:
        system: gives `goal_tolerance`.
        states: (..., T + 1, n_x).
        goal: (..., n_x).
    """
    return is_close(system, states[..., -1, :], goal)


def is_close(system: System, x: Any, goal: Any) -> Any:
    """Whether every state of x (..., n_x) is within its tolerance of the goal (..., n_x)."""
    algebra = NUMPY if isinstance(x, np.ndarray) else {'floor': lambda values: values.floor()}
    error = difference(system, x, goal, algebra)
    return (abs(error) <= _like(error, system.goal_tolerance)).all(-1)


def _like(like: Any, weight: Array) -> Any:
    return weight if isinstance(like, np.ndarray) else like.new_tensor(weight)


@register_jitable
def quadratic(M, a):
    """A' M a, for a symmetric M."""
    total = 0.0
    for i in range(a.shape[0]):
        row = 0.5 * M[i, i] * a[i]
        for j in range(i):
            row += M[i, j] * a[j]
        total += a[i] * row
    return 2.0 * total


@register_jitable
def wrapped(angle):
    """An angle [rad] in [-pi, pi)."""
    return angle - TURN * math.floor((angle + math.pi) / TURN)


@register_jitable(inline='always')
def error_at(x, r, t, angles, error):
    """Fills error (n_x,) = x[t] - r[t], angles wrapped."""
    for i in range(error.shape[0]):
        error[i] = x[t, i] - r[t, i]
    if angles.shape[0] > 0:
        wrap(error, angles)


@register_jitable
def wrap(error, angles):
    """Wraps the angles of an error (n_x,) in place."""
    for a in range(angles.shape[0]):
        error[angles[a]] = wrapped(error[angles[a]])


@register_jitable(inline='always')
def effort_at(u, t, u_trim, effort):
    """Fills effort (n_u,) = u[t] - u_trim[t]."""
    for i in range(effort.shape[0]):
        effort[i] = u[t, i] - u_trim[t, i]


@register_jitable(inline='always')
def stage(Q, R, error, effort):
    """`stage_cost` for kernels; the terminal term is `quadratic(Q_f, error)`."""
    return quadratic(Q, error) + quadratic(R, effort)


@register_jitable
def slope(M, a, i):
    """Component i of 2 M a, the slope of a' M a; its curvature is 2 M."""
    total = 0.0
    for j in range(a.shape[0]):
        total += M[i, j] * a[j]
    return 2.0 * total


@register_jitable(inline='always')
def has_terms(terms):
    """Whether a task adds anything to the quadratic J."""
    return (
        count_of(terms, RESIDUALS) + count_of(terms, TERMINAL) + count_of(terms, CONSTRAINTS)
    ) > 0


@register_jitable
def terms_along(plant, trajectory, r, h):
    """The sum of the squared residuals of a trajectory; fills its constraints h (T + 1, n_h).

    Constraints are -inf at the steps where they do not hold.
    """
    terms, dynamics, x, u = plant.terms, plant.dynamics, trajectory.x, trajectory.u
    p, dt, uses_control, T = dynamics.p, dynamics.dt, terms.uses_control, u.shape[0]
    functions, total = terms.functions, 0.0
    values = np.empty(max(count_of(terms, RESIDUALS), count_of(terms, TERMINAL)))
    for t in range(T + 1):
        last, kind = min(t, T - 1), TERMINAL if t == T else RESIDUALS
        if functions[kind, COUNT] > 0:
            call_values(functions[kind, VALUES], x, t, u, last, r, p, t * dt, values)
            for i in range(functions[kind, COUNT]):
                total += values[i] * values[i]
        if functions[CONSTRAINTS, COUNT] > 0:
            call_values(functions[CONSTRAINTS, VALUES], x, t, u, last, r, p, t * dt, h[t])
    for i in range(functions[CONSTRAINTS, COUNT]):
        h[T if uses_control[i] else 0, i] = -math.inf
    return total


@register_jitable
def violation_of(h):
    """The sum of max(0, h) over constraints h (T + 1, n_h), and the largest; NaN if one is."""
    total, largest = 0.0, 0.0
    for t in range(h.shape[0]):
        for i in range(h.shape[1]):
            if not h[t, i] <= 0.0:
                total += h[t, i]
                if not h[t, i] <= largest:
                    largest = h[t, i]
    return total, largest


class Buffers(NamedTuple):
    """Room for the terms of one time step, and for their slopes."""

    values: Array  # (n,)
    by_x: Array  # (n, n_x)
    by_u: Array  # (n, n_u)


@register_jitable
def term_buffers(terms, n_x, n_u):
    """Room for the terms of a task."""
    residuals = max(count_of(terms, RESIDUALS), count_of(terms, TERMINAL))
    n = max(residuals, count_of(terms, CONSTRAINTS))
    return Buffers(np.empty(n), np.empty((n, n_x)), np.empty((n, n_u)))


class Expansion(NamedTuple):
    """Slopes and curvatures that the terms of one step add to those of the quadratic J."""

    l_x: Array  # (n_x,)
    l_u: Array  # (n_u,)
    l_xx: Array  # (n_x, n_x)
    l_ux: Array  # (n_u, n_x)
    l_uu: Array  # (n_u, n_u)


@register_jitable
def empty_expansion(n_x, n_u):
    """Room for an `Expansion`."""
    return Expansion(
        np.empty(n_x),
        np.empty(n_u),
        np.empty((n_x, n_x)),
        np.empty((n_u, n_x)),
        np.empty((n_u, n_u)),
    )


@register_jitable
def expand_terms(terms, dynamics, x, u, r, t, force, curvature, buffers, expansion):
    """Fills the Gauss-Newton expansion of the terms at step t (T is the end).

    Squared residuals give 2 rho' rho; constraint i gives force[t, i] along its slope, and where
    that is not zero, curvature[i] times the square of the slope. Slopes that are not finite count
    as zero.

    Returns:
        Whether there is anything; else the expansion is not filled.
    """
    values, by_x, by_u = buffers
    T, p, time = u.shape[0], dynamics.p, t * dynamics.dt
    last, n_h, functions = min(t, T - 1), count_of(terms, CONSTRAINTS), terms.functions
    kind = TERMINAL if t == T else RESIDUALS
    active = False
    for i in range(n_h):
        active = active or force[t, i] > 0.0
    if functions[kind, COUNT] == 0 and not active:
        return False
    _clear(expansion)
    if functions[kind, COUNT] > 0:
        function = functions[kind, SLOPES]
        call_value_slopes(function, x, t, u, last, r, p, time, values, by_x, by_u)
        for i in range(functions[kind, COUNT]):
            _add_term(buffers, i, 2.0 * values[i], 2.0, expansion)
    if active:
        function = functions[CONSTRAINTS, SLOPES]
        call_value_slopes(function, x, t, u, last, r, p, time, values, by_x, by_u)
        for i in range(n_h):
            if force[t, i] > 0.0:
                _add_term(buffers, i, force[t, i], curvature[i], expansion)
    return True


@register_jitable
def _clear(expansion):
    """Sets an expansion to zero."""
    l_x, l_u, l_xx, l_ux, l_uu = expansion
    for i in range(l_x.shape[0]):
        l_x[i] = 0.0
        for j in range(l_x.shape[0]):
            l_xx[i, j] = 0.0
    for i in range(l_u.shape[0]):
        l_u[i] = 0.0
        for j in range(l_x.shape[0]):
            l_ux[i, j] = 0.0
        for j in range(l_u.shape[0]):
            l_uu[i, j] = 0.0


@register_jitable
def _add_term(buffers, k, force, curvature, expansion):
    """Adds force times the slope of term k, and curvature times its square."""
    l_x, l_u, l_xx, l_ux, l_uu = expansion
    by_x, by_u, n_x, n_u = buffers.by_x, buffers.by_u, l_x.shape[0], l_u.shape[0]
    for i in range(n_x):
        if not math.isfinite(by_x[k, i]):
            by_x[k, i] = 0.0
    for i in range(n_u):
        if not math.isfinite(by_u[k, i]):
            by_u[k, i] = 0.0
    for i in range(n_x):
        a = by_x[k, i]
        if a != 0.0:
            l_x[i] += force * a
            for j in range(n_x):
                l_xx[i, j] += curvature * a * by_x[k, j]
    for i in range(n_u):
        b = by_u[k, i]
        if b != 0.0:
            l_u[i] += force * b
            for j in range(n_x):
                l_ux[i, j] += curvature * b * by_x[k, j]
            for j in range(n_u):
                l_uu[i, j] += curvature * b * by_u[k, j]
