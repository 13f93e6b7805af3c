"""The recursion: one small module, applied again and again with the same weights.

A latent z is (B, latent_dim), or (B, N, latent_dim) where every control step has its own.

Source: Jolicoeur-Martineau, "Less is More: Recursive Reasoning with Tiny Networks" (2025).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

INITIAL_STATE_SCALE = 0.02
NORM_EPSILON = 1e-5

NORMS: dict[str, Callable[[int], nn.Module]] = {
    'layer': lambda size: nn.LayerNorm(size, eps=NORM_EPSILON),
    'rms': lambda size: nn.RMSNorm(size, eps=NORM_EPSILON),
}


class SwiGLU(nn.Module):
    """W_out (SiLU(a) * b) with (a, b) = W_in x."""

    def __init__(self, latent_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.input = nn.Linear(latent_dim, 2 * hidden_dim)
        self.output = nn.Linear(hidden_dim, latent_dim)
        self.activation = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.input(x).chunk(2, dim=-1)
        return self.output(self.activation(gate) * value)


class SiLUPerceptron(nn.Module):
    """W_out SiLU(W_in x)."""

    def __init__(self, latent_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.input = nn.Linear(latent_dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, latent_dim)
        self.activation = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.activation(self.input(x)))


PERCEPTRONS: dict[str, Callable[[int, int], nn.Module]] = {
    'swiglu': SwiGLU,
    'silu': SiLUPerceptron,
}


class TokenAttention(nn.Module):
    """Multi-head self-attention over the N latents of a plan.

    Over a sequence of one (z without an axis N) the softmax is 1, so this is exactly a linear
    map, the output projection after the value projection; queries and keys have no influence.
    `trc export` folds it.
    """

    def __init__(self, latent_dim: int, num_heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(latent_dim, num_heads, batch_first=True)

    def forward(self, z: Tensor) -> Tensor:
        tokens = z.unsqueeze(1) if z.dim() == 2 else z
        return self.attention(tokens, tokens, tokens, need_weights=False)[0].view_as(z)

    def folded(self) -> tuple[Tensor, Tensor]:
        """(M, b) with forward(z) = M z + b for z (B, latent_dim)."""
        value_w = self.attention.in_proj_weight.chunk(3)[2]
        value_b = self.attention.in_proj_bias.chunk(3)[2]
        out = self.attention.out_proj
        return out.weight @ value_w, out.weight @ value_b + out.bias


def post_norm(z: Tensor, part: nn.Module, norm: nn.Module) -> Tensor:
    """The norm behind the residual sum, as in TRM."""
    return norm(z + part(z))


def pre_norm(z: Tensor, part: nn.Module, norm: nn.Module) -> Tensor:
    """The norm before the part; the residual stream itself is never normalised."""
    return z + part(norm(z))


RESIDUALS = {'post': post_norm, 'pre': pre_norm}


class RecursiveReasoningBlock(nn.Module):
    """Attention (if any heads), then a perceptron, each with a residual sum and a norm.

    Args:
        latent_dim: size of z.
        hidden_dim: width of the perceptron.
        num_heads: of the attention; 0 leaves it out.
        norm: key of `NORMS`.
        norm_position: key of `RESIDUALS`.
        activation: key of `PERCEPTRONS`.
    """

    def __init__(
        self,
        latent_dim: int,
        hidden_dim: int,
        num_heads: int,
        norm: str = 'layer',
        norm_position: str = 'post',
        activation: str = 'swiglu',
    ) -> None:
        super().__init__()
        self.attention = TokenAttention(latent_dim, num_heads) if num_heads else None
        self.attention_norm = NORMS[norm](latent_dim) if num_heads else None
        self.mlp = PERCEPTRONS[activation](latent_dim, hidden_dim)
        self.mlp_norm = NORMS[norm](latent_dim)
        self.residual = RESIDUALS[norm_position]

    def forward(self, z: Tensor) -> Tensor:
        if self.attention is not None and self.attention_norm is not None:
            z = self.residual(z, self.attention, self.attention_norm)
        return self.residual(z, self.mlp, self.mlp_norm)


class ControlReasoningModule(nn.Module):
    """`L_level`: z <- norm(blocks(z + injected)), with the same weights for every update.

    Args:
        blocks: applied in this order.
        norm: behind the blocks; needed by pre-norm blocks, whose sum would grow with every use.
    """

    def __init__(
        self, blocks: list[RecursiveReasoningBlock], norm: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm or nn.Identity()

    def forward(self, z: Tensor, injected: Tensor) -> Tensor:
        z = z + injected
        for block in self.blocks:
            z = block(z)
        return self.norm(z)


class RecursiveRefinementModule(nn.Module):
    """Single-latent reasoning: z <- L_level(z, z_initial + context), `inner_cycles` times."""

    def __init__(self, level: ControlReasoningModule, inner_cycles: int) -> None:
        super().__init__()
        self.L_level = level
        self.inner_cycles = inner_cycles

    def initial_latents(self, z_initial: Tensor) -> tuple[Tensor, ...]:
        """The latent before the first cycle: the problem itself."""
        return (z_initial,)

    def forward(
        self, latents: tuple[Tensor, ...], z_initial: Tensor, context: Tensor
    ) -> tuple[Tensor, ...]:
        (z,) = latents
        for _ in range(self.inner_cycles):
            z = self.L_level(z, z_initial + context)
        return (z,)


class TwoLevelReasoning(nn.Module):
    """TRM's two levels: z_L works out details `L_cycles` times, then z_H takes stock once.

    z_L <- L_level(z_L, z_H + z_initial + context);  z_H <- L_level(z_H, z_L).
    """

    def __init__(
        self, level: ControlReasoningModule, latent_dim: int, L_cycles: int, learnable_inits: bool
    ) -> None:
        super().__init__()
        self.L_level = level
        self.L_cycles = L_cycles
        initial = INITIAL_STATE_SCALE * torch.randn(2, latent_dim)
        self.H_init = nn.Parameter(initial[0], requires_grad=learnable_inits)
        self.L_init = nn.Parameter(initial[1], requires_grad=learnable_inits)

    def initial_latents(self, z_initial: Tensor) -> tuple[Tensor, ...]:
        """(z_H, z_L) before the first cycle, each of the shape of z_initial."""
        return self.H_init.expand_as(z_initial), self.L_init.expand_as(z_initial)

    def forward(
        self, latents: tuple[Tensor, ...], z_initial: Tensor, context: Tensor
    ) -> tuple[Tensor, ...]:
        z_H, z_L = latents
        for _ in range(self.L_cycles):
            z_L = self.L_level(z_L, z_H + z_initial + context)
        return self.L_level(z_H, z_L), z_L
