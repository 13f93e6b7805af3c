"""Encoders from numbers to latents: of the problem, the predicted trajectory, and the plan."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ControlStateEncoder(nn.Module):
    """Encodes the problem's features (B, input_dim) into z_initial (B, latent_dim)."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(input_dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, latent_dim)
        self.activation = nn.SiLU()

    def forward(self, features: Tensor) -> Tensor:
        return self.output(self.activation(self.hidden(features)))


class SetEncoder(nn.Module):
    """Encodes a set of members (B, n, member_dim), in any order, into (B, 2 set_dim).

    Each is encoded alike; what is read is the sum and the maximum of those that are there, zeros
    where none is. Source: Zaheer et al., "Deep Sets" (2017).
    """

    def __init__(self, member_dim: int, set_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(member_dim, set_dim)
        self.output = nn.Linear(set_dim, set_dim)
        self.activation = nn.SiLU()

    def forward(self, members: Tensor, there: Tensor) -> Tensor:
        """Pools members of which some (B, n) are there."""
        encoded = self.output(self.activation(self.hidden(members)))
        is_there = there[..., None]
        total = encoded.where(is_there, 0.0).sum(1)
        largest = encoded.where(is_there, -torch.inf).amax(1)
        return torch.cat([total, largest.where(there.any(1, keepdim=True), 0.0)], 1)


class ErrorEncoder(nn.Module):
    """Encodes the consequences of the plan (B, input_dim) into (B, latent_dim)."""

    def __init__(self, input_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(input_dim, latent_dim)
        self.output = nn.Linear(latent_dim, latent_dim)
        self.activation = nn.SiLU()

    def forward(self, features: Tensor) -> Tensor:
        return self.output(self.activation(self.hidden(features)))


class ControlEmbedding(nn.Module):
    """Embeds the plan's features (B, input_dim) into (B, latent_dim)."""

    def __init__(self, input_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, latent_dim)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features)
