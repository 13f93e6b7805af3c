"""Features: what a network reads of a problem, a plan and its consequences, and what it writes.

They are dimensionless (`numerics/representation.py`): float32 out of physics in float64. Plain
Python that Numba compiles.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.planner.canonical_kernels import (
    Units,
    in_frame,
    no_members,
    read_canonical,
    read_members,
    sign_of,
    units_of,
)
from trc_core.planner.layer_kernels import squash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trc_core.problem.system import Array


class Settings(NamedTuple):
    """Settings of refinement that a network was trained with."""

    beam: NDArray[np.int64]  # how many of the best candidates cycle 1, 2, ... refines
    sweeps: int  # of box-iLQR at the end of a cycle
    residual: bool  # the network writes changes of a plan, not plans
    terminal: bool  # it reads the terminal error,
    trajectory: bool  # the states of every `stride`,
    gradient: bool  # and the gradient
    stride: int
    consequences: int  # numbers that it reads of a plan's consequences


class Features(NamedTuple):
    """A plan and its consequences, as the network reads them; arrays to fill."""

    plan: NDArray[np.float32]  # (2 T n_u,)
    consequences: NDArray[np.float32]
    slope: Array  # (T, n_u), zero where the network does not read the gradient


@register_jitable
def empty_features(settings, T, n_u):
    """`Features` to fill, of a plan (T, n_u)."""
    consequences = np.empty(settings.consequences, np.float32)
    return Features(np.empty(2 * T * n_u, np.float32), consequences, np.zeros((T, n_u)))


@register_jitable
def read_problem(rep, x0, r_0, p):
    """What is read of an initial state, where the reference begins, and parameters p (n_p,).

    Returns:
        The `Units`, the features of the problem, and the `Members` that are obstacles.
    """
    if rep.scene.places.shape[0] > 0:
        units, scene = units_of(rep, x0, r_0), rep.scene
        positions = 3 if scene.places[0] >= 0 else 0
        states, angles = 2 * scene.states.shape[0], 4 * rep.angles.shape[0]
        read = np.empty(positions + angles + states + scene.sources.shape[0] + 1, np.float32)
        read_canonical(rep, units, x0, r_0, p, read)
        return units, read, read_members(rep, units, x0, r_0, p)
    units, read = read_errors(rep, x0, r_0)
    return units, read, no_members()


@register_jitable
def read_errors(rep, x0, r_0):
    """The `Units`, and what is read of the initial error."""
    n_x, n_a, n_p = x0.shape[0], rep.angles.shape[0], rep.inputs.shape[0]
    n_g = rep.goals.shape[0]
    features = np.empty(2 * n_x + 2 * n_a + n_p + 2 * n_g + 1, np.float32)
    error = np.empty(n_x)
    for i in range(n_x):
        error[i] = x0[i] - r_0[i]
    side = -1.0 if rep.mirror >= 0 and error[rep.mirror] < 0.0 else 1.0
    square = rep.floor
    for i in range(n_x):
        square += product(rep.S, i, error) ** 2
    s = math.sqrt(square)
    for i in range(n_x):
        features[i] = side * product(rep.C, i, error) / s
        features[n_x + i] = side * math.asinh(product(rep.D, i, error))
    for i in range(n_a):
        features[2 * n_x + i] = side * math.sin(error[rep.angles[i]])
        features[2 * n_x + n_a + i] = math.cos(error[rep.angles[i]])
    for i in range(n_p):
        features[2 * n_x + 2 * n_a + i] = rep.inputs[i]
    place = 2 * n_x + 2 * n_a + n_p
    for i in range(n_g):
        angle = rep.goals[i, 1] * (r_0[int(rep.goals[i, 0])] - rep.goals[i, 2])
        features[place + i] = math.sin(angle)
        features[place + n_g + i] = math.cos(angle)
    features[place + 2 * n_g] = 1.0  # the whole horizon remains
    return Units(s, side, 1.0, 0.0), features


@register_jitable
def product(M, i, a):
    """Component i of M a."""
    total = 0.0
    for j in range(a.shape[0]):
        total += M[i, j] * a[j]
    return total


@register_jitable
def read_plan(plant, rep, units, v, u, features):
    """Fills the inputs of the control embedding: asinh(L'v / s) and the place between bounds."""
    (T, n_u), n_x = v.shape, rep.W.shape[0]
    for t in range(T):
        for i in range(n_u):
            total, sign = 0.0, sign_of(rep, units, n_x + i)
            for j in range(n_u):
                total += rep.L[t, j, i] * v[t, j]
            features[t * n_u + i] = sign * total / units.s
            middle = 0.5 * (plant.u_max[i] + plant.u_min[i])
            half = 0.5 * (plant.u_max[i] - plant.u_min[i])
            features[T * n_u + t * n_u + i] = sign * (u[t, i] - middle) / half
    squash(features[: T * n_u])


@register_jitable
def write_state(rep, units, x_t, r_t, features, place):
    """features[place:] = W (x_t - r_t) / s; returns the place behind."""
    n_x = r_t.shape[0]
    error = np.empty(n_x)
    for i in range(n_x):
        error[i] = x_t[i] - r_t[i]
    places = rep.scene.places
    if places.shape[0] > 0 and places[2] >= 0:
        x, y, _ = in_frame(rep, units, error[places[0]], error[places[1]])
        error[places[0]] = x
        error[places[1]] = y * sign_of(rep, units, places[1])  # as it was before the mirror
    for i in range(n_x):
        features[place + i] = sign_of(rep, units, i) * product(rep.W, i, error) / units.s
    return place + n_x


@register_jitable
def read_consequences(rep, settings, units, x, r, slope, features):
    """Fills the inputs of the error encoder: terminal error, trajectory, gradient, as trained."""
    T, n_u = slope.shape
    place = 0
    if settings.terminal:
        place = write_state(rep, units, x[T], r[T], features, place)
    if settings.trajectory:
        for t in range(settings.stride, T + 1, settings.stride):
            place = write_state(rep, units, x[t], r[t], features, place)
    if settings.gradient:
        for t in range(T):
            for i in range(n_u):
                features[place + t * n_u + i] = slope[t, i]
    squash(features)


@register_jitable
def metric_gradient(rep, units, dJ_dv, slope):
    """Slope = L^-1 dJ/dv / s."""
    (T, n_u), n_x = dJ_dv.shape, rep.W.shape[0]
    for t in range(T):
        for i in range(n_u):
            sign = sign_of(rep, units, n_x + i)
            slope[t, i] = sign * product(rep.L_inverse[t], i, dJ_dv[t]) / units.s


@register_jitable
def newton_decrement(rep, dJ_dv):
    """The decrease of J that the Newton step predicts, by the metric: |L^-1 dJ/dv|^2 / 4."""
    total = 0.0
    for t in range(dJ_dv.shape[0]):
        for i in range(dJ_dv.shape[1]):
            total += product(rep.L_inverse[t], i, dJ_dv[t]) ** 2
    return total / 4.0


@register_jitable
def write_step(rep, units, output, change):
    """Change (T, n_u) = s L^-T o for the network's output o (T n_u,)."""
    (T, n_u), n_x = change.shape, rep.W.shape[0]
    for t in range(T):
        for i in range(n_u):
            total = 0.0
            for j in range(n_u):
                sign = sign_of(rep, units, n_x + j)
                total += rep.L_inverse[t, j, i] * (sign * output[t * n_u + j])
            change[t, i] = units.s * total
