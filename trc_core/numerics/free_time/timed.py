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

FORWARD, EXPANSION, END, LAWS, GRADIENT = range(5)  # functions of a plant
OTHER, SIZE, TURN = range(3)  # kinds of local coordinates
LOW, HIGH, UNIT = range(3)  # rows of the bounds of local coordinates
DT, COST, LOW_PRICE, HIGH_PRICE = range(4)  # numbers of a flight


class Timed(NamedTuple):
    """A plant of a free duration and its problem."""

    functions: Any  # (4,) addresses of the graphs of `problem.free_time`
    numbers: Array  # their arguments, with p, r and v filled in
    kinds: NDArray[np.int64]  # (n_u,) of local coordinates
    groups: NDArray[np.int64]  # (n_g, 1 + n_u) members of every group, behind their number
    bounds: Array  # (3, n_u) low, high and unit of local coordinates, in the controls' own units
    x_unit: Array  # (n_x,) of states
    h_unit: Array  # (n_h,) of constraints
    holds: NDArray[np.bool_]  # (T + 1, n_h) where each constraint counts
    terminal: NDArray[np.int64]  # (n_c,) states that end at the goal
    goal: Array  # (n_x,)
    dt: Array  # (2,) limits of a step's duration
    cost_unit: float
    laws: int  # how many laws there are


class Flight(NamedTuple):
    """A plan of a free duration with the prices and slacks of an interior point."""

    x: Array  # (T + 1, n_x)
    u: Array  # (T, n_u)
    at: Array  # (T, n_u) local coordinates that have bounds, in the controls' own units
    numbers: Array  # (4,) duration of a step, J, prices of the limits of that duration
    nu: Array  # (n_c,) prices of the states that end at the goal
    h: Array  # (T + 1, n_h) constraints
    y: Array  # (T + 1, n_h) their slacks, above 0
    w: Array  # (T + 1, n_h) their prices
    below: Array  # (T, n_u) prices of the lower bounds of local coordinates
    above: Array  # (T, n_u) prices of the upper bounds


class Worth(NamedTuple):
    """What a plan is worth."""

    cost: float  # J
    logs: float  # the sum of the logarithms of slacks and distances to bounds, in their units
    missed: float  # errors of the states that end at the goal, in units of the states
    open: float  # sum of |h + y|, in units of the constraints


def new_flight(T: int, n_x: int, n_u: int, n_h: int, n_c: int) -> Flight:
    """Room for a plan."""
    return Flight(
        np.zeros((T + 1, n_x)),
        np.zeros((T, n_u)),
        np.zeros((T, n_u)),
        np.ones(4),
        np.zeros(n_c),
        np.zeros((T + 1, n_h)),
        np.ones((T + 1, n_h)),
        np.zeros((T + 1, n_h)),
        np.ones((T, n_u)),
        np.ones((T, n_u)),
    )


@register_jitable
def direction_of(groups, group, u, t, d):
    """Fills the direction d (n_u,) of a group of u[t]; returns its size."""
    count, size = groups[group, 0], 0.0
    for j in range(count):
        d[j] = u[t, groups[group, 1 + j]]
        size += d[j] * d[j]
    size = np.sqrt(size)
    for j in range(count):
        d[j] /= size if size > 0.0 else 1.0
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
def put_inside(kinds, groups, bounds, margin, u, t, at, d):
    """Moves u[t] inside its bounds by a share of their range; fills at[t]. d is room (n_u,)."""
    for i in range(u.shape[1]):
        if kinds[i] == OTHER:
            edge = margin * (bounds[HIGH, i] - bounds[LOW, i])
            u[t, i] = min(max(u[t, i], bounds[LOW, i] + edge), bounds[HIGH, i] - edge)
            at[t, i] = u[t, i]
    for group in range(groups.shape[0]):
        first = groups[group, 1]
        edge = margin * (bounds[HIGH, first] - bounds[LOW, first])
        size = direction_of(groups, group, u, t, d)
        if not size > 0.0:
            size = 1.0
            for j in range(groups[group, 0]):
                d[j] = 1.0 if j == 0 else 0.0
        size = min(max(size, bounds[LOW, first] + edge), bounds[HIGH, first] - edge)
        at[t, first] = size
        for j in range(groups[group, 0]):
            u[t, groups[group, 1 + j]] = size * d[j]


@register_jitable
def move(kinds, groups, bounds, u, at, t, change, scratch, u_new, at_new):
    """Fills u_new[t] and at_new[t]: those moved by local coordinates `change` (n_u,)."""
    d, basis = scratch[0], scratch[1:]
    for i in range(u.shape[1]):
        at_new[t, i] = at[t, i] + bounds[UNIT, i] * change[i]
        if kinds[i] == OTHER:
            u_new[t, i] = at_new[t, i]
    for group in range(groups.shape[0]):
        count, size = groups[group, 0], at_new[t, groups[group, 1]]
        direction_of(groups, group, u, t, d)
        turns_of(d, count, basis)
        length = 0.0
        for i in range(count):
            for j in range(1, count):
                d[i] += basis[j, i] * change[groups[group, 1 + j]]
            length += d[i] * d[i]
        size /= np.sqrt(length)
        for i in range(count):
            u_new[t, groups[group, 1 + i]] = size * d[i]
