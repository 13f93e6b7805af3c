"""The network on a set of members, like obstacles, in any order. Plain Python for Numba.

The mathematics is that of `trc_core/models/encoders.py`; a test holds the two together.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from trc_core.planner.layer_kernels import affine, silu, two_layers
from trc_core.planner.network import (
    BLOCK_ROWS,
    BLOCKS,
    PAIRED,
    READ,
    RECEIVER,
    RELATION_ROWS,
    SENDER,
    SET_HIDDEN,
    SET_OUTPUT,
)


@register_jitable
def encode_members(net, features, members):
    """The encoded `Members` (n, set_dim), of a problem with features."""
    n, k = members.features.shape
    read = np.empty(net.layout[SET_HIDDEN, 2], np.float32)
    encoded = np.empty((n, net.layout[SET_OUTPUT, 1]), np.float32)
    for m in range(n):
        for i in range(read.shape[0]):
            read[i] = members.features[m, i] if i < k else features[i - k]
        two_layers(net, SET_HIDDEN, SET_OUTPUT, read, encoded[m])
    told = np.empty(encoded.shape, np.float32)
    for c in range(net.relations):
        relation = BLOCKS + BLOCK_ROWS * net.blocks + RELATION_ROWS * c
        relate(net, relation, encoded, encoded, members.pairs, told)
        for m in range(n):
            for i in range(encoded.shape[1]):
                encoded[m, i] += told[m, i]
    return encoded


@register_jitable
def read_members_of(net, z, encoded):
    """Adds to the latents z (M, latent) what they read of encoded members (n, set_dim)."""
    told = np.empty(z.shape, np.float32)
    relation = BLOCKS + BLOCK_ROWS * net.blocks + RELATION_ROWS * net.relations
    relate(net, relation, z, encoded, np.empty((0, 0, 0), np.float32), told)
    for m in range(z.shape[0]):
        for i in range(z.shape[1]):
            z[m, i] += told[m, i]


@register_jitable
def relate(net, relation, receivers, senders, pairs, told):
    """Fills what receivers (m, k) read of senders (n, set_dim), of which pairs (m, n, e) tell."""
    n, width = senders.shape
    sent, own = np.empty((n, width), np.float32), np.empty(width, np.float32)
    message = np.zeros(width, np.float32)
    has_pairs = net.layout[relation + PAIRED, 2] > 0
    for j in range(n):
        affine(net, relation + SENDER, senders[j], sent[j])
    for i in range(receivers.shape[0]):
        affine(net, relation + RECEIVER, receivers[i], own)
        pool = np.zeros(2 * width, np.float32)
        for j in range(n):
            if has_pairs:
                affine(net, relation + PAIRED, pairs[i, j], message)
            else:
                message[:] = np.float32(0.0)
            for k in range(width):
                message[k] += own[k] + sent[j, k]
            silu(message)
            add_to_pool(message, j == 0, pool)
        affine(net, relation + READ, pool, told[i])


@register_jitable
def beside_members(net, features, encoded):
    """The features, with the sum and the maximum of the encoded members (n, set_dim) behind.

    Both are zero where there are none.
    """
    n, size = features.shape[0], net.layout[SET_OUTPUT, 1]
    joined = np.zeros(n + 2 * size, np.float32)
    for i in range(n):
        joined[i] = features[i]
    for m in range(encoded.shape[0]):
        add_to_pool(encoded[m], m == 0, joined[n:])
    return joined


@register_jitable
def add_to_pool(values, is_first, pool):
    """Adds values (k,) to the sum, and takes them into the maximum, of a pool (2 k,)."""
    k = values.shape[0]
    for i in range(k):
        pool[i] += values[i]
        if is_first or values[i] > pool[k + i]:
            pool[k + i] = values[i]
