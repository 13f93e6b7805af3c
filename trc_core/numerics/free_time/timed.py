"""A plant whose plans have a free duration as kernels see it, and what a plan of it is.

Kernels know a control vector by local coordinates z: an ordinary control is its own coordinate; a
group of controls whose length has limits is a size, in the place of its first member, and small
turns of its direction in the places of the others. Sizes and controls count in units of their
ranges, turns in rad.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trc_core.problem.system import Array

FORWARD, EXPANSION, END, GRADIENT = range(4)  # functions of a plant
OTHER, SIZE, TURN = range(3)  # kinds of local coordinates


class Timed(NamedTuple):
    """A plant of a free duration and its problem."""

    functions: Any  # (3,) addresses of the graphs of `problem.free_time`
    numbers: Array  # their arguments, with p, r and v filled in
    kinds: NDArray[np.int64]  # (n_u,) of local coordinates
    groups: NDArray[np.int64]  # (n_g, 1 + n_u) members of every group, behind their number
    low: Array  # (n_u,) bounds of local coordinates, in the units of the controls
    high: Array  # (n_u,)
    unit: Array  # (n_u,) of local coordinates
    x_unit: Array  # (n_x,) of states
    h_unit: Array  # (n_h,) of constraints
    cost_unit: float
    uses_control: NDArray[np.bool_]  # (n_h,) constraints that hold for t < T; the others t > 0
    at_end: NDArray[np.bool_]  # (n_h,) constraints that hold at T
    terminal: NDArray[np.int64]  # (n_c,) states that end at the goal
    goal: Array  # (n_x,)
    dt: Array  # (2,) limits of a step's duration


class Flight(NamedTuple):
    """A plan of a free duration with the prices and slacks of an interior point."""

    x: Array  # (T + 1, n_x)
    u: Array  # (T, n_u)
    dt: Array  # (1,) duration of a step
    cost: Array  # (1,) J
    nu: Array  # (n_c,) prices of the states that end at the goal
    h: Array  # (T + 1, n_h) constraints
    y: Array  # (T + 1, n_h) their slacks, above 0
    w: Array  # (T + 1, n_h) their prices
    z: Array  # (2, T, n_u) prices of the lower and the upper bounds of local coordinates
    z_dt: Array  # (2,) prices of the limits of dt


def new_flight(T: int, n_x: int, n_u: int, n_h: int, n_c: int) -> Flight:
    """Room for a plan; prices and slacks are 1."""
    return Flight(
        np.zeros((T + 1, n_x)),
        np.zeros((T, n_u)),
        np.ones(1),
        np.zeros(1),
        np.zeros(n_c),
        np.zeros((T + 1, n_h)),
        np.ones((T + 1, n_h)),
        np.ones((T + 1, n_h)),
        np.ones((2, T, n_u)),
        np.ones(2),
    )


@register_jitable
def holds(plant, t, T, i):
    """Whether constraint i holds at step t of T."""
    if plant.uses_control[i]:
        return t < T
    return t > 0 and (t < T or plant.at_end[i])


@register_jitable
def fill_arguments(plant, x, dt, t, arguments):
    """Writes the state, the duration and the number of a step to the arguments."""
    n_x, n_u = plant.x_unit.shape[0], plant.unit.shape[0]
    for i in range(n_x):
        arguments[i] = x[t, i]
    arguments[n_x + n_u] = dt
    arguments[n_x + n_u + 1] = float(t)


@register_jitable
def direction_of(plant, group, u, d):
    """Fills the direction d (n,) of a group of u (n_u,); returns its size."""
    count, size = plant.groups[group, 0], 0.0
    for j in range(count):
        d[j] = u[plant.groups[group, 1 + j]]
        size += d[j] * d[j]
    size = np.sqrt(size)
    for j in range(count):
        d[j] /= size
    return size


@register_jitable
def turns_of(d, count, basis):
    """Fills rows 1 to count - 1 of a basis with an orthonormal complement of d (count,).

    They are rows of the Householder reflection that takes the first axis to -+ d.
    """
    sign = 1.0 if d[0] >= 0.0 else -1.0
    scale = 1.0 / (1.0 + sign * d[0])  # 2 / v'v, v = d + sign e_0
    for j in range(1, count):
        for i in range(count):
            v = d[i] + (sign if i == 0 else 0.0)
            basis[j, i] = (1.0 if i == j else 0.0) - scale * d[j] * v


@register_jitable
def coordinate(plant, u, i):
    """The bounded local coordinate i (OTHER or SIZE) of u (n_u,), in the units of controls."""
    if plant.kinds[i] == OTHER:
        return u[i]
    total = 0.0
    for group in range(plant.groups.shape[0]):
        if plant.groups[group, 1] == i:
            for j in range(plant.groups[group, 0]):
                total += u[plant.groups[group, 1 + j]] ** 2
    return np.sqrt(total)


@register_jitable
def moved(plant, u, change, scratch, out):
    """Fills out (n_u,) with u moved by local coordinates `change` (n_u,), in their units."""
    n_u = u.shape[0]
    d, basis = scratch[0], scratch[1:]
    for i in range(n_u):
        if plant.kinds[i] == OTHER:
            out[i] = u[i] + plant.unit[i] * change[i]
    for group in range(plant.groups.shape[0]):
        count, first = plant.groups[group, 0], plant.groups[group, 1]
        size = direction_of(plant, group, u, d) + plant.unit[first] * change[first]
        turns_of(d, count, basis)
        length = 0.0
        for i in range(count):
            for j in range(1, count):
                d[i] += basis[j, i] * change[plant.groups[group, 1 + j]]
            length += d[i] * d[i]
        for i in range(count):
            out[plant.groups[group, 1 + i]] = size * d[i] / np.sqrt(length)
