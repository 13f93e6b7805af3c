"""The plant as kernels see it: numbers, and the addresses of compiled dynamics.

Kernels are compiled once for all plants, because a plant's code comes in as addresses and is
called with the data pointers of contiguous rows. Kernels that run as plain Python are handed
Python functions in the place of addresses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload, register_jitable

from trc_core.compile.products import add_entries, add_product, fill_product
from trc_core.compile.rows import row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trc_core.problem.system import Array


RESIDUALS, TERMINAL, CONSTRAINTS, LAWS = range(4)  # kinds of terms
COUNT, VALUES, SLOPES = range(3)  # what is known of each


class Dynamics(NamedTuple):
    """The motion of a plant.

    `step` and `step_jacobian` are those of a whole RK4 step where `unrolled`; else they are the
    dynamics and their slopes, which generic loops integrate.
    """

    p: Array  # (n_p,) the parameters, in the order of their declaration
    dt: float
    substeps: int  # RK4 steps in a dt
    unrolled: bool
    step: Any  # (x, u, p, dt) -> x_next, or (x, u, p) -> dx
    step_jacobian: Any  # (x, u, p, dt) -> A, B, or (x, u, p) -> dx, A, B


class Terms(NamedTuple):
    """What a task adds to the quadratic J and the bounds of the controls.

    Row k of `functions` holds how many terms of kind k there are, and the addresses of
    (x, u, r, p, t) -> values (n,), and of their slopes, (x, u, r, p, t) -> values (n,), by_x
    (n, n_x), by_u (n, n_u). Kinds are residuals, terminal residuals, constraints, and the controls
    of laws, one law after the other.
    """

    functions: Array  # (4, 3) int64
    uses_control: NDArray[np.bool_]  # (n_h,) constraints that hold for t < T; the others t > 0
    weight: float  # cost of a violation by one unit, for the merit


class Plant(NamedTuple):
    """A plant and its task.

    Kernels take out of it what they need before they loop: a tuple that is passed on counts a
    reference for each of its arrays.
    """

    dynamics: Dynamics
    Q: Array  # (n_x, n_x)
    R: Array  # (n_u, n_u)
    Q_f: Array  # (n_x, n_x)
    u_min: Array  # (n_u,)
    u_max: Array  # (n_u,)
    u_trim: Array  # (T, n_u)
    angles: NDArray[np.int64]  # (n_a,) states that are the same after a turn
    terms: Terms


@register_jitable(inline='always')
def count_of(terms, kind):
    """How many terms of a kind there are."""
    return terms.functions[kind, COUNT]


@register_jitable
def with_parameters(plant, p):
    """The same plant with other parameters p (n_p,)."""
    return with_problem(plant, p, plant.u_trim)


@register_jitable
def with_problem(plant, p, u_trim):
    """The same plant with other parameters p (n_p,) and another trim (T, n_u)."""
    old = plant.dynamics
    dynamics = Dynamics(p, old.dt, old.substeps, old.unrolled, old.step, old.step_jacobian)
    return Plant(
        dynamics,
        plant.Q,
        plant.R,
        plant.Q_f,
        plant.u_min,
        plant.u_max,
        u_trim,
        plant.angles,
        plant.terms,
    )


@register_jitable
def advance(dynamics, x, u, t):
    """Fills x[t + 1], the state after holding u[t] in x[t] for one dt."""
    if dynamics.unrolled and dynamics.substeps == 1:
        call_step(dynamics.step, x, u, t, dynamics.p, dynamics.dt)
    else:
        hold(dynamics, x[t], u[t], dynamics.dt, x[t + 1])


@register_jitable
def linearise(dynamics, x, u, t, A, B):
    """Fills the exact A (n_x, n_x) and B (n_x, n_u) of `advance` at x[t], u[t]."""
    if dynamics.unrolled and dynamics.substeps == 1:
        call_step_jacobian(dynamics.step_jacobian, x, u, t, dynamics.p, dynamics.dt, A, B)
    else:
        step_jacobian(dynamics, x[t], u[t], A, B)


@register_jitable
def hold(dynamics, x, u, seconds, x_next):
    """Fills x_next (n_x,) with the state after holding u (n_u,) for some seconds."""
    h = seconds / dynamics.substeps
    _small_step(dynamics, x, u, h, x_next)
    for _ in range(1, dynamics.substeps):
        _small_step(dynamics, x_next, u, h, x_next)


@register_jitable
def _small_step(dynamics, x, u, h, x_next):
    """One RK4 step; x_next may be x."""
    if dynamics.unrolled:
        call_row(dynamics.step, x, u, dynamics.p, h, x_next)
    else:
        _rk4(dynamics, x, u, h, x_next)


@register_jitable
def _rk4(dynamics, x, u, h, x_next):
    """The classical Runge-Kutta step of dynamics that are called four times."""
    n_x = x.shape[0]
    y, k, total = np.empty(n_x), np.empty(n_x), np.zeros(n_x)
    for i in range(n_x):
        y[i] = x[i]
    for stage in range(4):
        call_dynamics(dynamics.step, y, u, dynamics.p, k)
        weight = 1.0 if stage == 0 or stage == 3 else 2.0
        fraction = h if stage == 2 else 0.5 * h
        for i in range(n_x):
            total[i] += weight * k[i]
            y[i] = x[i] + fraction * k[i]
    for i in range(n_x):
        x_next[i] = x[i] + h / 6.0 * total[i]


@register_jitable
def step_jacobian(dynamics, x, u, A, B):
    """Fills the exact A (n_x, n_x) and B (n_x, n_u) of one dt from x (n_x,) with u (n_u,)."""
    h = dynamics.dt / dynamics.substeps
    if dynamics.unrolled:
        call_row_jacobian(dynamics.step_jacobian, x, u, dynamics.p, h, A, B)
        if dynamics.substeps == 1:
            return
    else:
        _rk4_jacobian(dynamics, x, u, h, A, B)
    if dynamics.substeps > 1:
        _chain_substeps(dynamics, x, u, h, A, B)


@register_jitable
def _chain_substeps(dynamics, x, u, h, A, B):
    """Replaces A, B of the first substep by those of all: A <- A_k A, B <- A_k B + B_k."""
    n_x, n_u = B.shape
    y, A_k, B_k = np.empty(n_x), np.empty((n_x, n_x)), np.empty((n_x, n_u))
    A_old, B_old = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    for i in range(n_x):
        y[i] = x[i]
    for _ in range(1, dynamics.substeps):
        _small_step(dynamics, y, u, h, y)
        if dynamics.unrolled:
            call_row_jacobian(dynamics.step_jacobian, y, u, dynamics.p, h, A_k, B_k)
        else:
            _rk4_jacobian(dynamics, y, u, h, A_k, B_k)
        for i in range(n_x):
            for j in range(n_x):
                A_old[i, j] = A[i, j]
            for j in range(n_u):
                B_old[i, j] = B[i, j]
        fill_product(A, A_k, A_old)
        add_product(B, B_k, 1.0, A_k, B_old)


@register_jitable
def _rk4_jacobian(dynamics, x, u, h, A, B):
    """The chain rule through the stages of `_rk4`: S = J + c h J_x S, with the S before."""
    n_x, n_u = B.shape
    y, k = np.empty(n_x), np.empty(n_x)
    J_x, J_u = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    S_x, S_u = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    before_x, before_u = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    for i in range(n_x):
        y[i] = x[i]
        for j in range(n_x):
            A[i, j] = 1.0 if i == j else 0.0
            S_x[i, j] = 0.0
        for j in range(n_u):
            B[i, j] = 0.0
            S_u[i, j] = 0.0
    fraction = 0.0
    for stage in range(4):
        call_slopes(dynamics.step_jacobian, y, u, dynamics.p, k, J_x, J_u)
        S_x, before_x = before_x, S_x
        S_u, before_u = before_u, S_u
        add_product(S_x, J_x, fraction, J_x, before_x)
        add_product(S_u, J_u, fraction, J_x, before_u)
        weight = h / 6.0 if stage == 0 or stage == 3 else h / 3.0
        fraction = h if stage == 2 else 0.5 * h
        for i in range(n_x):
            y[i] = x[i] + fraction * k[i]
        add_entries(A, weight, S_x)
        add_entries(B, weight, S_u)


def call_step(function, x, u, t, p, dt):
    """Calls a step, (x, u, p, dt) -> x_next, from x[t] to x[t + 1] with u[t]."""
    function(x[t], u[t], p, dt, x[t + 1])


def call_step_jacobian(function, x, u, t, p, dt, A, B):
    """Calls a step's Jacobian, (x, u, p, dt) -> A, B, at x[t], u[t]."""
    function(x[t], u[t], p, dt, A, B)


def call_row(function, x, u, p, dt, x_next):
    """`call_step` for single rows."""
    function(x, u, p, dt, x_next)


def call_row_jacobian(function, x, u, p, dt, A, B):
    """`call_step_jacobian` for single rows."""
    function(x, u, p, dt, A, B)


def call_dynamics(function, x, u, p, dx):
    """Calls dynamics, (x, u, p) -> dx."""
    function(x, u, p, dx)


def call_slopes(function, x, u, p, dx, J_x, J_u):
    """Calls dynamics with their slopes, (x, u, p) -> dx, J_x, J_u."""
    function(x, u, p, dx, J_x, J_u)


def call_values(function, x, s, u, t, r, p, time, values):
    """Calls terms, (x, u, r, p, t) -> values, at x[s], u[t], r[s]."""
    function(x[s], u[t], r[s], p, time, values)


def call_value_slopes(function, x, s, u, t, r, p, time, values, by_x, by_u):
    """Calls terms with their slopes, (x, u, r, p, t) -> values, by_x, by_u."""
    function(x[s], u[t], r[s], p, time, values, by_x, by_u)


# Compiled, the same calls go to addresses. Pointers are taken from whole arrays where a row is
# meant: a view of a row would be counted as a reference at every step.


@overload(call_step, inline='always')
def _(function, x, u, t, p, dt):
    return lambda function, x, u, t, p, dt: _call_5(
        function, row(x, t), row(u, t), row(p, 0), dt, row(x, t + 1)
    )


@overload(call_step_jacobian, inline='always')
def _(function, x, u, t, p, dt, A, B):
    return lambda function, x, u, t, p, dt, A, B: _call_6(
        function, row(x, t), row(u, t), row(p, 0), dt, row(A, 0), row(B, 0)
    )


@overload(call_row, inline='always')
def _(function, x, u, p, dt, x_next):
    return lambda function, x, u, p, dt, x_next: _call_5(
        function, row(x, 0), row(u, 0), row(p, 0), dt, row(x_next, 0)
    )


@overload(call_row_jacobian, inline='always')
def _(function, x, u, p, dt, A, B):
    return lambda function, x, u, p, dt, A, B: _call_6(
        function, row(x, 0), row(u, 0), row(p, 0), dt, row(A, 0), row(B, 0)
    )


@overload(call_dynamics, inline='always')
def _(function, x, u, p, dx):
    return lambda function, x, u, p, dx: _call_4(
        function, row(x, 0), row(u, 0), row(p, 0), row(dx, 0)
    )


@overload(call_slopes, inline='always')
def _(function, x, u, p, dx, J_x, J_u):
    return lambda function, x, u, p, dx, J_x, J_u: _call_6(
        function, row(x, 0), row(u, 0), row(p, 0), row(dx, 0), row(J_x, 0), row(J_u, 0)
    )


@overload(call_values, inline='always')
def _(function, x, s, u, t, r, p, time, values):
    return lambda function, x, s, u, t, r, p, time, values: _call_6(
        function, row(x, s), row(u, t), row(r, s), row(p, 0), time, row(values, 0)
    )


@overload(call_value_slopes, inline='always')
def _(function, x, s, u, t, r, p, time, values, by_x, by_u):
    return lambda function, x, s, u, t, r, p, time, values, by_x, by_u: _call_8(
        function,
        row(x, s),
        row(u, t),
        row(r, s),
        row(p, 0),
        time,
        row(values, 0),
        row(by_x, 0),
        row(by_u, 0),
    )


@intrinsic
def _call_4(typing_context, function, a, b, c, d):
    return types.void(function, a, b, c, d), _generate_call


@intrinsic
def _call_5(typing_context, function, a, b, c, d, e):
    return types.void(function, a, b, c, d, e), _generate_call


@intrinsic
def _call_6(typing_context, function, a, b, c, d, e, f):
    return types.void(function, a, b, c, d, e, f), _generate_call


@intrinsic
def _call_8(typing_context, function, a, b, c, d, e, f, g, h):
    return types.void(function, a, b, c, d, e, f, g, h), _generate_call


def _generate_call(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """The call of the function at an address."""
    address, *values = arguments
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    builder.call(builder.inttoptr(address, kind.as_pointer()), values)
    return context.get_dummy_value()
