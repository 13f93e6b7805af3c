"""Training losses. Each reaches every cycle, and none rewards a bad first plan."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trc_core.models.plan_representation import Units
from trc_core.models.simulation import Iterate


def imitation_loss(units: Units, plans: Sequence[Tensor], target: Tensor) -> Tensor:
    """Mean squared distance of every cycle's plan to the expert's, in the plan's own metric.

    Args:
        units: of the problems.
        plans: K + 1 of (B, T, n_u), the first plan and that of every cycle.
        target: (B, T, n_u), the expert's plan in the same coordinates.
    """
    return torch.stack([units.metric(plan - target).square().mean() for plan in plans]).mean()


def cost_loss(
    units: Units,
    proposal: Iterate,
    threshold: float,
    power: float,
) -> Tensor:
    """A surrogate whose gradient is that of J / s^2, summed over the batch's weighted rows.

    The exact gradient dJ/dv is known from the adjoint, so the loss is linear in the plan. Rows
    with a steep cost count less, by (threshold / max(threshold, |gradient|))^power, the
    gradient taken with respect to the dimensionless output.
    """
    assert proposal.gradient is not None
    steepness = units.gradient(proposal.gradient).square().sum((1, 2)).sqrt()
    weight = (threshold / steepness.clamp_min(threshold)) ** power
    slope = proposal.gradient * (weight / units.s**2)[:, None, None]
    return (slope.detach() * proposal.v).sum((1, 2)).mean()
