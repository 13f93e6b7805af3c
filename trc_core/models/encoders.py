"""Encoders from numbers to latents: of the problem, the predicted trajectory, and the plan."""

from __future__ import annotations

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
