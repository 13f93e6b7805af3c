"""The plan call: encode, start, refine under the guard. Plain Python that Numba compiles.

The network runs in float32, the physics in float64. The algorithm is that of
`models/tiny_recursive_control.py`; a test holds the two together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.rollout import gradient, reproject, rollout
from trc_core.systems.base import Array

NEWTON_CLAMP = 4.0  # as in models/tiny_recursive_control.py


class Trajectory(NamedTuple):
    """States (T + 1, n_x) and controls (T, n_u)."""

    x: Array
    u: Array


@register_jitable
def affine(layer, x, y):
    """Y = w x + b."""
    w, b = layer
    for i in range(w.shape[0]):
        total = np.float32(0.0)
        for j in range(w.shape[1]):
            total += w[i, j] * x[j]
        y[i] = total + b[i]


@register_jitable
def silu(x):
    """X <- x sigmoid(x), in place."""
    for i in range(x.shape[0]):
        x[i] = x[i] / (np.float32(1.0) + np.float32(math.exp(-x[i])))


@register_jitable
def normalise(net, gain, bias, z, y):
    """Y = LayerNorm(z) or RMSNorm(z), by what `net` has; y may be z."""
    n = z.shape[0]
    mean = np.float32(0.0)
    if net.centred:
        for i in range(n):
            mean += z[i]
        mean /= np.float32(n)
    variance = np.float32(0.0)
    for i in range(n):
        variance += (z[i] - mean) ** 2
    scale = np.float32(1.0 / math.sqrt(variance / np.float32(n) + net.norm_epsilon))
    for i in range(n):
        y[i] = (z[i] - mean) * scale * gain[i] + bias[i]


@register_jitable
def two_layers(hidden, output, x, y):
    """Y = output(SiLU(hidden(x)))."""
    h = np.empty(hidden.w.shape[0], np.float32)
    affine(hidden, x, h)
    silu(h)
    affine(output, h, y)


@register_jitable
def reason(net, z, injected):
    """`L_level`: z <- blocks(z + injected), in place."""
    latent = z.shape[0]
    seen, change = np.empty(latent, np.float32), np.empty(latent, np.float32)
    wide = np.empty(net.mlp_input.w.shape[1], np.float32)
    hidden = np.empty(net.mlp_output.w.shape[2], np.float32)
    for i in range(latent):
        z[i] += injected[i]
    for k in range(net.mlp_input.w.shape[0]):
        if net.attention.w.shape[0] > 0:
            gain, bias = net.attention_norm.w[k], net.attention_norm.b[k]
            enter(net, gain, bias, z, seen)
            affine((net.attention.w[k], net.attention.b[k]), seen, change)
            leave(net, gain, bias, change, z)
        gain, bias = net.mlp_norm.w[k], net.mlp_norm.b[k]
        enter(net, gain, bias, z, seen)
        affine((net.mlp_input.w[k], net.mlp_input.b[k]), seen, wide)
        activate(net, wide, hidden)
        affine((net.mlp_output.w[k], net.mlp_output.b[k]), hidden, change)
        leave(net, gain, bias, change, z)
    if net.level_norm.w.shape[0] > 0:
        normalise(net, net.level_norm.w[0], net.level_norm.b[0], z, z)


@register_jitable
def enter(net, gain, bias, z, seen):
    """What a part of a block reads: norm(z) where the norm stands before it, else z."""
    if net.pre_norm:
        normalise(net, gain, bias, z, seen)
    else:
        for i in range(z.shape[0]):
            seen[i] = z[i]


@register_jitable
def leave(net, gain, bias, change, z):
    """Adds what a part of a block wrote to z; normalises the sum where the norm stands behind."""
    for i in range(z.shape[0]):
        z[i] += change[i]
    if not net.pre_norm:
        normalise(net, gain, bias, z, z)


@register_jitable
def activate(net, wide, hidden):
    """Hidden = SiLU(a) b with (a, b) = wide, or SiLU(wide)."""
    n = hidden.shape[0]
    for i in range(n):
        hidden[i] = wide[i]
    silu(hidden)
    if net.swiglu:
        for i in range(n):
            hidden[i] *= wide[n + i]


@register_jitable
def update_latents(net, z_H, z_L, z_initial, context):
    """One cycle of reasoning, in place; the single-latent mode only has z_H."""
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
def encode_problem(rep, net, x0, goal, z_initial):
    """Fills z_initial; returns s, the size of the initial error."""
    n_x = x0.shape[0]
    metric = np.zeros(n_x)
    square = rep.floor
    for i in range(n_x):
        for j in range(n_x):
            metric[i] += rep.C[i, j] * (x0[j] - goal[j])
        square += metric[i] ** 2
    s = math.sqrt(square)
    features = np.empty(2 * n_x + 1, np.float32)
    for i in range(n_x):
        features[i] = metric[i] / s
        features[n_x + i] = math.asinh(metric[i] / rep.scale)
    features[2 * n_x] = 1.0  # the whole horizon remains
    two_layers(net.state_hidden, net.state_output, features, z_initial)
    return s


@register_jitable
def read_plan(system, rep, v, u, s, features):
    """Fills what the control embedding reads: asinh(L'v / s) and the place between bounds."""
    T, n_u = v.shape
    for t in range(T):
        for i in range(n_u):
            total = 0.0
            for j in range(n_u):
                total += rep.L[t, j, i] * v[t, j]
            features[t * n_u + i] = math.asinh(total / s)
            middle = 0.5 * (system.u_max[i] + system.u_min[i])
            half = 0.5 * (system.u_max[i] - system.u_min[i])
            features[T * n_u + t * n_u + i] = (u[t, i] - middle) / half


@register_jitable
def write_state(rep, x_t, goal, s, features, place):
    """features[place:] = asinh(W (x_t - goal) / s); returns the place behind."""
    n_x = goal.shape[0]
    for i in range(n_x):
        total = 0.0
        for j in range(n_x):
            total += rep.W[i, j] * (x_t[j] - goal[j])
        features[place + i] = math.asinh(total / s)
    return place + n_x


@register_jitable
def read_consequences(rep, net, x, goal, slope, s, features):
    """Fills what the error encoder reads: terminal error, trajectory, gradient, as trained."""
    T, n_u = slope.shape
    place = 0
    if net.terminal:
        place = write_state(rep, x[T], goal, s, features, place)
    if net.trajectory:
        for t in range(1, T + 1):
            place = write_state(rep, x[t], goal, s, features, place)
    if net.gradient:
        for t in range(T):
            for i in range(n_u):
                features[place + t * n_u + i] = math.asinh(slope[t, i])


@register_jitable
def metric_gradient(rep, dJ_dv, s, slope):
    """Slope = L^-1 dJ/dv / s."""
    T, n_u = dJ_dv.shape
    for t in range(T):
        for i in range(n_u):
            total = 0.0
            for j in range(n_u):
                total += rep.L_inverse[t, i, j] * dJ_dv[t, j]
            slope[t, i] = total / s


@register_jitable
def write_step(rep, output, s, change):
    """Change (T, n_u) = s L^-T o for the network's output o (T n_u,)."""
    T, n_u = change.shape
    for t in range(T):
        for i in range(n_u):
            total = 0.0
            for j in range(n_u):
                total += rep.L_inverse[t, j, i] * output[t * n_u + j]
            change[t, i] = s * total


@register_jitable
def propose(system, rep, net, z_initial, z_H, z_L, x, u, v, goal, dJ_dv, s, change):
    """Updates the latents in place and fills the change of v that the network wants."""
    T, n_u = v.shape
    latent = z_H.shape[0]
    plan_features = np.empty(2 * T * n_u, np.float32)
    read_plan(system, rep, v, u, s, plan_features)
    context = np.empty(latent, np.float32)
    affine(net.control, plan_features, context)
    slope = np.zeros((T, n_u))
    if net.gradient:
        metric_gradient(rep, dJ_dv, s, slope)
    inputs = net.error_hidden.w.shape[1]
    if inputs > 0:
        features, embedded = np.empty(inputs, np.float32), np.empty(latent, np.float32)
        read_consequences(rep, net, x, goal, slope, s, features)
        two_layers(net.error_hidden, net.error_output, features, embedded)
        for i in range(latent):
            context[i] += embedded[i]
    update_latents(net, z_H, z_L, z_initial, context)
    decoder_input = np.empty(net.decoder_hidden.w.shape[1], np.float32)
    for i in range(decoder_input.shape[0]):
        decoder_input[i] = z_H[i] if i < latent else plan_features[i - latent]
    output = np.empty(T * n_u, np.float32)
    two_layers(net.decoder_hidden, net.decoder_output, decoder_input, output)
    for t in range(T):
        for i in range(n_u):
            newton = min(max(slope[t, i], -NEWTON_CLAMP), NEWTON_CLAMP)
            output[t * n_u + i] -= net.newton_weight[t] * newton / 2
    write_step(rep, output, s, change)
    if not net.residual:
        for t in range(T):
            for i in range(n_u):
                change[t, i] -= v[t, i]


@register_jitable
def first_plan(rep, net, z_initial, s, v):
    """Fills v (T, n_u) with the plan that the network proposes before any refinement."""
    output = np.empty(v.shape[0] * v.shape[1], np.float32)
    two_layers(net.initial_hidden, net.initial_output, z_initial, output)
    write_step(rep, output, s, v)


@register_jitable
def first_latents(net, z_initial):
    """(z_H, z_L) before the first cycle; the single-latent mode starts from the problem."""
    if net.two_level:
        return net.H_init.copy(), net.L_init.copy()
    return z_initial.copy(), net.L_init.copy()


@register_jitable
def copy(a, out):
    """Copies a (T, n) into out; here and below, loops compile faster than array expressions."""
    for t in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[t, i] = a[t, i]


@register_jitable
def add(a, fraction, b, out):
    """Fills out with a + fraction b, for arrays (T, n)."""
    for t in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[t, i] = a[t, i] + fraction * b[t, i]


@register_jitable
def fly(step, step_jacobian, system, K, v, x0, goal, J, best, scratch):
    """J of the plan v under gains K; where it is below J, its trajectory becomes `best`."""
    J_v = rollout(step, step_jacobian, system, K, v, x0, goal, scratch.x, scratch.u)
    if J_v < J:
        copy(scratch.x, best.x)
        copy(scratch.u, best.u)
    return J_v


@register_jitable
def start(step, step_jacobian, system, rep, first, x0, goal, previous, starts, best, scratch):
    """Makes the cheapest start `best` and fills `starts` with the cost of each.

    The starts are the clipped LQR plans, the network's plan `first`, and `previous` where
    `starts` has room for it. `best` is always filled: with the LQR plan where no start has a
    finite cost.
    """
    v, S = np.zeros(best.u.shape), rep.K_start.shape[0]
    starts[0] = rollout(step, step_jacobian, system, rep.K_start[0], v, x0, goal, best.x, best.u)
    J, chosen = starts[0] if math.isfinite(starts[0]) else math.inf, 0
    for i in range(1, starts.shape[0]):
        K = rep.K_start[i] if i < S else rep.K
        if i >= S:
            copy(first if i == S else previous, v)
        starts[i] = fly(step, step_jacobian, system, K, v, x0, goal, J, best, scratch)
        if starts[i] < J:
            J, chosen = starts[i], i
    return J, chosen


@register_jitable
def plan(step, step_jacobian, system, rep, net, x0, goal, previous, cycles, x, u, starts):
    """Plans from x0 to goal; fills x (T + 1, n_x), u (T, n_u) and the cost of every start.

    The start is the cheapest of the S clipped LQR plans, the network's first plan and, where
    `starts` has S + 2 places, the plan `previous` (T, n_u). A cycle's step is taken if it lowers
    J, else a quarter of it if that does.

    Returns:
        J of the plan, the index of the start chosen, and the number of cycles that lowered J.
    """
    best = Trajectory(x, u)
    scratch = Trajectory(np.empty(x.shape), np.empty(u.shape))
    z_initial = np.empty(net.H_init.shape[0], np.float32)
    s = encode_problem(rep, net, x0, goal, z_initial)
    z_H, z_L = first_latents(net, z_initial)
    v, dJ_dv, change = np.zeros(u.shape), np.zeros(u.shape), np.zeros(u.shape)
    first_plan(rep, net, z_initial, s, change)
    J, chosen = start(
        step, step_jacobian, system, rep, change, x0, goal, previous, starts, best, scratch
    )
    trial, improved = np.empty(u.shape), 0
    for _ in range(cycles):
        reproject(system, rep.K, x, u, goal, v)
        if net.gradient:
            gradient(step, step_jacobian, system, rep.K, v, x, u, goal, dJ_dv)
        propose(system, rep, net, z_initial, z_H, z_L, x, u, v, goal, dJ_dv, s, change)
        for fraction in (1.0, 0.25):
            add(v, fraction, change, trial)
            J_trial = fly(step, step_jacobian, system, rep.K, trial, x0, goal, J, best, scratch)
            if J_trial < J:
                J, improved = J_trial, improved + 1
                break
    return J, chosen, improved
