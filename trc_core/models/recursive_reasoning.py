"""The recursion: one small module, applied again and again with the same weights.

Source: Jolicoeur-Martineau, "Less is More: Recursive Reasoning with Tiny Networks" (2025).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

INITIAL_STATE_SCALE = 0.02


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


class TokenAttention(nn.Module):
    """Multi-head self-attention over the latent as a sequence of one token.

    The softmax over one token is 1, so this is exactly a linear map, the output projection after
    the value projection; queries and keys have no influence. The runtime folds it.
    """

    def __init__(self, latent_dim: int, num_heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(latent_dim, num_heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        token = x.unsqueeze(1)
        return self.attention(token, token, token, need_weights=False)[0].squeeze(1)

    def folded(self) -> tuple[Tensor, Tensor]:
        """(M, b) with forward(x) = M x + b."""
        value_w = self.attention.in_proj_weight.chunk(3)[2]
        value_b = self.attention.in_proj_bias.chunk(3)[2]
        out = self.attention.out_proj
        return out.weight @ value_w, out.weight @ value_b + out.bias


class RecursiveReasoningBlock(nn.Module):
    """Attention (if any heads) and SwiGLU, each followed by residual and LayerNorm (post-norm)."""

    def __init__(self, latent_dim: int, hidden_dim: int, num_heads: int) -> None:
        super().__init__()
        self.attention = TokenAttention(latent_dim, num_heads) if num_heads else None
        self.attention_norm = nn.LayerNorm(latent_dim) if num_heads else None
        self.mlp = SwiGLU(latent_dim, hidden_dim)
        self.mlp_norm = nn.LayerNorm(latent_dim)

    def forward(self, z: Tensor) -> Tensor:
        if self.attention is not None and self.attention_norm is not None:
            z = self.attention_norm(z + self.attention(z))
        return self.mlp_norm(z + self.mlp(z))


class ControlReasoningModule(nn.Module):
    """`L_level`: z <- blocks(z + injected), with the same weights for every update."""

    def __init__(self, blocks: list[RecursiveReasoningBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, z: Tensor, injected: Tensor) -> Tensor:
        z = z + injected
        for block in self.blocks:
            z = block(z)
        return z


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
        """(z_H, z_L) before the first cycle, each (B, latent_dim)."""
        return self.H_init.expand_as(z_initial), self.L_init.expand_as(z_initial)

    def forward(
        self, latents: tuple[Tensor, ...], z_initial: Tensor, context: Tensor
    ) -> tuple[Tensor, ...]:
        z_H, z_L = latents
        for _ in range(self.L_cycles):
            z_L = self.L_level(z_L, z_H + z_initial + context)
        return self.L_level(z_H, z_L), z_L
