"""Baseline networks without recursion, with the inputs and outputs of `TinyRecursiveControl`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from trc_core.models.plan_representation import PlanRepresentation, Units, for_system
from trc_core.numerics.representation import Coordinates
from trc_core.problem.system import System

QUIET = 1e-3  # deviation of the last layer at first: an untrained network is almost silent
STEP, WIDEST = 4, 512  # widths are multiples of the number of heads


class PlainNetwork(nn.Module):
    """Network that writes one plan at once, in the features and units of the recursive model.

    Args:
        representation: of the plans.
        body: features (B, problem_dim) -> dimensionless output (B, T, n_u).
    """

    def __init__(self, representation: PlanRepresentation, body: nn.Module) -> None:
        super().__init__()
        self.representation, self.body = representation, body

    def forward(self, current_state: Tensor, target_state: Tensor) -> tuple[Tensor, Units]:
        """V (B, T, n_u) and the units of the problems, from states (B, n_x)."""
        error = current_state - target_state
        units = self.representation.numbers.units(error)
        features = units.problem(error, torch.ones_like(error[:, :1]))
        return units.step(self.body(features.float())), units


class Perceptron(nn.Module):
    """Three hidden layers, features to plan."""

    def __init__(self, input_dim: int, width: int, steps: int, n_u: int) -> None:
        super().__init__()
        self.n_u = n_u
        sizes = (input_dim, width, width, width)
        hidden = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.hidden = nn.Sequential(*(part for layer in hidden for part in (layer, nn.SiLU())))
        self.output = _quiet(nn.Linear(width, steps * n_u))

    def forward(self, features: Tensor) -> Tensor:
        return self.output(self.hidden(features)).unflatten(-1, (-1, self.n_u))


class Transformer(nn.Module):
    """Encoder of three layers over a token per control step: its position, and the problem."""

    LAYERS, HEADS = 3, 4

    def __init__(self, input_dim: int, width: int, steps: int, n_u: int) -> None:
        super().__init__()
        self.problem = nn.Linear(input_dim, width)
        self.positions = nn.Parameter(0.02 * torch.randn(steps, width))
        layer = nn.TransformerEncoderLayer(
            width, self.HEADS, 2 * width, dropout=0.0, activation='gelu', batch_first=True
        )
        self.layers = nn.TransformerEncoder(layer, self.LAYERS, enable_nested_tensor=False)
        self.output = _quiet(nn.Linear(width, n_u))

    def forward(self, features: Tensor) -> Tensor:
        tokens = self.problem(features)[:, None] + self.positions
        return self.output(self.layers(tokens))


BODIES: dict[str, Callable[[int, int, int, int], nn.Module]] = {
    'perceptron': Perceptron,
    'transformer': Transformer,
}


def plain_network(system: System, representation: str, kind: str, weights: int) -> PlainNetwork:
    """Network of a kind, of about so many weights.

    Raises:
        ValueError: if the kind is unknown; the message lists the known ones.
    """
    if kind not in BODIES:
        raise ValueError(f"unknown kind '{kind}'; choose from {sorted(BODIES)}")
    plans = for_system(system, Coordinates(representation))

    def build(width: int) -> nn.Module:
        return BODIES[kind](plans.problem_dim, width, system.horizon, system.n_u)

    return PlainNetwork(plans, build(matching_width(build, weights)))


def matching_width(build: Callable[[int], nn.Module], weights: int) -> int:
    """The multiple of `STEP` as width whose network has nearest to so many weights."""

    def counted(steps: int) -> int:
        with torch.device('meta'):  # counted, not made
            return count_weights(build(STEP * steps))

    above = bisect_left(range(1, WIDEST), weights, key=counted) + 1
    nearest = min((max(above - 1, 1), above), key=lambda steps: abs(counted(steps) - weights))
    return STEP * nearest


def count_weights(network: nn.Module) -> int:
    """Number of trained weights."""
    return sum(p.numel() for p in network.parameters())


def _quiet(layer: nn.Linear) -> nn.Linear:
    nn.init.normal_(layer.weight, std=QUIET)
    nn.init.zeros_(layer.bias)
    return layer
