"""What a network reads in the canonical frame (`numerics/canonical.py`).

Plain Python that Numba compiles. The mathematics is that of `models/canonical_frame.py`; a test
holds the two together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.constants import COINCIDE, LEVEL, MEMBER, NEAR, PAIR, PRESENT, SOFT

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Units(NamedTuple):
    """The units of one problem."""

    s: float  # the size of the initial error
    side: float  # -1 where the problem is mirrored
    cos: float  # of the direction of the x axis of the canonical frame
    sin: float


class Members(NamedTuple):
    """What is read of the obstacles that are there."""

    features: NDArray[np.float32]  # (n, MEMBER)
    pairs: NDArray[np.float32]  # (n, n, PAIR) how obstacle j lies from obstacle i


@register_jitable
def no_members():
    """Where there are no obstacles."""
    return Members(np.empty((0, MEMBER), np.float32), np.empty((0, 0, PAIR), np.float32))


@register_jitable
def units_of(rep, x0, r_0):
    """The `Units` of a problem in its canonical frame."""
    places, signs = rep.scene.places, rep.scene.signs
    px, py, heading = places[0], places[1], places[2]
    side, c, s = 1.0, 1.0, 0.0
    if heading >= 0:
        dx, dy = r_0[px] - x0[px], r_0[py] - x0[py]
        d = math.sqrt(dx * dx + dy * dy)
        if d > COINCIDE:
            c, s = dx / d, dy / d
        else:
            c, s = math.cos(x0[heading]), math.sin(x0[heading])
        left = math.sin(x0[heading]) * c - math.cos(x0[heading]) * s
        if signs[py] < 0.0 and left < -LEVEL:
            side = -1.0
    return Units(math.sqrt(rep.floor), side, c, s)


@register_jitable
def sign_of(rep, units, i):
    """The sign of state i, or of control i - n_x, as a network sees it."""
    return 1.0 if units.side > 0.0 else rep.scene.signs[i]


@register_jitable
def soft(value):
    """About the value where it is moderate; never more than `SOFT`."""
    return SOFT * math.tanh(value / SOFT)


@register_jitable
def read_canonical(rep, units, x0, r_0, p, features):
    """Fills what is read beside obstacles, in the order of `Scene.problem_dim`."""
    scene, place = rep.scene, 0
    px, py, heading = scene.places[0], scene.places[1], scene.places[2]
    if px >= 0:
        x, y, d = in_frame(rep, units, r_0[px] - x0[px], r_0[py] - x0[py])
        length = scene.sizes[0]
        features[0], features[1] = soft(x / length), soft(y / length)
        features[2] = math.log(d / length + NEAR)
        place = 3
    for a in range(rep.angles.shape[0]):
        i = rep.angles[a]
        for k in range(2):
            angle = x0[i] if k == 0 else r_0[i]
            c, s = math.cos(angle), math.sin(angle)
            if i == heading:
                c, s = c * units.cos + s * units.sin, s * units.cos - c * units.sin
            features[place], features[place + 1] = sign_of(rep, units, i) * s, c
            place += 2
    for n in range(scene.states.shape[0]):
        i, centre, half = int(scene.states[n, 0]), scene.states[n, 1], scene.states[n, 2]
        sign = sign_of(rep, units, i)
        features[place] = soft((sign * x0[i] - centre) / half)
        features[place + 1] = soft((sign * r_0[i] - centre) / half)
        place += 2
    for n in range(scene.sources.shape[0]):
        value = p[int(scene.sources[n, 0])]
        features[place + n] = soft((value - scene.sources[n, 1]) / scene.sources[n, 2])
    features[place + scene.sources.shape[0]] = 1.0  # the whole horizon remains


@register_jitable
def in_frame(rep, units, dx, dy):
    """The coordinates of a vector of the plane in the canonical frame, and its length."""
    x, y = units.cos * dx + units.sin * dy, units.cos * dy - units.sin * dx
    return (
        x,
        y * (1.0 if units.side > 0.0 else rep.scene.signs[rep.scene.places[1]]),
        math.sqrt(dx * dx + dy * dy),
    )


@register_jitable
def read_members(rep, units, x0, r_0, p):
    """The `Members` of the obstacles that are there."""
    scene, count = rep.scene, 0
    n = scene.obstacles.shape[0]
    members, there = np.empty((n, MEMBER), np.float32), np.empty(n, np.int64)
    for k in range(n):
        px, py = scene.places[0], scene.places[1]
        dx, dy = p[scene.obstacles[k, 0]] - x0[px], p[scene.obstacles[k, 1]] - x0[py]
        if math.sqrt(dx * dx + dy * dy) < PRESENT:
            to_goal_x = p[scene.obstacles[k, 0]] - r_0[px]
            to_goal_y = p[scene.obstacles[k, 1]] - r_0[py]
            to_goal = math.sqrt(to_goal_x * to_goal_x + to_goal_y * to_goal_y)
            read_member(rep, units, scene.obstacles[k], dx, dy, to_goal, p, members[count])
            there[count] = k
            count += 1
    pairs = np.empty((count, count, PAIR), np.float32)
    for i in range(count):
        for j in range(count):
            one, other = scene.obstacles[there[i]], scene.obstacles[there[j]]
            read_pair(rep, units, one, other, p, pairs[i, j])
    return Members(members[:count], pairs)


@register_jitable
def read_pair(rep, units, one, other, p, features):
    """Fills the features (PAIR,) of how another obstacle lies from one."""
    sizes = rep.scene.sizes
    x, y, d = in_frame(rep, units, p[other[0]] - p[one[0]], p[other[1]] - p[one[1]])
    vx = velocity_of(other, 3, p) - velocity_of(one, 3, p)
    vy = velocity_of(other, 4, p) - velocity_of(one, 4, p)
    vx, vy, _ = in_frame(rep, units, vx, vy)
    gap = d - p[other[2]] - p[one[2]]
    opening = (vx * x + vy * y) / max(d, COINCIDE) if d > 0.0 else 0.0
    features[0], features[1] = soft(x / sizes[0]), soft(y / sizes[0])
    features[2], features[3] = soft(gap / sizes[0]), soft(gap / sizes[2])
    features[4] = soft(opening / sizes[3])


@register_jitable
def velocity_of(places, axis, p):
    """The velocity of an obstacle along x (3) or y (4); zero where it has none."""
    return p[places[axis]] if places[axis] >= 0 else 0.0


@register_jitable
def read_member(rep, units, places, dx, dy, to_goal, p, features):
    """Fills the features (MEMBER,) of one obstacle, dx and dy from the start."""
    sizes = rep.scene.sizes
    length, r = sizes[0], p[places[2]]
    x, y, d = in_frame(rep, units, dx, dy)
    vx, vy, _ = in_frame(rep, units, velocity_of(places, 3, p), velocity_of(places, 4, p))
    safe = d if d > 0.0 else 1.0
    features[0], features[1] = soft(x / length), soft(y / length)
    features[2] = soft((r - sizes[1]) / sizes[2])
    features[3], features[4] = soft(vx / sizes[3]), soft(vy / sizes[3])
    features[5], features[6] = y / safe, x / safe
    features[7] = math.asin(min(1.0, max(0.0, r) / safe)) if d > 0.0 else 0.5 * math.pi
    features[8], features[9] = soft((y + r) / length), soft((y - r) / length)
    features[10] = math.log(d / length + NEAR)
    features[11] = math.log(to_goal / length + NEAR)
