"""A checkpoint's numbers in the form that the kernels take: no PyTorch here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trc_core.checkpoint import Checkpoint

Weights = NDArray[np.float32]
NORM_EPSILON = 1e-5  # as in models/recursive_reasoning.py


class Layer(NamedTuple):
    """y = w x + b, w (outputs, inputs)."""

    w: Weights
    b: Weights


class Stack(NamedTuple):
    """The same layer of several blocks: w (blocks, outputs, inputs), b (blocks, outputs)."""

    w: Weights
    b: Weights


class Network(NamedTuple):
    """The weights of a `TinyRecursiveControl`; attention is folded into one matrix a block."""

    state_hidden: Layer
    state_output: Layer
    initial_hidden: Layer
    initial_output: Layer
    error_hidden: Layer  # without inputs where the model has no feedback
    error_output: Layer
    control: Layer
    attention: Stack  # no blocks where the model has no attention
    attention_norm: Stack  # gains and biases, each (blocks, latent_dim); unused likewise
    mlp_input: Stack
    mlp_output: Stack
    mlp_norm: Stack
    level_norm: Stack  # one, behind the blocks; none where they normalise their own output
    decoder_hidden: Layer
    decoder_output: Layer
    newton_weight: Weights  # (T,), zero where the model does not read the gradient
    H_init: Weights
    L_init: Weights
    inner_cycles: int
    first_cycles: int
    plans: int
    beam: NDArray[np.int64]
    sweeps: int
    stride: int
    two_level: bool
    swiglu: bool
    pre_norm: bool
    centred: bool  # LayerNorm subtracts the mean, RMSNorm does not
    norm_epsilon: float
    residual: bool
    terminal: bool
    trajectory: bool
    gradient: bool


def network_of(checkpoint: Checkpoint) -> Network:
    """The weights of a checkpoint, contiguous and in float32.

    Raises:
        ValueError: if a tensor is missing, or the model is of a kind that only PyTorch runs.
    """
    reader = _Reader(checkpoint)
    config = checkpoint.model
    if config['tokens'] != 'vector':
        raise ValueError(
            f"the runtime flies models with tokens='vector', this one has '{config['tokens']}': "
            f'plan with trc_core.models.persistence.load_model instead'
        )
    two_level, feedback = config['use_two_level'], config['feedback']
    latent, T = config['latent_dim'], config['control_horizon']
    no_layer = Layer(np.zeros((latent, 0), np.float32), np.zeros(latent, np.float32))
    blocks = config['L_layers'] if two_level else config['num_reasoning_blocks']
    zeros = np.zeros(latent, np.float32)
    return Network(
        state_hidden=reader.layer('state_encoder.hidden'),
        state_output=reader.layer('state_encoder.output'),
        initial_hidden=reader.layer('initial_generator.hidden'),
        initial_output=reader.layer('initial_generator.output'),
        error_hidden=reader.layer('error_encoder.hidden') if feedback else no_layer,
        error_output=reader.layer('error_encoder.output') if feedback else no_layer,
        control=reader.layer('control_embedding.linear'),
        attention=reader.folded_attention(blocks if config['num_heads'] else 0, latent),
        attention_norm=reader.norms(
            'attention_norm' if config['num_heads'] else 'mlp_norm', blocks
        ),
        mlp_input=reader.stack('mlp.input', blocks),
        mlp_output=reader.stack('mlp.output', blocks),
        mlp_norm=reader.norms('mlp_norm', blocks),
        level_norm=reader.level_norm(config['norm_position'] == 'pre', latent),
        decoder_hidden=reader.layer('control_decoder.hidden'),
        decoder_output=reader.layer('control_decoder.output'),
        newton_weight=(
            reader.tensor('newton_weight') if 'gradient' in feedback else np.zeros(T, np.float32)
        ),
        H_init=reader.tensor('recursive_reasoning.H_init') if two_level else zeros,
        L_init=reader.tensor('recursive_reasoning.L_init') if two_level else zeros,
        inner_cycles=config['L_cycles'] if two_level else config['num_inner_cycles'],
        first_cycles=config['first_cycles'],
        plans=config['plans'],
        beam=np.array(config['beam'], dtype=np.int64),
        sweeps=config['sweeps'],
        stride=config['feedback_stride'],
        two_level=two_level,
        swiglu=config['activation'] == 'swiglu',
        pre_norm=config['norm_position'] == 'pre',
        centred=config['norm'] == 'layer',
        norm_epsilon=NORM_EPSILON,
        residual=config['use_residual_decoder'],
        terminal='terminal' in feedback,
        trajectory='trajectory' in feedback,
        gradient='gradient' in feedback,
    )


class _Reader:
    def __init__(self, checkpoint: Checkpoint) -> None:
        self.tensors = checkpoint.tensors

    def tensor(self, name: str) -> Weights:
        if name not in self.tensors:
            raise ValueError(f"the checkpoint has no tensor '{name}'")
        return np.ascontiguousarray(self.tensors[name], dtype=np.float32)

    def layer(self, name: str) -> Layer:
        return Layer(self.tensor(f'{name}.weight'), self.tensor(f'{name}.bias'))

    def stack(self, name: str, blocks: int) -> Stack:
        layers = [self.layer(f'{_block(i)}.{name}') for i in range(blocks)]
        weights, biases = zip(*layers, strict=True)
        return Stack(np.stack(weights), np.stack(biases))

    def norm(self, name: str) -> Layer:
        """Gain and bias (latent_dim,); RMSNorm has no bias."""
        gain = self.tensor(f'{name}.weight')
        has_bias = f'{name}.bias' in self.tensors
        return Layer(gain, self.tensor(f'{name}.bias') if has_bias else np.zeros_like(gain))

    def norms(self, name: str, blocks: int) -> Stack:
        gains, biases = zip(
            *[self.norm(f'{_block(i)}.{name}') for i in range(blocks)], strict=True
        )
        return Stack(np.stack(gains), np.stack(biases))

    def level_norm(self, present: bool, latent: int) -> Stack:
        if not present:
            return Stack(np.zeros((0, latent), np.float32), np.zeros((0, latent), np.float32))
        norm = self.norm('recursive_reasoning.L_level.norm')
        return Stack(norm.w[None], norm.b[None])

    def folded_attention(self, blocks: int, latent: int) -> Stack:
        w = np.zeros((blocks, latent, latent), np.float32)
        b = np.zeros((blocks, latent), np.float32)
        for i in range(blocks):
            name = f'{_block(i)}.attention.attention'
            value_w = self.tensor(f'{name}.in_proj_weight')[2 * latent :].astype(np.float64)
            value_b = self.tensor(f'{name}.in_proj_bias')[2 * latent :].astype(np.float64)
            output = self.layer(f'{name}.out_proj')
            w[i] = output.w @ value_w
            b[i] = output.w @ value_b + output.b
        return Stack(w, b)


def _block(i: int) -> str:
    return f'recursive_reasoning.L_level.blocks.{i}'
