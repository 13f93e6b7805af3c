"""Controls as decimal text: a small decoder-only transformer, in the manner of a language model.

A line reads `+1.23-0.50|+0.00+0.00=+0.12 -1.30 ...`: state, goal, then every control.
"""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from trc_core.problem.system import Array, System

ALPHABET = '0123456789+-. |=\n'
INDEX = {character: i for i, character in enumerate(ALPHABET)}
END = INDEX['\n']
NUMBER = r'[+-]\d+\.\d\d'
SLACK = 8  # characters that a plan may be longer than a correct one

Cache = list[tuple[Tensor, Tensor]]


def prompt(x0: Array, goal: Array) -> str:
    """Text before the plan, for one state and goal (n_x,)."""
    return f'{_written(x0)}|{_written(goal)}='


def plan_text(controls: Array) -> str:
    """Text of a plan (T, n_u), two decimals."""
    return ' '.join(f'{u:+.2f}' for u in controls.ravel()) + '\n'


def parse(text: str, steps: int, n_u: int) -> Array | None:
    """Controls (T, n_u) of a text; None if it is not exactly so many numbers."""
    if not re.fullmatch(f'{NUMBER}(?: {NUMBER}){{{steps * n_u - 1}}}\n', text):
        return None
    return np.array([float(word) for word in text.split()]).reshape(steps, n_u)


def encode(text: str) -> Tensor:
    """Tokens (length,) of a text, one a character."""
    return torch.tensor([INDEX[character] for character in text])


def _written(values: Array) -> str:
    return ''.join(f'{value:+.2f}' for value in values)


class CausalBlock(nn.Module):
    """Attention to what came before, then a perceptron, each behind a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(
        self, x: Tensor, cached: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The tokens (B, N, width), and keys and values of everything up to them."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        )
        if cached is not None:
            k, v = torch.cat([cached[0], k], 2), torch.cat([cached[1], v], 2)
        mixed = scaled_dot_product_attention(q, k, v, is_causal=cached is None)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.mlp_norm(x)), (k, v)


class TextModel(nn.Module):
    """Decoder-only transformer over characters.

    Args:
        system: whose states and controls are written.
        width: of a token.
    """

    LAYERS, HEADS = 3, 4

    def __init__(self, system: System, width: int) -> None:
        super().__init__()
        self.steps, self.n_u = system.horizon, system.n_u
        largest = np.maximum(np.abs(system.u_min), np.abs(system.u_max)).max()
        self.plan_length = self.steps * self.n_u * (len(f'{largest:+.2f}') + 1)
        length = len(prompt(system.x0_box, system.goal_box)) + self.plan_length + SLACK
        self.tokens = nn.Embedding(len(ALPHABET), width)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.ModuleList(CausalBlock(width, self.HEADS) for _ in range(self.LAYERS))
        self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, len(ALPHABET))

    def forward(self, tokens: Tensor, cached: Cache | None = None) -> tuple[Tensor, Cache]:
        """Logits (B, N, characters) of what follows each token (B, N), and the new cache."""
        begin = 0 if cached is None else cached[0][0].shape[2]
        x = self.tokens(tokens) + self.positions[begin : begin + tokens.shape[1]]
        cache: Cache = []
        for i, block in enumerate(self.blocks):
            x, kept = block(x, None if cached is None else cached[i])
            cache.append(kept)
        return self.output(self.norm(x)), cache

    def loss(self, lines: Tensor, prompts: int) -> Tensor:
        """Cross-entropy of the plans in whole lines (B, N) with prompts of so many characters."""
        logits, _ = self(lines[:, :-1])
        return cross_entropy(logits[:, prompts - 1 :].flatten(0, 1), lines[:, prompts:].flatten())

    @torch.no_grad()
    def write(self, x0: Array, goal: Array, longest: int | None = None) -> list[str]:
        """The most likely character, again and again, for every row of x0 and goal (B, n_x)."""
        tokens = torch.stack([encode(prompt(a, b)) for a, b in zip(x0, goal, strict=True)])
        written: list[Tensor] = []
        ended = torch.zeros(len(tokens), dtype=torch.bool)
        cache: Cache | None = None
        for _ in range(self.plan_length + SLACK if longest is None else longest):
            logits, cache = self(tokens, cache)
            tokens = logits[:, -1:].argmax(-1)
            written.append(tokens)
            ended |= tokens[:, 0] == END
            if ended.all():
                break
        rows = torch.cat(written, 1).tolist()
        lines = (''.join(ALPHABET[i] for i in row) for row in rows)
        return [line.partition('\n')[0] + '\n' * ('\n' in line) for line in lines]
