"""The plan call: encode, start, refine under the guard. Plain Python that Numba compiles.

The network runs in float32, the physics in float64. The algorithm is that of
`models/tiny_recursive_control.py`; a test holds the two together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.ilqr import improve
from trc_core.representation import NEWTON_CLAMP
from trc_core.rollout import Law, gradient, plain, reproject, rollout


class Units(NamedTuple):
    """Of one problem: the size of its initial error, and -1 where it is seen turned around."""

    s: float
    side: float


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
    """Fills z_initial; returns `Units` of the problem."""
    n_x = x0.shape[0]
    error = np.empty(n_x)
    for i in range(n_x):
        error[i] = x0[i] - goal[i]
    side = -1.0 if rep.mirror >= 0 and error[rep.mirror] < 0.0 else 1.0
    square = rep.floor
    for i in range(n_x):
        square += product(rep.S, i, error) ** 2
    s = math.sqrt(square)
    n_a, n_p = rep.angles.shape[0], rep.inputs.shape[0]
    features = np.empty(2 * n_x + 2 * n_a + n_p + 1, np.float32)
    for i in range(n_x):
        features[i] = side * product(rep.C, i, error) / s
        features[n_x + i] = side * math.asinh(product(rep.D, i, error))
    for i in range(n_a):
        features[2 * n_x + i] = side * math.sin(error[rep.angles[i]])
        features[2 * n_x + n_a + i] = math.cos(error[rep.angles[i]])
    for i in range(n_p):
        features[2 * n_x + 2 * n_a + i] = rep.inputs[i]
    features[2 * n_x + 2 * n_a + n_p] = 1.0  # the whole horizon remains
    two_layers(net.state_hidden, net.state_output, features, z_initial)
    return Units(s, side)


@register_jitable
def product(M, i, a):
    """Component i of M a."""
    total = 0.0
    for j in range(a.shape[0]):
        total += M[i, j] * a[j]
    return total


@register_jitable
def read_plan(system, rep, units, v, u, features):
    """Fills what the control embedding reads: asinh(L'v / s) and the place between bounds."""
    T, n_u = v.shape
    for t in range(T):
        for i in range(n_u):
            total = 0.0
            for j in range(n_u):
                total += rep.L[t, j, i] * v[t, j]
            features[t * n_u + i] = units.side * math.asinh(total / units.s)
            middle = 0.5 * (system.u_max[i] + system.u_min[i])
            half = 0.5 * (system.u_max[i] - system.u_min[i])
            features[T * n_u + t * n_u + i] = units.side * (u[t, i] - middle) / half


@register_jitable
def write_state(rep, units, x_t, goal, features, place):
    """features[place:] = asinh(W (x_t - goal) / s); returns the place behind."""
    n_x = goal.shape[0]
    for i in range(n_x):
        total = 0.0
        for j in range(n_x):
            total += rep.W[i, j] * (x_t[j] - goal[j])
        features[place + i] = units.side * math.asinh(total / units.s)
    return place + n_x


@register_jitable
def read_consequences(rep, net, units, x, goal, slope, features):
    """Fills what the error encoder reads: terminal error, trajectory, gradient, as trained."""
    T, n_u = slope.shape
    place = 0
    if net.terminal:
        place = write_state(rep, units, x[T], goal, features, place)
    if net.trajectory:
        for t in range(net.stride, T + 1, net.stride):
            place = write_state(rep, units, x[t], goal, features, place)
    if net.gradient:
        for t in range(T):
            for i in range(n_u):
                features[place + t * n_u + i] = math.asinh(slope[t, i])


@register_jitable
def metric_gradient(rep, units, dJ_dv, slope):
    """Slope = L^-1 dJ/dv / s."""
    T, n_u = dJ_dv.shape
    for t in range(T):
        for i in range(n_u):
            slope[t, i] = units.side * product(rep.L_inverse[t], i, dJ_dv[t]) / units.s


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
def propose(system, rep, net, units, z_initial, z_H, z_L, x, u, v, goal, dJ_dv, change):
    """Updates the latents in place and fills the change of v that the network wants."""
    T, n_u = v.shape
    latent = z_H.shape[0]
    plan_features = np.empty(2 * T * n_u, np.float32)
    read_plan(system, rep, units, v, u, plan_features)
    context = np.empty(latent, np.float32)
    affine(net.control, plan_features, context)
    slope = np.zeros((T, n_u))
    if net.gradient:
        metric_gradient(rep, units, dJ_dv, slope)
    inputs = net.error_hidden.w.shape[1]
    if inputs > 0:
        features, embedded = np.empty(inputs, np.float32), np.empty(latent, np.float32)
        read_consequences(rep, net, units, x, goal, slope, features)
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
    write_step(rep, units, output, change)
    if not net.residual:
        for t in range(T):
            for i in range(n_u):
                change[t, i] -= v[t, i]


@register_jitable
def first_latents(net, z_initial):
    """(z_H, z_L) before the first plan; the single-latent mode starts from the problem."""
    z_H, z_L = net.H_init.copy(), net.L_init.copy()
    if not net.two_level:
        z_H[:] = z_initial
    nothing = np.zeros_like(z_initial)
    for _ in range(net.first_cycles):
        update_latents(net, z_H, z_L, z_initial, nothing)
    return z_H, z_L


@register_jitable
def first_plans(rep, net, units, z, plans):
    """Fills plans (M, T, n_u) with what the network proposes before any refinement."""
    M, T, n_u = plans.shape
    output = np.empty(M * T * n_u, np.float32)
    two_layers(net.initial_hidden, net.initial_output, z, output)
    for m in range(M):
        write_step(rep, units, output[m * T * n_u : (m + 1) * T * n_u], plans[m])


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
def start(step, step_jacobian, system, rep, plans, x0, goal, previous, x, u, J):
    """Fills candidates x (N, T + 1, n_x), u (N, T, n_u) and their cost J (N,), inf if unknown.

    They are the S clipped LQR plans, the network's `plans` (M, T, n_u), and `previous` (T, n_u)
    where N has room for it. Where S > 1, `plans` are corrections of the best LQR plan.
    """
    S, M = rep.K_start.shape[0], plans.shape[0]
    v, own, best = np.zeros(u.shape[1:]), Law(rep.K, rep.G), 0
    for n in range(S):
        law = plain(rep.K_start[n])
        J[n] = finite(rollout(step, step_jacobian, system, law, v, x0, goal, x[n], u[n]))
        if J[n] < J[best]:
            best = n
    if S > 1:
        reproject(system, own, x[best], u[best], goal, v)
    for n in range(S, J.shape[0]):
        if n < S + M:
            add(v, 1.0, plans[n - S], plans[n - S])
        plan = plans[n - S] if n < S + M else previous
        J[n] = finite(rollout(step, step_jacobian, system, own, plan, x0, goal, x[n], u[n]))


@register_jitable
def finite(J):
    """J, infinite where it is not a number."""
    return J if math.inf > J else math.inf


@register_jitable
def keep(J, alive, width):
    """Brings the `width` cheapest of the candidates `alive` to the front, in order."""
    for a in range(width):
        best = a
        for b in range(a + 1, alive.shape[0]):
            if J[alive[b]] < J[alive[best]]:
                best = b
        winner = alive[best]
        for b in range(best, a, -1):  # the others keep their order
            alive[b] = alive[b - 1]
        alive[a] = winner
    return alive[:width]


@register_jitable
def refine(step, step_jacobian, system, rep, net, units, z_initial, z_H, z_L, goal, x, u, J):
    """One guarded cycle on one plan, in place; returns its J, which never rises."""
    law = Law(rep.K, rep.G)
    v, dJ_dv, change = np.empty(u.shape), np.empty(u.shape), np.empty(u.shape)
    trial, x_new, u_new = np.empty(u.shape), np.empty(x.shape), np.empty(u.shape)
    reproject(system, law, x, u, goal, v)
    if net.gradient:
        gradient(step, step_jacobian, system, law, v, x, u, goal, dJ_dv)
    propose(system, rep, net, units, z_initial, z_H, z_L, x, u, v, goal, dJ_dv, change)
    for fraction in (1.0, 0.25):
        add(v, fraction, change, trial)
        J_new = rollout(step, step_jacobian, system, law, trial, x[0], goal, x_new, u_new)
        if J_new < J:
            copy(x_new, x)
            copy(u_new, u)
            J = J_new
            break
    if net.sweeps > 0 and math.isfinite(J):
        J = improve(step, step_jacobian, system, goal, net.sweeps, x, u)[0]
    return J


@register_jitable
def plan(step, step_jacobian, system, rep, net, x0, goal, previous, cycles, x, u, starts):
    """Plans from x0 to goal; fills x (T + 1, n_x), u (T, n_u) and the cost of every start.

    The candidates are the S clipped LQR plans, the network's M first plans and, where `starts`
    has S + M + 1 places, the plan `previous` (T, n_u). Every cycle refines the best of them, as
    many as the network's beam says. A cycle's step is taken if it lowers J, else a quarter of it
    if that does.

    Returns:
        J of the plan, the index of the candidate that it grew from, and whether it was improved.
    """
    N, T, n_u = starts.shape[0], u.shape[0], u.shape[1]
    z_initial = np.empty(net.H_init.shape[0], np.float32)
    units = encode_problem(rep, net, x0, goal, z_initial)
    z_H, z_L = first_latents(net, z_initial)
    plans = np.empty((net.plans, T, n_u))
    first_plans(rep, net, units, z_H if net.first_cycles > 0 else z_initial, plans)
    xs, us = np.empty((N, T + 1, x.shape[1])), np.empty((N, T, n_u))
    start(step, step_jacobian, system, rep, plans, x0, goal, previous, xs, us, starts)
    J, alive = starts.copy(), np.arange(N)
    zs_H, zs_L = np.empty((N, z_H.shape[0]), np.float32), np.empty((N, z_H.shape[0]), np.float32)
    copy_to_rows(z_H, zs_H)
    copy_to_rows(z_L, zs_L)
    for k in range(cycles):
        width = net.beam[min(k, net.beam.shape[0] - 1)]
        alive = keep(J, alive, min(width, alive.shape[0]))
        for n in alive:
            J[n] = refine(
                step,
                step_jacobian,
                system,
                rep,
                net,
                units,
                z_initial,
                zs_H[n],
                zs_L[n],
                goal,
                xs[n],
                us[n],
                J[n],
            )
    best = keep(J, alive, 1)[0]
    copy(xs[best], x)
    copy(us[best], u)
    return J[best], best, J[best] < starts[best]


@register_jitable
def copy_to_rows(a, out):
    """Copies a (n,) into every row of out (N, n)."""
    for k in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[k, i] = a[i]
