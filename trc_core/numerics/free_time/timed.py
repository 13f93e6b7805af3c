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

FORWARD, EXPANSION, END, LAWS, GRADIENT, MOVED = range(6)  # functions of a plant
OTHER, SIZE, TURN = range(3)  # kinds of local coordinates
LOW, HIGH, UNIT = range(3)  # rows of the bounds of local coordinates
DT, COST, LOW_PRICE, HIGH_PRICE = range(4)  # numbers of a flight


class Timed(NamedTuple):
    """A plant of a free duration and its problem."""

    functions: Any  # (6,) addresses of the graphs of `problem.free_time`
    numbers: Array  # their arguments, with the units of z, p, r and v filled in
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
    width: int  # columns of slopes by (x, dt, z), behind which are zeros


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
