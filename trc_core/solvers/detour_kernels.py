"""Kernels of ways around obstacles; they run as plain Python and under Numba.

A way is seen from the straight line between a start and a goal: at equal steps along that line it
lies some distance beside it. Each obstacle is passed on its left or on its right, and the way is
pulled taut between them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.compile.plant import LAWS, VALUES, advance, call_values
from trc_core.numerics.rollout import clip, merit_along, row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trc_core.problem.system import Array

POINTS = 41  # of a way
PULLS, PULL = 60, 1.7  # rounds that pull a way taut, and over-relaxation of each
AHEAD = 0.1  # share of the way by which the point lies ahead that a law is led to


class Field(NamedTuple):
    """Obstacles between a start and a goal, where the plant is going to pass them."""

    start: Array  # (2 or 3,) position
    along: Array  # (2 or 3,) from the start to the goal
    beside: Array  # (2 or 3,) a horizontal unit vector to the left
    centres: Array  # (k, 2), shares of the line, and distances to its left
    radii: Array  # (k,), with clearance
    places: NDArray[np.int64]  # (2 or 3,) of the position among the states


@register_jitable
def fly_ways(plant, law, field, x0, r, trajectories, J):
    """Flies a law along the way of every choice of sides.

    Fills trajectories (2^k,) and their merits J (2^k,); inf where obstacles leave no way. Bit i
    of a choice says whether obstacle i is passed on its left.
    """
    n = field.places.shape[0]
    y, way, led = np.empty(POINTS), np.empty((POINTS, n)), np.empty_like(r)
    for choice in range(J.shape[0]):
        J[choice] = math.inf
        if taut_way(field, choice, y):
            for k in range(POINTS):
                share = k / (POINTS - 1)
                for i in range(n):
                    way[k, i] = field.start[i] + share * field.along[i] + y[k] * field.beside[i]
            J[choice] = fly_way(plant, law, field, way, x0, r, led, row(trajectories, choice))


@register_jitable
def taut_way(field, choice, y):
    """Fills y (POINTS,), the distances of the shortest way beside the line; whether there is one.

    Over-relaxed Gauss-Seidel steps towards the mean of both neighbours, clipped into what the
    obstacles leave: those of a taut string that touches them.
    """
    length = 0.0
    for i in range(field.along.shape[0]):
        length += field.along[i] * field.along[i]
    length = math.sqrt(length)
    low, high = np.full(POINTS, -math.inf), np.full(POINTS, math.inf)
    for k in range(1, POINTS - 1):
        for i in range(field.radii.shape[0]):
            gap = (k / (POINTS - 1) - field.centres[i, 0]) * length
            inside = field.radii[i] * field.radii[i] - gap * gap
            if inside > 0.0:
                if choice >> i & 1:
                    low[k] = max(low[k], field.centres[i, 1] + math.sqrt(inside))
                else:
                    high[k] = min(high[k], field.centres[i, 1] - math.sqrt(inside))
        if low[k] > high[k]:
            return False
    for k in range(POINTS):
        y[k] = 0.0
    for _ in range(PULLS):
        for k in range(1, POINTS - 1):
            pulled = y[k] + PULL * (0.5 * (y[k - 1] + y[k + 1]) - y[k])
            y[k] = min(max(pulled, low[k]), high[k])
    return True


@register_jitable
def fly_way(plant, law, field, way, x0, r, led, trajectory):
    """Flies a law along a way (POINTS, n) and then to its reference; returns the merit.

    The law is told that its goal lies in the direction of the way, as far as the way is long, so
    that it neither turns back nor slows down where the way bends.
    """
    dynamics, places, x, u = plant.dynamics, field.places, trajectory.x, trajectory.u
    functions, (T, n_u), n = plant.terms.functions, u.shape, places.shape[0]
    controls = np.empty(functions[LAWS, 0])
    left = np.zeros(POINTS)  # of the way, behind each of its points
    for k in range(POINTS - 2, -1, -1):
        left[k] = left[k + 1] + _distance(way, k + 1, way, k, n)
    for i in range(x0.shape[0]):
        x[0, i] = x0[i]
    nearest, ahead = 0, max(1, int(AHEAD * POINTS))
    here = np.empty((1, n))
    for t in range(T):
        for i in range(n):
            here[0, i] = x[t, places[i]]
        while nearest < POINTS - 1 and (
            _distance(way, nearest + 1, here, 0, n) <= _distance(way, nearest, here, 0, n)
        ):
            nearest += 1
        for i in range(led.shape[1]):
            led[t, i] = r[t, i]
        target = nearest + ahead
        if target < POINTS - 1:
            gap = max(_distance(way, target, here, 0, n), 1e-9)
            reach = max(1.0, left[nearest] / gap)
            for i in range(n):
                led[t, places[i]] = here[0, i] + reach * (way[target, i] - here[0, i])
        call_values(
            functions[LAWS, VALUES], x, t, u, t, led, dynamics.p, t * dynamics.dt, controls
        )
        for i in range(n_u):
            u[t, i] = clip(controls[law * n_u + i], plant.u_min[i], plant.u_max[i])
        advance(dynamics, x, u, t)
    return merit_along(plant, trajectory, r)


@register_jitable
def _distance(a, i, b, j, n):
    """Between the points a[i] and b[j]."""
    total = 0.0
    for k in range(n):
        total += (a[i, k] - b[j, k]) * (a[i, k] - b[j, k])
    return math.sqrt(total)
