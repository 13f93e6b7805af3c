"""The network: what it reads, how it reasons, what it writes. Plain Python that Numba compiles.

It runs in float32, the physics that it reads in float64. The mathematics is that of
`trc_core/models`; a test holds the two together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.constants import NEWTON_CLAMP
from trc_core.planner.layer_kernels import affine, reason, squash, two_layers
from trc_core.planner.network import (
    CONTROL,
    DECODER_HIDDEN,
    DECODER_OUTPUT,
    ERROR_HIDDEN,
    ERROR_OUTPUT,
    INITIAL_HIDDEN,
    INITIAL_OUTPUT,
    STATE_HIDDEN,
    STATE_OUTPUT,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trc_core.numerics.representation import Representation
    from trc_core.planner.network import Network


class Model(NamedTuple):
    """A trained network and the coordinates of its plans."""

    rep: Representation
    net: Network


class Units(NamedTuple):
    """The units of one problem: the size s of its initial error; side -1 where it is mirrored."""

    s: float
    side: float


class Problem(NamedTuple):
    """One problem as the network sees it."""

    units: Units
    z_initial: NDArray[np.float32]  # (latent,) the encoded initial error


class Latents(NamedTuple):
    """The latent state of the recursion; a single-latent network uses H only."""

    H: NDArray[np.float32]  # (latent,)
    L: NDArray[np.float32]  # (latent,)


@register_jitable
def update_latents(net, latents, z_initial, context):
    """One cycle of reasoning, in place."""
    z_H, z_L = latents.H, latents.L
    latent = z_H.shape[0]
    injected = np.empty(latent, np.float32)
    if not net.two_level:
        for i in range(latent):
            injected[i] = z_initial[i] + context[i]
        for _ in range(net.inner_cycles):
            reason(net, z_H, injected)
        return
    for i in range(latent):
        injected[i] = z_H[i] + z_initial[i] + context[i]
    for _ in range(net.inner_cycles):
        reason(net, z_L, injected)
    reason(net, z_H, z_L)


@register_jitable
def encode_problem(model, x0, r_0):
    """The `Problem` of an initial state and where the reference begins, both (n_x,)."""
    rep, net = model.rep, model.net
    features = np.empty(net.layout[STATE_HIDDEN, 2], np.float32)
    units = read_problem(rep, x0, r_0, features)
    z_initial = np.empty(net.H_init.shape[0], np.float32)
    two_layers(net, STATE_HIDDEN, STATE_OUTPUT, features, z_initial)
    return Problem(units, z_initial)


@register_jitable
def read_problem(rep, x0, r_0, features):
    """Fills the inputs of the state encoder from the initial error; returns its `Units`."""
    n_x = x0.shape[0]
    error = np.empty(n_x)
    for i in range(n_x):
        error[i] = x0[i] - r_0[i]
    side = -1.0 if rep.mirror >= 0 and error[rep.mirror] < 0.0 else 1.0
    square = rep.floor
    for i in range(n_x):
        square += product(rep.S, i, error) ** 2
    s = math.sqrt(square)
    n_a, n_p = rep.angles.shape[0], rep.inputs.shape[0]
    for i in range(n_x):
        features[i] = side * product(rep.C, i, error) / s
        features[n_x + i] = side * math.asinh(product(rep.D, i, error))
    for i in range(n_a):
        features[2 * n_x + i] = side * math.sin(error[rep.angles[i]])
        features[2 * n_x + n_a + i] = math.cos(error[rep.angles[i]])
    for i in range(n_p):
        features[2 * n_x + 2 * n_a + i] = rep.inputs[i]
    features[2 * n_x + 2 * n_a + n_p] = 1.0  # the whole horizon remains
    return Units(s, side)


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
    T, n_u = v.shape
    for t in range(T):
        for i in range(n_u):
            total = 0.0
            for j in range(n_u):
                total += rep.L[t, j, i] * v[t, j]
            features[t * n_u + i] = units.side * total / units.s
            middle = 0.5 * (plant.u_max[i] + plant.u_min[i])
            half = 0.5 * (plant.u_max[i] - plant.u_min[i])
            features[T * n_u + t * n_u + i] = units.side * (u[t, i] - middle) / half
    squash(features[: T * n_u])


@register_jitable
def write_state(rep, units, x_t, r_t, features, place):
    """features[place:] = W (x_t - r_t) / s; returns the place behind."""
    n_x = r_t.shape[0]
    for i in range(n_x):
        total = 0.0
        for j in range(n_x):
            total += rep.W[i, j] * (x_t[j] - r_t[j])
        features[place + i] = units.side * total / units.s
    return place + n_x


@register_jitable
def read_consequences(model, units, x, r, slope, features):
    """Fills the inputs of the error encoder: terminal error, trajectory, gradient, as trained."""
    rep, net = model.rep, model.net
    T, n_u = slope.shape
    place = 0
    if net.terminal:
        place = write_state(rep, units, x[T], r[T], features, place)
    if net.trajectory:
        for t in range(net.stride, T + 1, net.stride):
            place = write_state(rep, units, x[t], r[t], features, place)
    if net.gradient:
        for t in range(T):
            for i in range(n_u):
                features[place + t * n_u + i] = slope[t, i]
    squash(features)


@register_jitable
def metric_gradient(rep, units, dJ_dv, slope):
    """Slope = L^-1 dJ/dv / s."""
    T, n_u = dJ_dv.shape
    for t in range(T):
        for i in range(n_u):
            slope[t, i] = units.side * product(rep.L_inverse[t], i, dJ_dv[t]) / units.s


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
    T, n_u = change.shape
    for t in range(T):
        for i in range(n_u):
            total = 0.0
            for j in range(n_u):
                total += rep.L_inverse[t, j, i] * output[t * n_u + j]
            change[t, i] = units.side * units.s * total


@register_jitable
def propose(plant, model, problem, latents, trajectory, r, v, dJ_dv, change):
    """Updates the latents in place and fills the change (T, n_u) of v that the network proposes.

    v is the plan of the trajectory, dJ_dv its gradient (read only where the network does).
    """
    rep, net, units = model.rep, model.net, problem.units
    T, n_u = v.shape
    latent = latents.H.shape[0]
    # embed the plan
    plan_features = np.empty(2 * T * n_u, np.float32)
    read_plan(plant, rep, units, v, trajectory.u, plan_features)
    context = np.empty(latent, np.float32)
    affine(net, CONTROL, plan_features, context)
    # embed its consequences
    slope = np.zeros((T, n_u))
    if net.gradient:
        metric_gradient(rep, units, dJ_dv, slope)
    inputs = net.layout[ERROR_HIDDEN, 2]
    if inputs > 0:
        features, embedded = np.empty(inputs, np.float32), np.empty(latent, np.float32)
        read_consequences(model, units, trajectory.x, r, slope, features)
        two_layers(net, ERROR_HIDDEN, ERROR_OUTPUT, features, embedded)
        for i in range(latent):
            context[i] += embedded[i]
    # reason
    update_latents(net, latents, problem.z_initial, context)
    # decode a step, and add the Newton step of the metric
    decoder_input = np.empty(net.layout[DECODER_HIDDEN, 2], np.float32)
    for i in range(decoder_input.shape[0]):
        decoder_input[i] = latents.H[i] if i < latent else plan_features[i - latent]
    output = np.empty(T * n_u, np.float32)
    two_layers(net, DECODER_HIDDEN, DECODER_OUTPUT, decoder_input, output)
    for t in range(T):
        for i in range(n_u):
            newton = min(max(slope[t, i], -NEWTON_CLAMP), NEWTON_CLAMP)
            output[t * n_u + i] -= net.newton_weight[t] * newton / 2
    write_step(rep, units, output, change)
    if not net.residual:
        for t in range(T):
            for i in range(n_u):
                change[t, i] -= v[t, i]


@register_jitable
def first_latents(net, z_initial):
    """`Latents` before the first plan; the single-latent mode starts from the problem."""
    latents = Latents(net.H_init.copy(), net.L_init.copy())
    if not net.two_level:
        latents.H[:] = z_initial
    nothing = np.zeros_like(z_initial)
    for _ in range(net.first_cycles):
        update_latents(net, latents, z_initial, nothing)
    return latents


@register_jitable
def first_plans(model, problem, latents, plans):
    """Fills plans (M, T, n_u), the network's proposals before any refinement."""
    M, T, n_u = plans.shape
    z = latents.H if model.net.first_cycles > 0 else problem.z_initial
    output = np.empty(M * T * n_u, np.float32)
    two_layers(model.net, INITIAL_HIDDEN, INITIAL_OUTPUT, z, output)
    for m in range(M):
        write_step(model.rep, problem.units, output[m * T * n_u : (m + 1) * T * n_u], plans[m])
