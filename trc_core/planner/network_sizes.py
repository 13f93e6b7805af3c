"""Sizes of a network: kernels check no index, so that a file with other ones is refused first."""

from __future__ import annotations

from trc_core.checkpoint import Checkpoint
from trc_core.planner.feature_kernels import Settings
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
    LAYERS,
    MLP_INPUT,
    MLP_NORM,
    MLP_OUTPUT,
    STATE_HIDDEN,
    STATE_OUTPUT,
    Network,
)

Sizes = dict[int, tuple[int | None, int]]
COUNTS = {'L_cycles': 0, 'num_inner_cycles': 0, 'first_cycles': 0, 'sweeps': 0, 'plans': 1}
"""Fields of `TRCConfig` that kernels loop over, and the least that each may be."""


def require_sizes(checkpoint: Checkpoint, net: Network, settings: Settings) -> None:
    """Compares a network's layers with one another, and with what they read and write.

    Raises:
        ValueError: if a count is none, or a layer has another size; the message names it.
    """
    config = checkpoint.model
    counts = [(name, config[name], least) for name, least in COUNTS.items()]
    counts += [('beam', width, 1) for width in config['beam']]
    for name, count, least in counts:
        if type(count) is not int or count < least:
            raise ValueError(f'{name} of the model is {count!r}, expected at least {least}')
    for name in ('use_two_level', 'use_residual_decoder'):
        if type(config[name]) is not bool:
            raise ValueError(f'{name} of the model is {config[name]!r}, expected true or false')
    for k, sizes in {**_layer_sizes(checkpoint, net, settings), **_block_sizes(net)}.items():
        found = tuple(net.layout[k, 1:3].tolist())
        if found != (found[0] if sizes[0] is None else sizes[0], sizes[1]):
            name = LAYERS[k] if k < BLOCKS else f'layer {k - BLOCKS} of the blocks'
            raise ValueError(f'{name} has {found} outputs and inputs, expected {sizes}')
    if len(net.L_init) != len(net.H_init) or len(net.newton_weight) != checkpoint.system.horizon:
        raise ValueError('L_init or newton_weight has another size than the plant or the latent')


def _layer_sizes(checkpoint: Checkpoint, net: Network, settings: Settings) -> Sizes:
    """The outputs (None: any number) and inputs of the encoders and decoders."""
    system, numbers = checkpoint.system, checkpoint.representation
    latent, plan = len(net.H_init), system.horizon * system.n_u
    read = 2 * system.n_x + 2 * len(numbers.angles) + len(numbers.inputs) + 1
    hidden = {k: int(net.layout[k, 1]) for k in range(BLOCKS)}
    sizes: Sizes = {
        STATE_HIDDEN: (None, read),
        STATE_OUTPUT: (latent, hidden[STATE_HIDDEN]),
        INITIAL_HIDDEN: (None, latent),
        INITIAL_OUTPUT: (checkpoint.model['plans'] * plan, hidden[INITIAL_HIDDEN]),
        CONTROL: (latent, 2 * plan),
        DECODER_HIDDEN: (None, latent + plan),
        DECODER_OUTPUT: (plan, hidden[DECODER_HIDDEN]),
    }
    if checkpoint.model['feedback']:
        sizes[ERROR_HIDDEN] = (None, settings.consequences)
        sizes[ERROR_OUTPUT] = (latent, hidden[ERROR_HIDDEN])
    return sizes


def _block_sizes(net: Network) -> Sizes:
    """The outputs and inputs of every block's perceptron and norm."""
    latent = len(net.H_init)
    sizes: Sizes = {}
    for first in range(BLOCKS, BLOCKS + BLOCK_ROWS * net.blocks, BLOCK_ROWS):
        hidden = int(net.layout[first + MLP_OUTPUT, 2])
        sizes[first + MLP_INPUT] = (2 * hidden, latent)
        sizes[first + MLP_OUTPUT] = (latent, hidden)
        sizes[first + MLP_NORM] = (2, latent)
    return sizes
