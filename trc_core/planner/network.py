"""A checkpoint's numbers in the form that the kernels take: no PyTorch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from trc_core.checkpoint import Checkpoint

Weights = NDArray[np.float32]
NORM_EPSILON = 1e-5  # as in models/recursive_reasoning.py
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
) = range(len(LAYERS))
LEVEL_NORM = len(LAYERS)  # behind the blocks; unused where they normalise their own output
BLOCKS = LEVEL_NORM + 1  # the first row of the first block
ATTENTION, ATTENTION_NORM, MLP_INPUT, MLP_OUTPUT, MLP_NORM = range(5)
BLOCK_ROWS = 5  # of the layout, for every block


class Layer(NamedTuple):
    """y = w x + b, w (outputs, inputs)."""

    w: Weights
    b: Weights


class Network(NamedTuple):
    """The weights of a `TinyRecursiveControl`; attention is folded into one matrix a block.

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
    inner_cycles: int
    first_cycles: int
    plans: int
    beam: NDArray[np.int64]
    sweeps: int
    stride: int
    two_level: bool
    attention: bool
    swiglu: bool
    pre_norm: bool
    centred: bool  # LayerNorm subtracts the mean, RMSNorm does not
    norm_epsilon: float
    residual: bool
    terminal: bool
    trajectory: bool
    gradient: bool

    def layer(self, k: int) -> Layer:
        """Row k of the layout."""
        place, outputs, inputs, stride = self.layout[k]
        bias = place + outputs * stride
        w = self.weights[place:bias].reshape(outputs, stride)[:, :inputs]
        return Layer(w, self.weights[bias : bias + outputs])


def network_of(checkpoint: Checkpoint) -> Network:
    """The weights of a checkpoint, in float32.

    Raises:
        ValueError: if a tensor is missing, or the model is of a kind that only PyTorch runs.
    """
    config = checkpoint.model
    if config['tokens'] != 'vector':
        raise ValueError(
            f"compiled kernels fly models with tokens='vector', this one has "
            f"'{config['tokens']}': take backend='torch'"
        )
    two_level, feedback = config['use_two_level'], config['feedback']
    reader = _Reader(checkpoint)
    latent, T = config['latent_dim'], config['control_horizon']
    blocks = config['L_layers'] if two_level else config['num_reasoning_blocks']
    weights, layout = _packed(_layers(reader, config, blocks))
    zeros = np.zeros(latent, np.float32)
    return Network(
        weights=weights,
        layout=layout,
        newton_weight=(
            reader.tensor('newton_weight') if 'gradient' in feedback else np.zeros(T, np.float32)
        ),
        H_init=reader.tensor('recursive_reasoning.H_init') if two_level else zeros,
        L_init=reader.tensor('recursive_reasoning.L_init') if two_level else zeros,
        blocks=blocks,
        inner_cycles=config['L_cycles'] if two_level else config['num_inner_cycles'],
        first_cycles=config['first_cycles'],
        plans=config['plans'],
        beam=np.array(config['beam'], dtype=np.int64),
        sweeps=config['sweeps'],
        stride=config['feedback_stride'],
        two_level=two_level,
        attention=config['num_heads'] > 0,
        swiglu=config['activation'] == 'swiglu',
        pre_norm=config['norm_position'] == 'pre',
        centred=config['norm'] == 'layer',
        norm_epsilon=NORM_EPSILON,
        residual=config['use_residual_decoder'],
        terminal='terminal' in feedback,
        trajectory='trajectory' in feedback,
        gradient='gradient' in feedback,
    )


def _layers(reader: _Reader, config: Mapping[str, Any], blocks: int) -> list[Layer]:
    """All layers, in the order of the layout."""
    latent = config['latent_dim']
    nothing = Layer(np.zeros((latent, 0), np.float32), np.zeros(latent, np.float32))
    layers = [
        nothing
        if name.startswith('error_encoder') and not config['feedback']
        else reader.layer(name)
        for name in LAYERS
    ]
    behind = config['norm_position'] == 'pre'
    layers.append(reader.norm('recursive_reasoning.L_level.norm') if behind else nothing)
    for i in range(blocks):
        block = f'recursive_reasoning.L_level.blocks.{i}'
        heads = config['num_heads'] > 0
        layers += [
            reader.folded_attention(f'{block}.attention.attention', latent) if heads else nothing,
            reader.norm(f'{block}.attention_norm') if heads else nothing,
            reader.layer(f'{block}.mlp.input'),
            reader.layer(f'{block}.mlp.output'),
            reader.norm(f'{block}.mlp_norm'),
        ]
    return layers


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
        if name not in self.tensors:
            raise ValueError(f"the checkpoint has no tensor '{name}'")
        return np.ascontiguousarray(self.tensors[name], dtype=np.float32)

    def layer(self, name: str) -> Layer:
        return Layer(self.tensor(f'{name}.weight'), self.tensor(f'{name}.bias'))

    def norm(self, name: str) -> Layer:
        """Gains and biases as rows; RMSNorm has no biases."""
        gain = self.tensor(f'{name}.weight')
        has_bias = f'{name}.bias' in self.tensors
        bias = self.tensor(f'{name}.bias') if has_bias else np.zeros_like(gain)
        return Layer(np.stack([gain, bias]), np.zeros(2, np.float32))

    def folded_attention(self, name: str, latent: int) -> Layer:
        """Over one token attention is linear: the output of the value."""
        value_w = self.tensor(f'{name}.in_proj_weight')[2 * latent :].astype(np.float64)
        value_b = self.tensor(f'{name}.in_proj_bias')[2 * latent :].astype(np.float64)
        w, b = self.layer(f'{name}.out_proj')
        return Layer((w @ value_w).astype(np.float32), (w @ value_b + b).astype(np.float32))
