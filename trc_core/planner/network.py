"""A checkpoint's numbers in the form that the kernels take: no PyTorch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.planner.feature_kernels import Settings

if TYPE_CHECKING:
    from trc_core.checkpoint import Checkpoint

Weights = NDArray[np.float32]
LINE = 16  # numbers of float32 in a cache line
LAYERS = (
    'state_encoder.hidden',
    'state_encoder.output',
    'initial_generator.hidden',
    'initial_generator.output',
    'error_encoder.hidden',
    'error_encoder.output',
    'control_embedding.linear',
    'control_decoder.hidden',
    'control_decoder.output',
    'set_encoder.hidden',
    'set_encoder.output',
)
(
    STATE_HIDDEN,
    STATE_OUTPUT,
    INITIAL_HIDDEN,
    INITIAL_OUTPUT,
    ERROR_HIDDEN,
    ERROR_OUTPUT,
    CONTROL,
    DECODER_HIDDEN,
    DECODER_OUTPUT,
    SET_HIDDEN,
    SET_OUTPUT,
) = range(len(LAYERS))
BLOCKS = len(LAYERS)  # the first row of the first block
MLP_INPUT, MLP_OUTPUT, MLP_NORM = range(3)
BLOCK_ROWS = 3  # of the layout, for every block
RECEIVER, SENDER, PAIRED, READ = range(4)
RELATION_ROWS = 4  # behind the blocks, for every relation; the last is that of first plans
COMPILED = {
    'tokens': 'vector',
    'num_heads': 0,
    'norm': 'layer',
    'norm_position': 'post',
    'activation': 'swiglu',
    'use_residual_decoder': True,
}
"""The architecture that ships: the fields of `TRCConfig` that compiled kernels require."""


class Layer(NamedTuple):
    """y = w x + b, w (outputs, inputs)."""

    w: Weights
    b: Weights


class Network(NamedTuple):
    """The weights of a `TinyRecursiveControl` of the architecture that ships.

    All layers lie in one vector, because compiled code is called the faster, and compiles the
    faster, the fewer arrays it is handed. Row k of the layout says where layer k begins, its
    outputs and inputs, and how far its rows lie apart: w (outputs, inputs), row by row, then b
    (outputs,). Every row begins a cache line: loads that straddle two take twice as long. A norm
    is a layer of two rows, its gains and its biases. A layer that the model lacks has no inputs.
    """

    weights: Weights
    layout: NDArray[np.int64]  # (layers, 4)
    newton_weight: Weights  # (T,), zero where the model does not read the gradient
    H_init: Weights
    L_init: Weights
    blocks: int
    relations: int  # between obstacles
    inner_cycles: int
    first_cycles: int
    first_outputs: int  # M T n_u, of the first plans
    proposals: Weights  # (M, latent) latents, one for each first plan; (0, latent): one for all
    two_level: bool


def uncompiled(config: Mapping[str, Any]) -> str:
    """Fields that compiled kernels do not run, as "norm='rms'"; '' where there are none."""
    return ', '.join(
        f'{name}={config[name]!r}' for name, value in COMPILED.items() if config[name] != value
    )


def settings_of(checkpoint: Checkpoint) -> Settings:
    """The settings that a network was trained to refine with."""
    config, system = checkpoint.model, checkpoint.system
    kinds, stride, T = config['feedback'], config['feedback_stride'], system.horizon
    states = ('terminal' in kinds) + ('trajectory' in kinds) * (T // stride)
    return Settings(
        beam=np.array(config['beam'], dtype=np.int64),
        sweeps=config['sweeps'],
        residual=config['use_residual_decoder'],
        terminal='terminal' in kinds,
        trajectory='trajectory' in kinds,
        gradient='gradient' in kinds,
        stride=stride,
        consequences=states * system.n_x + ('gradient' in kinds) * T * system.n_u,
    )


def network_of(checkpoint: Checkpoint) -> Network:
    """The weights of a checkpoint, in float32.

    Raises:
        ValueError: if a tensor does not fit, or the model is not of the architecture that ships.
    """
    config, reader = checkpoint.model, _Reader(checkpoint)
    if differs := uncompiled(config):
        raise ValueError(
            f"compiled kernels do not fly models with {differs}: take backend='torch', or 'onnx'"
        )
    checkpoint.require_tensors()  # kernels check no index
    two_level, T = config['use_two_level'], config['control_horizon']
    blocks = config['L_layers'] if two_level else config['num_reasoning_blocks']
    layers = _layers(reader, config, blocks)
    weights, layout = _packed(layers)
    zeros = np.zeros(max(config['latent_dim'], T), np.float32)
    initial = [
        reader.tensor(f'recursive_reasoning.{name}')
        if two_level
        else zeros[: config['latent_dim']]
        for name in ('H_init', 'L_init')
    ]
    reads_gradient = 'newton_weight' in reader.tensors
    by_latents = config['proposals'] == 'latents'
    own = reader.tensor('proposals') if by_latents else np.zeros((0, config['latent_dim']))
    return Network(
        weights=weights,
        layout=layout,
        newton_weight=reader.tensor('newton_weight') if reads_gradient else zeros[:T],
        H_init=initial[0],
        L_init=initial[1],
        blocks=blocks,
        relations=_relations(reader, config),
        inner_cycles=config['L_cycles'] if two_level else config['num_inner_cycles'],
        first_cycles=config['first_cycles'],
        first_outputs=len(layers[INITIAL_OUTPUT].b) * (len(own) if by_latents else 1),
        proposals=own.astype(np.float32),
        two_level=two_level,
    )


def _layers(reader: _Reader, config: Mapping[str, Any], blocks: int) -> list[Layer]:
    """All layers, in the order of the layout."""
    latent = config['latent_dim']
    nothing = Layer(np.zeros((latent, 0), np.float32), np.zeros(latent, np.float32))
    layers = [
        reader.layer(name) if f'{name}.weight' in reader.tensors else nothing for name in LAYERS
    ]
    for i in range(blocks):
        block = f'recursive_reasoning.L_level.blocks.{i}'
        layers += [reader.layer(f'{block}.mlp.{name}') for name in ('input', 'output')]
        layers.append(reader.norm(f'{block}.mlp_norm'))
    for k in range(_relations(reader, config)):
        layers += _relation(reader, f'set_encoder.relations.{k}')
    if 'readout.output.weight' in reader.tensors:
        layers += _relation(reader, 'readout')
    return layers


def _relations(reader: _Reader, config: Mapping[str, Any]) -> int:
    """Rounds in which obstacles read of one another; none where there are no obstacles."""
    has_obstacles = 'set_encoder.hidden.weight' in reader.tensors
    return int(config['relations']) if has_obstacles else 0


def _relation(reader: _Reader, name: str) -> list[Layer]:
    """The layers of a relation; that of pairs may have no inputs."""
    receiver, sender, output = (
        reader.layer(f'{name}.{part}') for part in ('receiver', 'sender', 'output')
    )
    width = len(sender.b)
    pair = Layer(np.zeros((width, 0), np.float32), np.zeros(width, np.float32))
    if f'{name}.pair.weight' in reader.tensors:
        pair = reader.layer(f'{name}.pair')
    return [receiver, sender, pair, output]


def _packed(layers: list[Layer]) -> tuple[Weights, NDArray[np.int64]]:
    """One vector, and where in it each layer lies."""
    strides = [_rounded(layer.w.shape[1]) for layer in layers]
    sizes = [
        len(layer.b) * stride + _rounded(len(layer.b))
        for layer, stride in zip(layers, strides, strict=True)
    ]
    places = np.cumsum([0, *sizes])
    weights = aligned(int(places[-1]))
    for (w, b), place, stride in zip(layers, places, strides, strict=False):
        bias = place + len(b) * stride
        weights[place:bias].reshape(len(b), stride)[:, : w.shape[1]] = w
        weights[bias : bias + len(b)] = b
    layout = [(p, *layer.w.shape, s) for layer, p, s in zip(layers, places, strides, strict=False)]
    return weights, np.array(layout, dtype=np.int64)


def _rounded(count: int) -> int:
    """The next multiple of a cache line, in numbers."""
    return -(-count // LINE) * LINE


def aligned(size: int) -> Weights:
    """Zeros (size,) that begin where a cache line does."""
    spare = np.zeros(size + LINE, np.float32)
    first = -(spare.ctypes.data // spare.itemsize) % LINE
    return spare[first : first + size]


class _Reader:
    def __init__(self, checkpoint: Checkpoint) -> None:
        self.tensors = checkpoint.tensors

    def tensor(self, name: str) -> Weights:
        return np.ascontiguousarray(self.tensors[name], dtype=np.float32)

    def layer(self, name: str) -> Layer:
        return Layer(self.tensor(f'{name}.weight'), self.tensor(f'{name}.bias'))

    def norm(self, name: str) -> Layer:
        """Gains and biases as rows."""
        rows = [self.tensor(f'{name}.{part}') for part in ('weight', 'bias')]
        return Layer(np.stack(rows), np.zeros(2, np.float32))
