"""Tokens: the latents of a plan, one for the whole of it or one for every control step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Tokens(ABC):
    """Turns features of control steps into features of latents."""

    @abstractmethod
    def join(self, parts: list[Tensor], steps: int) -> Tensor:
        """The features that each latent reads.

        Args:
            parts: features (B, steps, k_i), or (B, 1, k_i) where all steps share them.
            steps: control steps of the plan.
        """

    @abstractmethod
    def spread(self, z: Tensor, steps: int) -> Tensor:
        """The embedded problem (B, latent_dim), as every latent sees it."""


class VectorTokens(Tokens):
    """One latent (B, latent_dim): it reads the features of all steps side by side."""

    def join(self, parts: list[Tensor], steps: int) -> Tensor:
        return torch.cat([part.flatten(1) for part in parts], dim=-1)

    def spread(self, z: Tensor, steps: int) -> Tensor:
        return z


class HorizonTokens(Tokens):
    """A latent per control step (B, T, latent_dim): each reads the features of its own step."""

    def join(self, parts: list[Tensor], steps: int) -> Tensor:
        return torch.cat([part.expand(-1, steps, -1) for part in parts], dim=-1)

    def spread(self, z: Tensor, steps: int) -> Tensor:
        return z[:, None] + step_positions(steps, z)


TOKENS: dict[str, Tokens] = {'vector': VectorTokens(), 'horizon': HorizonTokens()}


def step_positions(steps: int, like: Tensor) -> Tensor:
    """Sinusoids of the step (steps, latent_dim): half from the start, half from the end.

    Source: Vaswani et al., "Attention Is All You Need" (2017), section 3.5.
    """
    size = like.shape[-1]
    channel = torch.arange(size // 4 + 1, device=like.device, dtype=like.dtype)
    frequency = torch.exp(-math.log(1000.0) * channel / len(channel))
    forward = torch.arange(steps, device=like.device, dtype=like.dtype)[:, None]
    waves = [
        wave(place * frequency)
        for place in (forward, steps - 1 - forward)
        for wave in (torch.sin, torch.cos)
    ]
    return torch.cat(waves, dim=-1)[:, :size]
