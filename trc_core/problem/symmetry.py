"""Symmetries of planar problems, found numerically: shift, rotation and mirror.

A plant that drives in the plane mostly does not care where the origin lies, where the axes point,
and which side is left. What a problem does when it is moved is compared at random points: the
motion, the cost, the constraints with obstacles moved along, and the trim.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import permutations, product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from trc_core.problem.system import Array, System

PROBES = 12  # random points; a symmetry that a problem lacks shows at nearly every one
TOLERANCE = 1e-9  # relative to the largest number compared
MOST_SIGNS = 12  # states and controls beyond which patterns of signs are too many to try
SECONDS = 0.3  # after the beginning of a plan, at which obstacles have moved
NONE = -1


class Symmetry(NamedTuple):
    """The symmetries of a problem; all numbers, so that a checkpoint can hold them."""

    x: int = NONE
    """The state that is the first coordinate in the plane; -1 where nothing may be shifted."""
    y: int = NONE
    heading: int = NONE
    """The angle that turns with the plane; -1 where it must not be turned."""
    signs: tuple[int, ...] = ()
    """Of the states and the controls (n_x + n_u) when y is mirrored: -1 for those that change
    sign; empty where it must not be mirrored."""


class _Points(NamedTuple):
    """Random points (N) of a problem."""

    x: Array
    u: Array
    goal: Array
    p: Array


class _Motion(NamedTuple):
    """A motion of the plane: mirrored, then turned, then shifted."""

    angle: float
    shift: tuple[float, float]
    signs: Array  # (n_x + n_u,)


@lru_cache(maxsize=64)
def planar_symmetry(system: System) -> Symmetry:
    """The symmetries of a system's problems; no places where there are none.

    Positions are two states in metres, and the heading an angle. Of several pairs the first with
    the most symmetries counts.
    """
    best, points = Symmetry(), _drawn(system)
    same = np.ones(system.n_x + system.n_u)
    metres = [i for i in range(system.n_x) if system.state_units[i] == 'm']
    for x, y in permutations(metres, 2):
        moved = Symmetry(x, y)
        if not _holds(system, points, moved, _Motion(0.0, (1.7, -0.9), same)):
            continue
        best = moved if best.x == NONE else best
        for heading in map(int, system.wrapped):
            turned = Symmetry(x, y, heading)
            if _holds(system, points, turned, _Motion(0.7, (1.7, -0.9), same)):
                return turned._replace(signs=_mirror(system, points, turned))
    return best


def _mirror(system: System, points: _Points, turned: Symmetry) -> tuple[int, ...]:
    """The signs under the mirror, the pattern with the fewest changes; empty where none fits."""
    n, fixed = system.n_x + system.n_u, {turned.x: 1, turned.y: -1, turned.heading: -1}
    free = [i for i in range(n) if i not in fixed]
    if len(free) > MOST_SIGNS:
        return ()
    for pattern in sorted(product((1, -1), repeat=len(free)), key=lambda signs: -sum(signs)):
        found = {**fixed, **dict(zip(free, pattern, strict=True))}
        signs = np.array([found[i] for i in range(n)], dtype=np.float64)
        if _holds(system, points, turned, _Motion(0.0, (0.0, 0.0), signs)):
            return tuple(found[i] for i in range(n))
    return ()


def _drawn(system: System) -> _Points:
    """Points that are spread about the boxes, with obstacles among them."""
    rng = np.random.default_rng(0)
    x, goal = system.sample(rng, PROBES)
    x = x + rng.normal(0.0, 0.3, x.shape)
    goal = goal + rng.normal(0.0, 0.3, goal.shape)
    u = rng.uniform(system.u_min, system.u_max, (PROBES, system.n_u))
    p = system.sample_parameters(rng, PROBES)
    return _Points(x, u, goal, p)


def _holds(system: System, points: _Points, symmetry: Symmetry, motion: _Motion) -> bool:
    """Whether a problem that is moved does what it did, moved."""
    n_x, signs = system.n_x, motion.signs
    x, goal = (_moved(states, symmetry, motion) for states in (points.x, points.goal))
    u, p = points.u * signs[n_x:], _moved_obstacles(system, points.p, symmetry, motion)
    flips = signs[n_x:] < 0
    if np.any(system.u_min[flips] != -system.u_max[flips]):
        return False
    rates = _rates(system, points.x, points.u)
    if not _are_equal(_rates(system, x, u), _moved(rates, symmetry, motion, is_rate=True)):
        return False
    trims = system.trims(points.goal, points.p), system.trims(goal, p)
    error = [points.x - points.goal, x - goal]
    effort = [points.u - trims[0], u - trims[1]]
    before, after = (
        [_form(system.Q, e), _form(system.Q_f, e), _form(system.R, f)]
        for e, f in zip(error, effort, strict=True)
    )
    before += _terms(system, points.x, points.u, points.goal, points.p)
    after += _terms(system, x, u, goal, p)
    return _are_equal(trims[0] * signs[n_x:], trims[1]) and all(
        _are_equal(one, other) for one, other in zip(before, after, strict=True)
    )


def _rates(system: System, x: Array, u: Array) -> Array:
    with np.errstate(all='ignore'):
        return np.asarray(system.derivative(x, u))


def _form(weight: Array, error: Array) -> Array:
    return np.asarray(np.einsum('ni,ij,nj->n', error, weight, error))


def _terms(system: System, x: Array, u: Array, goal: Array, p: Array) -> list[Array]:
    """The constraints in the order of their size, and the sums of the squares of residuals."""
    task, found = system.task, []
    for terms in (task.constraints, task.residuals, task.terminal_residuals):
        if not terms:
            continue
        with np.errstate(all='ignore'):
            values = terms.evaluate(x, u, goal, list(p.T), SECONDS)
        rows = [np.broadcast_to(value, len(x)) for value in values]
        is_cost = terms is not task.constraints
        # a mirror may swap constraints: the limits to the left and to the right
        found.append(np.sum(np.square(rows), axis=0) if is_cost else np.sort(rows, axis=0))
    return found


def _are_equal(one: Any, other: Any) -> bool:
    """Whether numbers agree, and are numbers."""
    largest = max(float(np.abs(one).max(initial=0.0)), 1.0)
    return bool(np.abs(np.asarray(one) - other).max(initial=0.0) <= TOLERANCE * largest)


def _moved(states: Array, symmetry: Symmetry, motion: _Motion, is_rate: bool = False) -> Array:
    """States (N, n_x), or their rates, under a motion of the plane."""
    moved = states * motion.signs[: states.shape[1]]
    place = [symmetry.x, symmetry.y]
    shift = (0.0, 0.0) if is_rate else motion.shift
    moved[:, place] = _turned(moved[:, place], motion.angle) + shift
    if symmetry.heading != NONE and not is_rate:
        moved[:, symmetry.heading] += motion.angle
    return moved


def _turned(vectors: Array, angle: float) -> Array:
    """Vectors (N, 2) turned by an angle."""
    c, s = np.cos(angle), np.sin(angle)
    return vectors @ np.array([[c, s], [-s, c]])


def _moved_obstacles(system: System, p: Array, symmetry: Symmetry, motion: _Motion) -> Array:
    """Parameters (N, n_p) with obstacles moved along."""
    moved, side = p.copy(), motion.signs[symmetry.y]
    for is_velocity, (x, y) in _pairs(system):
        vectors = _turned(p[:, [x, y]] * np.array([1.0, side]), motion.angle)
        moved[:, [x, y]] = vectors + ((0.0, 0.0) if is_velocity else motion.shift)
    return moved


def _pairs(system: System) -> Iterator[tuple[bool, tuple[int, int]]]:
    """Whether they are velocities, and the places in p, of what moves with the plane."""
    for obstacle in system.obstacles:
        yield False, (system.places[obstacle.x], system.places[obstacle.y])
        if obstacle.vx is not None and obstacle.vy is not None:
            yield True, (system.places[obstacle.vx], system.places[obstacle.vy])
