"""The network as nodes: the mathematics of `trc_core/models`, for R rows at once, in float32."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.network_config import TRCConfig
from trc_core.numerics.constants import NEWTON_CLAMP
from trc_core.planner.network import settings_of
from trc_core.planner.onnx.builder import Builder, Value

LEVEL = 'recursive_reasoning.L_level'
NORM_EPSILON = 1e-5  # as in models/recursive_reasoning.py


class NetworkGraph:
    """Adds the parts of a network to a graph.

    Raises:
        ValueError: if the model has a latent for every control step, or is none that refines
            plans, from one latent, of problems that are read without a canonical frame.
    """

    def __init__(self, builder: Builder, checkpoint: Checkpoint) -> None:
        self.config, self.tensors = checkpoint.model, checkpoint.tensors
        if self.config['tokens'] != 'vector':
            raise ValueError(
                f"a graph holds a model with tokens='vector', this one has "
                f"'{self.config['tokens']}': take backend='torch'"
            )
        only = {
            'the representation': (checkpoint.coordinates.kind == 'canonical', "'canonical'"),
            'proposals': (self.config['proposals'] == 'latents', "'latents'"),
            'cycles': (not TRCConfig.from_record(self.config).cycles, '0'),
        }
        for name, (is_so, value) in only.items():
            if is_so:
                raise ValueError(
                    f"a graph holds no model where {name} is {value}: take backend='numba'"
                )
        self.builder, self.settings = builder, settings_of(checkpoint)
        self.steps = checkpoint.system.horizon * checkpoint.system.n_u
        self.latent = self.config['latent_dim']
        self.two_level = self.config['use_two_level']

    def build(self) -> None:
        """Adds two parts: what comes before the first plans, and one cycle of refinement.

        Each part may be run alone (with zero rows for the other's inputs). Every row is one plan.
        """
        latent, steps, settings = self.latent, self.steps, self.settings
        problem = self._input('problem', self.tensors['state_encoder.hidden.weight'].shape[1], 'B')
        z, z_H, z_L = self.encode(problem)
        for name, value, size in (
            ('z_problem', z, latent),
            ('z_H_first', z_H, latent),
            ('z_L_first', z_L, latent),
            ('first_plans', self.first_plans(z, z_H), self.config['plans'] * steps),
        ):
            self.builder.output(name, value, ('B', size))
        plan = self._input('plan', 2 * steps)
        seen = settings.consequences
        consequences = self._input('consequences', seen) if seen else None
        slope = self._input('slope', steps) if settings.gradient else None
        z, z_H, z_L = (self._input(name, latent) for name in ('z', 'z_H', 'z_L'))
        output, z_H, z_L = self.propose(plan, consequences, slope, z, z_H, z_L)
        for name, value, size in (
            ('output', output, steps),
            ('z_H_next', z_H, latent),
            ('z_L_next', z_L, latent),
        ):
            self.builder.output(name, value, ('R', size))

    def encode(self, problem: Value) -> tuple[Value, Value, Value]:
        """(z, z_H, z_L), each (B, latent), of the features of a problem."""
        z = self._two_layers('state_encoder', problem)
        z_H = z_L = z
        if self.two_level:
            names = [f'recursive_reasoning.{name}_init' for name in 'HL']
            z_H, z_L = (z * 0.0 + self.tensors[name] for name in names)
        for _ in range(self.config['first_cycles']):
            z_H, z_L = self._update(z_H, z_L, z)
        return z, z_H, z_L

    def first_plans(self, z: Value, z_H: Value) -> Value:
        """(B, M T n_u), before any plan has been seen."""
        return self._two_layers('initial_generator', z_H if self.config['first_cycles'] else z)

    def propose(
        self,
        plan: Value,
        consequences: Value | None,
        slope: Value | None,
        z: Value,
        z_H: Value,
        z_L: Value,
    ) -> tuple[Value, Value, Value]:
        """The dimensionless output (R, T n_u) for a plan, and the new latents."""
        context = self._affine('control_embedding.linear', plan)
        if consequences is not None:
            context += self._two_layers('error_encoder', consequences)
        z_H, z_L = self._update(z_H, z_L, z + context)
        read = z_H
        if self.settings.residual:
            read = self.builder.add('Concat', z_H, plan.columns(0, self.steps), axis=1)
        output = self._two_layers('control_decoder', read)
        if slope is not None:
            newton = self.builder.add('Clip', slope, -NEWTON_CLAMP, NEWTON_CLAMP)
            weight = self.tensors['newton_weight']
            output -= newton * np.repeat(weight / 2, self.steps // len(weight))
        return output, z_H, z_L

    def _update(self, z_H: Value, z_L: Value, injected: Value) -> tuple[Value, Value]:
        """One cycle of reasoning; the single-latent mode only has z_H."""
        if not self.two_level:
            for _ in range(self.config['num_inner_cycles']):
                z_H = self._reason(z_H + injected)
            return z_H, z_L
        injected = z_H + injected
        for _ in range(self.config['L_cycles']):
            z_L = self._reason(z_L + injected)
        return self._reason(z_H + z_L), z_L

    def _reason(self, z: Value) -> Value:
        for k in range(self.config['L_layers' if self.two_level else 'num_reasoning_blocks']):
            block = f'{LEVEL}.blocks.{k}'
            if self.config['num_heads']:
                z = self._residual(f'{block}.attention', z, self._attention)
            z = self._residual(f'{block}.mlp', z, self._perceptron)
        before = self.config['norm_position'] == 'pre'
        return self._normalised(f'{LEVEL}.norm', z) if before else z

    def _residual(self, part: str, z: Value, run: Callable[[str, Value], Value]) -> Value:
        """A part of a block, with its residual sum and its norm."""
        norm = f'{part}_norm'
        if self.config['norm_position'] == 'pre':
            return z + run(part, self._normalised(norm, z))
        return self._normalised(norm, z + run(part, z))

    def _attention(self, name: str, z: Value) -> Value:
        """Attention over one token: the softmax is 1, the output that of the value."""
        tensor = lambda part: self.tensors[f'{name}.attention.{part}'].astype(np.float64)  # noqa: E731
        value_w, value_b = (tensor(f'in_proj_{p}')[2 * self.latent :] for p in ('weight', 'bias'))
        w, b = tensor('out_proj.weight'), tensor('out_proj.bias')
        return self.builder.add('Gemm', z, w @ value_w, w @ value_b + b, transB=1)

    def _perceptron(self, name: str, z: Value) -> Value:
        wide = self._affine(f'{name}.input', z)
        if self.config['activation'] == 'swiglu':
            n = self.config['hidden_dim']
            wide = self._silu(wide.columns(0, n)) * wide.columns(n, 2 * n)
            return self._affine(f'{name}.output', wide)
        return self._affine(f'{name}.output', self._silu(wide))

    def _normalised(self, name: str, z: Value) -> Value:
        gain = self.tensors[f'{name}.weight']
        if self.config['norm'] == 'layer':
            bias = self.tensors[f'{name}.bias']
            return self.builder.add('LayerNormalization', z, gain, bias, epsilon=NORM_EPSILON)
        mean = (z * z).sum(1) / self.latent
        return z / self.builder.add('Sqrt', mean + NORM_EPSILON) * gain

    def _two_layers(self, name: str, x: Value) -> Value:
        return self._affine(f'{name}.output', self._silu(self._affine(f'{name}.hidden', x)))

    def _affine(self, name: str, x: Value) -> Value:
        w, b = self.tensors[f'{name}.weight'], self.tensors[f'{name}.bias']
        return self.builder.add('Gemm', x, w, b, transB=1)

    def _silu(self, x: Value) -> Value:
        return x * self.builder.add('Sigmoid', x)

    def _input(self, name: str, size: int, rows: str = 'R') -> Value:
        return self.builder.input(name, (rows, size))
