"""The coordinates of a powered descent: 40 numbers in the place of T thrusts.

A thrust is s d, its size s within bounds and its direction d of length 1. A plan that spends the
least fuel has a size that jumps between its bounds, and a direction that turns slowly. So the
numbers are the Chebyshev coefficients of a vector along d and of a switching function S with
s = low + (high - low) sigmoid(8 S), the logarithm of the final time, and the prices of the final
position and velocity, the multipliers with which sweeps begin.

They describe plans on the central path: of the least fuel plus a barrier of weight `BARRIER`, with
which sweeps begin. Such sizes do not jump, keep off their bounds as far as sweeps ask for, and
change less from one problem to the next.

Numbers are about a centre in units of their spread, both of plans that were solved. Problems are
read in a frame of their own: about the vertical, so that the start lies on the x axis, and
mirrored, so that it moves to the left. There the state is (r, v, m), z is up, and the target is
the origin.

Source of the switching function: Lu, "Propellant-optimal powered descent guidance" (2018); that a
thrust of least fuel is at its bounds: Lawden, "Optimal trajectories for space navigation" (1963).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

if TYPE_CHECKING:
    from trc_core.problem.system import Array, System

DIRECTION, SWITCHING = 7, 12  # Chebyshev coefficients of an axis of d, and of S
TIME = 3 * DIRECTION + SWITCHING  # the place of log t_f
PRICES = TIME + 1  # the first of the prices, of r and of v
PRICED = 6  # states that have a price: r and v
NUMBERS = PRICES + PRICED
READ = 6  # numbers of a problem: distance, height, velocity, mass
STEEP = 8.0
BARRIER = 5e-4  # of the plans that a network learns, in units of the cost
MOST = 3.0  # of a dimensionless number that a network writes at once
TINY = 1e-9  # m or m/s, below which a direction or a side is none


class Descent(NamedTuple):
    """The numbers of the coordinates, as kernels take them."""

    centre: Array  # (NUMBERS,)
    spread: Array  # (NUMBERS,)
    middle: Array  # (READ,) of what is read of a problem
    width: Array  # (READ,)
    basis: Array  # (T, SWITCHING) Chebyshev polynomials in the middle of every step
    low: float  # the smallest size of a thrust
    high: float
    shortest: float  # final time [s]
    longest: float

    @classmethod
    def of(cls, system: System, tensors: Mapping[str, NDArray[Any]]) -> Descent:
        """The coordinates of a system's plans, with the numbers that a checkpoint holds."""
        given = {
            name: np.array(tensors[f'representation.{name}'], dtype=np.float64) for name in LEARNED
        }
        return cls._on(system, given)

    @classmethod
    def blank(cls, system: System) -> Descent:
        """Coordinates before anything was learned: centres 0, spreads 1."""
        given = {name: np.zeros(shape) for name, shape in LEARNED.items()}
        return cls._on(system, {**given, 'spread': np.ones(NUMBERS), 'width': np.ones(READ)})

    @classmethod
    def _on(cls, system: System, given: Mapping[str, Array]) -> Descent:
        require_descent(system)
        assert system.final_time is not None
        (norm,), (shortest, longest) = system.norms, system.final_time
        basis = chebyshev(system.horizon)
        return cls(
            **given, basis=basis, low=norm.low, high=norm.high, shortest=shortest, longest=longest
        )

    def tensors(self) -> dict[str, Array]:
        """What a checkpoint holds; the rest follows from its system."""
        return {f'representation.{name}': getattr(self, name) for name in LEARNED}


LEARNED = {'centre': (NUMBERS,), 'spread': (NUMBERS,), 'middle': (READ,), 'width': (READ,)}


def require_descent(system: System) -> None:
    """Refuses systems whose plans have no such coordinates.

    Raises:
        ValueError: if the duration is fixed, or states and controls are others.
    """
    timed = system.final_time is not None and len(system.norms) == 1 and system.n_u == 3
    ends = system.n_x == PRICED + 1 and system.terminal == system.state_names[:PRICED]
    if not (timed and ends):
        raise ValueError(
            f"'{system.name}' is no powered descent: that has the states place, velocity and "
            'mass, of which place and velocity are `terminal`, three controls with a norm, and '
            '`final_time`'
        )


def chebyshev(T: int) -> Array:
    """The Chebyshev polynomials (T, SWITCHING) of the place of every step within [-1, 1]."""
    place = (2.0 * np.arange(T) + 1.0) / T - 1.0
    return np.asarray(np.polynomial.chebyshev.chebvander(place, SWITCHING - 1))


@register_jitable
def enter_frame(x0, inside):
    """Fills the state inside the frame (7,), and returns the frame: cosine, sine, side."""
    d = math.sqrt(x0[0] * x0[0] + x0[1] * x0[1])
    c, s = (x0[0] / d, x0[1] / d) if d > TINY else (1.0, 0.0)
    left = c * x0[4] - s * x0[3]
    frame = (c, s, -1.0 if left < 0.0 else 1.0)
    turn_in(frame, x0[:3], inside[:3])
    turn_in(frame, x0[3:6], inside[3:6])
    inside[6] = x0[6]
    return frame


@register_jitable
def turn_in(frame, a, inside):
    """Fills a vector (3,) inside the frame."""
    c, s, side = frame
    x, y = a[0], a[1]
    inside[0], inside[1], inside[2] = c * x + s * y, side * (c * y - s * x), a[2]


@register_jitable
def turn_out(frame, a, outside):
    """Fills a vector (3,) as it was outside of the frame; they may be the same array."""
    c, s, side = frame
    x, y = a[0], side * a[1]
    outside[0], outside[1], outside[2] = c * x - s * y, s * x + c * y, a[2]


@register_jitable
def read_start(descent, inside, features):
    """Fills what is read (READ,) of a state inside the frame, dimensionless."""
    for i in range(READ):
        place = i if i == 0 else i + 1  # y is 0
        features[i] = (inside[place] - descent.middle[i]) / descent.width[i]


@register_jitable
def bounded(output):
    """A change of a number, for what a network writes: about the same where it is moderate."""
    return MOST * math.tanh(output / MOST)


@register_jitable
def value_of(descent, o, i):
    """Number i of dimensionless ones o (NUMBERS,)."""
    return descent.centre[i] + descent.spread[i] * o[i]


@register_jitable
def unfold(descent, o, u):
    """Fills the thrusts u (T, 3) of dimensionless numbers o, and returns the final time [s]."""
    T, basis = u.shape[0], descent.basis
    for t in range(T):
        length = TINY
        for i in range(3):
            total = 0.0
            for j in range(DIRECTION):
                total += value_of(descent, o, DIRECTION * i + j) * basis[t, j]
            u[t, i] = total
            length += total * total
        size = size_at(descent, o, t) / math.sqrt(length)
        for i in range(3):
            u[t, i] *= size
    return min(max(math.exp(value_of(descent, o, TIME)), descent.shortest), descent.longest)


@register_jitable
def size_at(descent, o, t):
    """The size of thrust t."""
    return descent.low + (descent.high - descent.low) * share_at(descent, o, t)


@register_jitable
def share_at(descent, o, t):
    """The place of the size of thrust t between its bounds, from 0 to 1."""
    total = 0.0
    for j in range(SWITCHING):
        total += value_of(descent, o, 3 * DIRECTION + j) * descent.basis[t, j]
    return 1.0 / (1.0 + math.exp(-STEEP * total))


@register_jitable
def fold_slope(descent, o, u, by_u, by_time, by_price, slope):
    """Fills the slope (NUMBERS,) by dimensionless numbers of a function of what they mean.

    Args:
        descent: the coordinates.
        o: the numbers (NUMBERS,).
        u: the thrusts (T, 3) that they unfold to.
        by_u: the slope by the thrusts (T, 3).
        by_time: by the final time.
        by_price: by the prices (6,).
        slope: to be filled.
    """
    T, basis, range_ = u.shape[0], descent.basis, descent.high - descent.low
    slope[:] = 0.0
    for t in range(T):
        share, length, along = share_at(descent, o, t), TINY, 0.0
        size = descent.low + range_ * share
        for i in range(3):
            along += by_u[t, i] * u[t, i] / size
            total = 0.0
            for j in range(DIRECTION):
                total += value_of(descent, o, DIRECTION * i + j) * basis[t, j]
            length += total * total
        by_size = along * range_ * STEEP * share * (1.0 - share)
        for j in range(SWITCHING):
            slope[3 * DIRECTION + j] += by_size * basis[t, j]
        for i in range(3):
            across = (size * by_u[t, i] - along * u[t, i]) / math.sqrt(length)
            for j in range(DIRECTION):
                slope[DIRECTION * i + j] += across * basis[t, j]
    seconds = math.exp(value_of(descent, o, TIME))
    slope[TIME] = by_time * min(max(seconds, descent.shortest), descent.longest)
    for i in range(PRICED):
        slope[PRICES + i] = by_price[i]
    for i in range(NUMBERS):
        slope[i] *= descent.spread[i]


@register_jitable
def batch_read(descent, x0, inside, features):
    """Fills states inside their frames (B, 7) and what is read of them (B, READ)."""
    for b in range(x0.shape[0]):
        enter_frame(x0[b], inside[b])
        read_start(descent, inside[b], features[b])
