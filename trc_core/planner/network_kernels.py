"""The network: how it encodes a problem, reasons and proposes. Plain Python that Numba compiles.

It is in float32. The mathematics is that of `trc_core/models`; a test holds the two together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba.extending import register_jitable

from trc_core.numerics.constants import NEWTON_CLAMP
from trc_core.planner.layer_kernels import affine, normalise, silu, two_layers
from trc_core.planner.network import (
    BLOCK_ROWS,
    BLOCKS,
    CONTROL,
    DECODER_HIDDEN,
    DECODER_OUTPUT,
    ERROR_HIDDEN,
    ERROR_OUTPUT,
    INITIAL_HIDDEN,
    INITIAL_OUTPUT,
    MLP_INPUT,
    MLP_NORM,
    MLP_OUTPUT,
    SET_HIDDEN,
    SET_OUTPUT,
    STATE_HIDDEN,
    STATE_OUTPUT,
)
from trc_core.planner.set_kernels import beside_members, encode_members, read_members_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Latents(NamedTuple):
    """The latent state of the recursion; a single-latent network uses H only."""

    H: NDArray[np.float32]  # (latent,)
    L: NDArray[np.float32]  # (latent,)


@register_jitable
def encode(net, features, members, z_initial, latents, outputs):
    """Fills the encoded problem z_initial, the latents before any plan, and the first plans.

    The problem is its features and the `Members` of a set, in any order. The plans are the
    outputs (M T n_u,), dimensionless. The single-latent mode starts from the problem.
    """
    encoded = np.empty((0, net.layout[SET_OUTPUT, 1]), np.float32)
    if net.layout[SET_HIDDEN, 2] > 0:
        encoded = encode_members(net, features, members)
        features = beside_members(net, features, encoded)
    two_layers(net, STATE_HIDDEN, STATE_OUTPUT, features, z_initial)
    begin_latents(net, z_initial, latents)
    if net.proposals.shape[0] > 0:
        propose_first(net, z_initial, encoded, outputs)
        return
    nothing = np.zeros_like(z_initial)
    for _ in range(net.first_cycles):
        update_latents(net, latents, z_initial, nothing)
    z = latents.H if net.first_cycles > 0 else z_initial
    two_layers(net, INITIAL_HIDDEN, INITIAL_OUTPUT, z, outputs)


@register_jitable
def begin_latents(net, z_initial, latents):
    """Fills the latents before any reasoning."""
    for i in range(z_initial.shape[0]):
        latents.H[i] = net.H_init[i] if net.two_level else z_initial[i]
        latents.L[i] = net.L_init[i]


@register_jitable
def propose_first(net, z_initial, encoded, outputs):
    """Fills the first plans (M T n_u,), each by reasoning about a latent of its own.

    With relations, it reads of the encoded members (n, set_dim) first.
    """
    M, latent = net.proposals.shape
    size = outputs.shape[0] // M
    z, nothing = np.empty((M, latent), np.float32), np.zeros(latent, np.float32)
    own = Latents(np.empty(latent, np.float32), np.empty(latent, np.float32))
    for m in range(M):
        for i in range(latent):
            z[m, i] = z_initial[i] + net.proposals[m, i]
    if net.relations > 0:
        read_members_of(net, z, encoded)
    for m in range(M):
        begin_latents(net, z[m], own)
        for _ in range(net.first_cycles):
            update_latents(net, own, z[m], nothing)
        decoded = own.H if net.first_cycles > 0 else z[m]
        plan = outputs[m * size : (m + 1) * size]
        two_layers(net, INITIAL_HIDDEN, INITIAL_OUTPUT, decoded, plan)


@register_jitable
def propose(net, seen, z_initial, latents, output):
    """Updates the latents in place and fills the output (T n_u,), a dimensionless change."""
    latent = latents.H.shape[0]
    # embed the plan and its consequences
    context = np.empty(latent, np.float32)
    affine(net, CONTROL, seen.plan, context)
    if seen.consequences.shape[0] > 0:
        embedded = np.empty(latent, np.float32)
        two_layers(net, ERROR_HIDDEN, ERROR_OUTPUT, seen.consequences, embedded)
        for i in range(latent):
            context[i] += embedded[i]
    # reason
    update_latents(net, latents, z_initial, context)
    # decode a step, and add the Newton step of the metric
    decoder_input = np.empty(net.layout[DECODER_HIDDEN, 2], np.float32)
    for i in range(decoder_input.shape[0]):
        decoder_input[i] = latents.H[i] if i < latent else seen.plan[i - latent]
    two_layers(net, DECODER_HIDDEN, DECODER_OUTPUT, decoder_input, output)
    T, n_u = seen.slope.shape
    for t in range(T):
        for i in range(n_u):
            newton = min(max(seen.slope[t, i], -NEWTON_CLAMP), NEWTON_CLAMP)
            output[t * n_u + i] -= net.newton_weight[t] * newton / 2


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
def reason(net, z, injected):
    """`L_level`: z <- blocks(z + injected), in place; a block is norm(z + SwiGLU(z))."""
    latent, n = z.shape[0], net.layout[BLOCKS + MLP_OUTPUT, 2]
    change = np.empty(latent, np.float32)
    wide, hidden = np.empty(2 * n, np.float32), np.empty(n, np.float32)
    for i in range(latent):
        z[i] += injected[i]
    for k in range(net.blocks):
        block = BLOCKS + BLOCK_ROWS * k
        affine(net, block + MLP_INPUT, z, wide)
        for i in range(n):
            hidden[i] = wide[i]
        silu(hidden)
        for i in range(n):
            hidden[i] *= wide[n + i]
        affine(net, block + MLP_OUTPUT, hidden, change)
        for i in range(latent):
            z[i] += change[i]
        normalise(net, block + MLP_NORM, z)
