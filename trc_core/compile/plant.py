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
from numba.core import cgutils
from numba.extending import intrinsic, overload, register_jitable

if TYPE_CHECKING:
    from trc_core.problem.system import Array


class Plant(NamedTuple):
    """A plant and its task.

    `step` and `step_jacobian` are those of a whole RK4 step where `unrolled`; else they are the
    dynamics and their slopes, which generic loops integrate.
    """

    Q: Array  # (n_x, n_x)
    R: Array  # (n_u, n_u)
    Q_f: Array  # (n_x, n_x)
    u_min: Array  # (n_u,)
    u_max: Array  # (n_u,)
    u_trim: Array  # (n_u,)
    p: Array  # (n_p,) the parameters, in the order of their declaration
    dt: float
    substeps: int  # RK4 steps in a dt
    unrolled: bool
    step: Any  # (x, u, p, dt) -> x_next, or (x, u, p) -> dx
    step_jacobian: Any  # (x, u, p, dt) -> A, B, or (x, u, p) -> dx, A, B


@register_jitable
def with_parameters(plant, p):
    """The same plant with other physical parameters p (n_p,)."""
    return Plant(
        plant.Q,
        plant.R,
        plant.Q_f,
        plant.u_min,
        plant.u_max,
        plant.u_trim,
        p,
        plant.dt,
        plant.substeps,
        plant.unrolled,
        plant.step,
        plant.step_jacobian,
    )


@register_jitable
def step(plant, x, u, x_next):
    """Fills x_next (n_x,) with the state after one dt."""
    hold(plant, x, u, plant.dt, x_next)


@register_jitable
def hold(plant, x, u, seconds, x_next):
    """Fills x_next (n_x,) with the state after holding u (n_u,) for some seconds."""
    h = seconds / plant.substeps
    _small_step(plant, x, u, h, x_next)
    for _ in range(1, plant.substeps):
        _small_step(plant, x_next, u, h, x_next)


@register_jitable
def _small_step(plant, x, u, h, x_next):
    """One RK4 step; x_next may be x."""
    if plant.unrolled:
        call(plant.step, x, u, plant.p, h, x_next)
    else:
        _rk4(plant, x, u, h, x_next)


@register_jitable
def _rk4(plant, x, u, h, x_next):
    """The classical Runge-Kutta step of dynamics that are called four times."""
    n_x = x.shape[0]
    y, k, total = np.empty(n_x), np.empty(n_x), np.zeros(n_x)
    for i in range(n_x):
        y[i] = x[i]
    for stage in range(4):
        call(plant.step, y, u, plant.p, k)
        weight = 1.0 if stage == 0 or stage == 3 else 2.0
        fraction = h if stage == 2 else 0.5 * h
        for i in range(n_x):
            total[i] += weight * k[i]
            y[i] = x[i] + fraction * k[i]
    for i in range(n_x):
        x_next[i] = x[i] + h / 6.0 * total[i]


@register_jitable
def step_jacobian(plant, x, u, A, B):
    """Fills the exact A (n_x, n_x) and B (n_x, n_u) of `step` at (x, u)."""
    h = plant.dt / plant.substeps
    if plant.unrolled:
        call(plant.step_jacobian, x, u, plant.p, h, A, B)
        if plant.substeps == 1:
            return
    else:
        _rk4_jacobian(plant, x, u, h, A, B)
    if plant.substeps > 1:
        _chain_substeps(plant, x, u, h, A, B)


@register_jitable
def _chain_substeps(plant, x, u, h, A, B):
    """Replaces A, B of the first substep by those of all: A <- A_k A, B <- A_k B + B_k."""
    n_x, n_u = B.shape
    y, A_k, B_k = np.empty(n_x), np.empty((n_x, n_x)), np.empty((n_x, n_u))
    column = np.empty(n_x)
    for i in range(n_x):
        y[i] = x[i]
    for _ in range(1, plant.substeps):
        _small_step(plant, y, u, h, y)
        if plant.unrolled:
            call(plant.step_jacobian, y, u, plant.p, h, A_k, B_k)
        else:
            _rk4_jacobian(plant, y, u, h, A_k, B_k)
        for c in range(n_x):
            _times_column(A_k, A, c, column)
            for i in range(n_x):
                A[i, c] = column[i]
        for c in range(n_u):
            _times_column(A_k, B, c, column)
            for i in range(n_x):
                B[i, c] = column[i] + B_k[i, c]


@register_jitable
def _times_column(M, N, c, column):
    """Fills column with M times column c of N."""
    for i in range(M.shape[0]):
        total = 0.0
        for j in range(M.shape[1]):
            total += M[i, j] * N[j, c]
        column[i] = total


@register_jitable
def _rk4_jacobian(plant, x, u, h, A, B):
    """The chain rule through the stages of `_rk4`: D_s = J_s + c h J_s D_{s-1}."""
    n_x, n_u = B.shape
    y, k = np.empty(n_x), np.empty(n_x)
    J_x, J_u = np.empty((n_x, n_x)), np.empty((n_x, n_u))
    D, D_next = np.zeros((n_x, n_x + n_u)), np.empty((n_x, n_x + n_u))
    for i in range(n_x):
        y[i] = x[i]
        for j in range(n_x):
            A[i, j] = 1.0 if i == j else 0.0
        for j in range(n_u):
            B[i, j] = 0.0
    fraction = 0.0
    for stage in range(4):
        call(plant.step_jacobian, y, u, plant.p, k, J_x, J_u)
        _stage_slope(J_x, J_u, fraction, D, D_next)
        D, D_next = D_next, D
        weight = h / 6.0 if stage == 0 or stage == 3 else h / 3.0
        fraction = h if stage == 2 else 0.5 * h
        for i in range(n_x):
            y[i] = x[i] + fraction * k[i]
            for j in range(n_x):
                A[i, j] += weight * D[i, j]
            for j in range(n_u):
                B[i, j] += weight * D[i, n_x + j]


@register_jitable
def _stage_slope(J_x, J_u, fraction, D, D_next):
    """D_next = (J_x, J_u) + fraction J_x D, row by row; rows of J are mostly zeros."""
    n_x, columns = D.shape
    for i in range(n_x):
        for c in range(n_x):
            D_next[i, c] = J_x[i, c]
        for c in range(n_x, columns):
            D_next[i, c] = J_u[i, c - n_x]
        if fraction != 0.0:
            for j in range(n_x):
                factor = fraction * J_x[i, j]
                if factor != 0.0:
                    for c in range(columns):
                        D_next[i, c] += factor * D[j, c]


def call(function, *values):
    """Calls a Python function; compiled, calls an address with the data pointers of rows."""
    function(*values)


@overload(call)
def _compiled_call(function, *values):
    if isinstance(function, types.Integer) and all(map(_can_be_passed, values)):
        return lambda function, *values: _call_address(function, values)
    return None


def _can_be_passed(value: Any) -> bool:
    if isinstance(value, types.Array):
        return value.layout == 'C' and value.dtype == types.float64
    return value == types.float64


@intrinsic
def _call_address(typing_context, address, values):
    """Calls the function at an address with a pointer to double for every row, and with numbers."""

    def generate(context, builder, signature, arguments):
        location, pack = arguments
        passed = []
        for place, kind in enumerate(signature.args[1].types):
            value = builder.extract_value(pack, place)
            if isinstance(kind, types.Array):
                value = cgutils.create_struct_proxy(kind)(context, builder, value).data
            passed.append(value)
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in passed])
        builder.call(builder.inttoptr(location, kind.as_pointer()), passed)
        return context.get_dummy_value()

    return types.void(types.int64, values), generate
