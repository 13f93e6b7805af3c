"""Decoders from latents to plans: a first plan, and corrections of a plan.

Plans here are dimensionless (see `plan_representation.py`). A latent stands for `steps` control
steps: all T of them, or one where every step has a latent of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ControlSequenceDecoder(nn.Module):
    """Decodes latents (B, latent_dim) or (B, T, latent_dim) into a plan (B, T, n_u).

    The last layer starts near zero: an untrained model proposes the trim (or LQR) plan.
    """

    def __init__(self, latent_dim: int, hidden_dim: int, steps: int, control_dim: int) -> None:
        super().__init__()
        self.control_dim = control_dim
        self.hidden = nn.Linear(latent_dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, steps * control_dim)
        self.activation = nn.SiLU()
        _shrink(self.output)

    def forward(self, z: Tensor) -> Tensor:
        plan = self.output(self.activation(self.hidden(z)))
        return plan.flatten(1).unflatten(-1, (-1, self.control_dim))


class ResidualControlDecoder(nn.Module):
    """Decodes latents and the current plan into a correction (B, T, n_u)."""

    def __init__(self, latent_dim: int, hidden_dim: int, steps: int, control_dim: int) -> None:
        super().__init__()
        self.control_dim = control_dim
        self.hidden = nn.Linear(latent_dim + steps * control_dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, steps * control_dim)
        self.activation = nn.SiLU()
        _shrink(self.output)

    def forward(self, z: Tensor, current_controls: Tensor) -> Tensor:
        both = torch.cat([z, current_controls], dim=-1)
        plan = self.output(self.activation(self.hidden(both)))
        return plan.flatten(1).unflatten(-1, (-1, self.control_dim))


class FreshControlDecoder(ControlSequenceDecoder):
    """Writes the plan anew from the latents alone."""

    def forward(self, z: Tensor, current_controls: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(z)


def _shrink(layer: nn.Linear) -> None:
    """Small, not zero: an untrained model is almost silent and still trains every layer."""
    nn.init.normal_(layer.weight, std=1e-3)
    nn.init.zeros_(layer.bias)
