"""The network as nodes: the mathematics of `runtime/network_kernels.py`, for R rows at once."""

from __future__ import annotations

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.export.builder import Builder, Value
from trc_core.numerics.constants import NEWTON_CLAMP
from trc_core.planner import network as layers
from trc_core.planner.network import BLOCK_ROWS, BLOCKS, network_of


class NetworkGraph:
    """Adds the parts of a network to a graph; everything is in float32.

    Raises:
        ValueError: if the model is of a kind that only PyTorch runs.
    """

    def __init__(self, builder: Builder, checkpoint: Checkpoint) -> None:
        self.builder, self.net = builder, network_of(checkpoint)
        self.steps = checkpoint.system.horizon * checkpoint.system.n_u
        self.latent = checkpoint.model['latent_dim']

    @property
    def problem_dim(self) -> int:
        return int(self.net.layout[layers.STATE_HIDDEN, 2])

    @property
    def consequences_dim(self) -> int:
        return int(self.net.layout[layers.ERROR_HIDDEN, 2])

    def encode(self, problem: Value) -> tuple[Value, Value, Value]:
        """(z, z_H, z_L), each (B, latent), of what is read of a problem."""
        z = self._two_layers(layers.STATE_HIDDEN, layers.STATE_OUTPUT, problem)
        nothing = z * 0.0
        z_H, z_L = (nothing + self.net.H_init, nothing + self.net.L_init)
        if not self.net.two_level:
            z_H = z
        for _ in range(self.net.first_cycles):
            z_H, z_L = self._update(z_H, z_L, z)
        return z, z_H, z_L

    def first_plans(self, z: Value, z_H: Value) -> Value:
        """(B, M T n_u), before any plan has been seen."""
        read = z_H if self.net.first_cycles > 0 else z
        return self._two_layers(layers.INITIAL_HIDDEN, layers.INITIAL_OUTPUT, read)

    def propose(
        self,
        plan: Value,
        consequences: Value | None,
        slope: Value | None,
        z: Value,
        z_H: Value,
        z_L: Value,
    ) -> tuple[Value, Value, Value]:
        """The dimensionless change (R, T n_u) that the network wants, and the new latents."""
        net, context = self.net, self._affine(layers.CONTROL, plan)
        if consequences is not None:
            context += self._two_layers(layers.ERROR_HIDDEN, layers.ERROR_OUTPUT, consequences)
        z_H, z_L = self._update(z_H, z_L, z, context)
        decoder_dim = net.layout[layers.DECODER_HIDDEN, 2]
        read = self.builder.concat([z_H, plan.columns(0, int(decoder_dim - self.latent))])
        output = self._two_layers(layers.DECODER_HIDDEN, layers.DECODER_OUTPUT, read)
        if slope is not None:
            newton = self.builder.add('Clip', slope, -NEWTON_CLAMP, NEWTON_CLAMP)
            weight = np.repeat(net.newton_weight / 2, self.steps // len(net.newton_weight))
            output -= newton * weight
        return output, z_H, z_L

    def _update(
        self, z_H: Value, z_L: Value, z: Value, context: Value | None = None
    ) -> tuple[Value, Value]:
        """One cycle of reasoning; the single-latent mode only has z_H."""
        injected = z if context is None else z + context
        if not self.net.two_level:
            for _ in range(self.net.inner_cycles):
                z_H = self._reason(z_H + injected)
            return z_H, z_L
        injected = z_H + injected
        for _ in range(self.net.inner_cycles):
            z_L = self._reason(z_L + injected)
        return self._reason(z_H + z_L), z_L

    def _reason(self, z: Value) -> Value:
        for k in range(self.net.blocks):
            block = BLOCKS + BLOCK_ROWS * k
            if self.net.attention:
                norm = block + layers.ATTENTION_NORM
                z = self._leave(
                    norm, z + self._affine(block + layers.ATTENTION, self._enter(norm, z))
                )
            norm = block + layers.MLP_NORM
            wide = self._affine(block + layers.MLP_INPUT, self._enter(norm, z))
            change = self._affine(block + layers.MLP_OUTPUT, self._activated(wide))
            z = self._leave(norm, z + change)
        return self._normalised(layers.LEVEL_NORM, z) if self.net.pre_norm else z

    def _enter(self, norm: int, z: Value) -> Value:
        return self._normalised(norm, z) if self.net.pre_norm else z

    def _leave(self, norm: int, z: Value) -> Value:
        return z if self.net.pre_norm else self._normalised(norm, z)

    def _activated(self, wide: Value) -> Value:
        if not self.net.swiglu:
            return self._silu(wide)
        gate, value = wide.split(2)
        return self._silu(gate) * value

    def _normalised(self, layer: int, z: Value) -> Value:
        gain, bias = self.net.layer(layer).w
        epsilon = self.net.norm_epsilon
        if self.net.centred:
            return self.builder.add('LayerNormalization', z, gain, bias, epsilon=epsilon)
        mean = (z * z).sum(1) / self.latent
        return z / self.builder.add('Sqrt', mean + epsilon) * gain + bias

    def _two_layers(self, hidden: int, output: int, x: Value) -> Value:
        return self._affine(output, self._silu(self._affine(hidden, x)))

    def _affine(self, layer: int, x: Value) -> Value:
        w, b = self.net.layer(layer)
        return self.builder.add('Gemm', x, np.ascontiguousarray(w.T), b)

    def _silu(self, x: Value) -> Value:
        return x * self.builder.add('Sigmoid', x)


def add_cycle(builder: Builder, checkpoint: Checkpoint) -> None:
    """A graph of two parts: what comes before the first plan, and one proposal.

    Each part may be run alone (with zero rows for the other's inputs). Every row is one plan.
    """
    network = NetworkGraph(builder, checkpoint)
    latent, steps, single = network.latent, network.steps, np.float32
    problem = builder.input('problem', single, ('B', network.problem_dim))
    z, z_H, z_L = network.encode(problem)
    first = network.first_plans(z, z_H)
    builder.output('z_problem', z, ('B', latent))
    builder.output('z_H_first', z_H, ('B', latent))
    builder.output('z_L_first', z_L, ('B', latent))
    builder.output('first_plans', first, ('B', network.net.plans * steps))
    plan = builder.input('plan', single, ('R', 2 * steps))
    consequences = slope = None
    if network.consequences_dim:
        consequences = builder.input('consequences', single, ('R', network.consequences_dim))
    if network.net.gradient:
        slope = builder.input('slope', single, ('R', steps))
    latents = [builder.input(name, single, ('R', latent)) for name in ('z', 'z_H', 'z_L')]
    output, z_H, z_L = network.propose(plan, consequences, slope, *latents)
    builder.output('output', output, ('R', steps))
    builder.output('z_H_next', z_H, ('R', latent))
    builder.output('z_L_next', z_L, ('R', latent))
