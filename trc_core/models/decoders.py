"""From latents to plans: a first plan, and corrections of a plan."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ControlSequenceDecoder(nn.Module):
    """Decodes a latent (B, latent_dim) into a dimensionless plan (B, T, n_u).

    The last layer starts near zero: an untrained model proposes the trim (or LQR) plan.
    """

    def __init__(
        self, latent_dim: int, hidden_dim: int, control_horizon: int, control_dim: int
    ) -> None:
        super().__init__()
        self.shape = (control_horizon, control_dim)
        self.hidden = nn.Linear(latent_dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, control_horizon * control_dim)
        self.activation = nn.SiLU()
        _shrink(self.output)

    def forward(self, z: Tensor) -> Tensor:
        return self.output(self.activation(self.hidden(z))).unflatten(-1, self.shape)


class ResidualControlDecoder(nn.Module):
    """Decodes a latent and the current plan (B, T, n_u) into a correction (B, T, n_u)."""

    def __init__(
        self, latent_dim: int, hidden_dim: int, control_horizon: int, control_dim: int
    ) -> None:
        super().__init__()
        size = control_horizon * control_dim
        self.shape = (control_horizon, control_dim)
        self.hidden = nn.Linear(latent_dim + size, hidden_dim)
        self.output = nn.Linear(hidden_dim, size)
        self.activation = nn.SiLU()
        _shrink(self.output)

    def forward(self, z: Tensor, current_controls: Tensor) -> Tensor:
        both = torch.cat([z, current_controls.flatten(1)], dim=-1)
        return self.output(self.activation(self.hidden(both))).unflatten(-1, self.shape)


def _shrink(layer: nn.Linear) -> None:
    """Small, not zero: an untrained model is almost silent and still trains every layer."""
    nn.init.normal_(layer.weight, std=1e-3)
    nn.init.zeros_(layer.bias)
